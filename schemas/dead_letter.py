"""The headers that a dead letter adds to the original record: what failed, where, since when."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetterReason:
    """
    The reason why a record is in the dead-letter topic.

    `partition`, `offset` and `group` are None if the ingress sent it: it was not in a topic before.
    """

    topic: str
    component: str
    stage: str
    exception: str
    message: str
    attempts: int
    first_failed_at_ms: int
    last_failed_at_ms: int
    partition: int | None = None
    offset: int | None = None
    group: str | None = None


# The names that tools for Kafka Connect's dead-letter queues know (KIP-298).
CONNECT = "__connect.errors."
HOOKLINE = "hookline.errors."
GROUP = HOOKLINE + "group"
STAGE = CONNECT + "stage"
COMPONENT = CONNECT + "connector.name"
# The component that is not a consumer.
INGRESS = "ingress"
# The stage of a callback that was answered OK and that Kafka refused to store in the main topic.
KAFKA_PRODUCE = "KAFKA_PRODUCE"


def reason_headers(reason: DeadLetterReason) -> list[tuple[str, bytes]]:
    """Return the headers that a dead letter adds to the original ones."""
    texts = {
        CONNECT + "topic": reason.topic,
        CONNECT + "partition": reason.partition,
        CONNECT + "offset": reason.offset,
        COMPONENT: reason.component,
        STAGE: reason.stage,
        CONNECT + "exception.class.name": reason.exception,
        CONNECT + "exception.message": reason.message,
        HOOKLINE + "attempts": reason.attempts,
        HOOKLINE + "first_failed_at_ms": reason.first_failed_at_ms,
        HOOKLINE + "last_failed_at_ms": reason.last_failed_at_ms,
        GROUP: reason.group,
    }
    return [
        (name, str(value).encode("utf-8", "backslashreplace"))
        for name, value in texts.items()
        if value is not None
    ]


def without_reason(headers: Iterable[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    """Return the headers of a dead letter that the original record had."""
    return [each for each in headers if not each[0].startswith((CONNECT, HOOKLINE))]
