"""The headers that a dead letter adds to the original record: what failed, where, since when."""

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
# The stage of a callback that was answered OK and that Kafka refused to store in the main topic.
KAFKA_PRODUCE = "KAFKA_PRODUCE"


def failure_headers(failure: DeadLetterReason) -> list[tuple[str, bytes]]:
    """Return the headers that a dead letter adds to the original ones."""
    named = {
        CONNECT + "topic": failure.topic,
        CONNECT + "partition": failure.partition,
        CONNECT + "offset": failure.offset,
        CONNECT + "connector.name": failure.component,
        STAGE: failure.stage,
        CONNECT + "exception.class.name": failure.exception,
        CONNECT + "exception.message": failure.message,
        HOOKLINE + "attempts": failure.attempts,
        HOOKLINE + "first_failed_at_ms": failure.first_failed_at_ms,
        HOOKLINE + "last_failed_at_ms": failure.last_failed_at_ms,
        GROUP: failure.group,
    }
    return [
        (name, str(value).encode("utf-8", "backslashreplace"))
        for name, value in named.items()
        if value is not None
    ]
