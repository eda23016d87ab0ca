"""A dead letter: the rejected record, its consumer and the reason."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from aiokafka.structs import ConsumerRecord

from schemas.callback_record import place
from schemas.dead_letter import (
    COMPONENT,
    CONNECT,
    GROUP,
    INGRESS,
    KAFKA_PRODUCE,
    STAGE,
    without_reason,
)
from schemas.dead_letter_actions import RecordId
from schemas.outgoing_record import Headers

# The consumer of a dead letter that neither an ingress nor a consumer of ours wrote.
UNKNOWN_CONSUMER = "(another program)"
REASON_CHARACTERS_MAX = 200
_NUMBER = re.compile(r"\b\d+\b")
_ID = re.compile(r"(\d{1,9})/(\d{1,18})", re.ASCII)


def parse_id(text: str) -> RecordId | None:
    """Return the id in `text`, None if it is not PARTITION/OFFSET."""
    match = _ID.fullmatch(text)
    return RecordId(int(match[1]), int(match[2])) if match else None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """
    A record of the dead-letter topic.

    `consumer` rejected it: the name of a consumer, or "ingress". `headers` are those of the record
    that was rejected. `source` is the partition and the offset of that record in the main topic,
    None if it was not there, or if the headers do not say where. `origin` and `sequence` are "" and
    0 if no ingress wrote the record.
    """

    id: RecordId
    at_ms: int
    consumer: str
    command: str
    stage: str
    reason: str
    origin: str
    sequence: int
    source: RecordId | None
    key: bytes | None
    headers: Headers
    value: bytes

    @property
    def at(self) -> datetime:
        """The time at which Kafka stored the dead letter."""
        return datetime.fromtimestamp(self.at_ms / 1000, UTC)

    @property
    def kind(self) -> str:
        """The reason without its numbers, by which dead letters are grouped."""
        return _NUMBER.sub("N", self.reason)[:REASON_CHARACTERS_MAX]

    @property
    def was_refused_by_kafka(self) -> bool:
        """Whether the callback was answered OK, and Kafka refused to store it."""
        return self.consumer == INGRESS and self.stage == KAFKA_PRODUCE


def dead_letter(record: ConsumerRecord[bytes, bytes]) -> DeadLetter:
    """Return a record of the dead-letter topic as a dead letter, whatever wrote it."""
    named = {name: value or b"" for name, value in record.headers}
    origin, sequence = place(named.items())
    return DeadLetter(
        id=RecordId(record.partition, record.offset),
        at_ms=record.timestamp,
        consumer=_consumer(named),
        command=_text(named, "ce_type"),
        stage=_text(named, STAGE),
        reason=_text(named, CONNECT + "exception.message"),
        origin=origin,
        sequence=sequence,
        source=_source(named),
        key=record.key,
        headers=without_reason([(name, value or b"") for name, value in record.headers]),
        value=record.value or b"",
    )


def _consumer(named: dict[str, bytes]) -> str:
    if GROUP in named:
        return _text(named, GROUP)
    # A dead letter of the ingress was not in a topic before.
    if _text(named, COMPONENT) == INGRESS and CONNECT + "offset" not in named:
        return INGRESS
    return UNKNOWN_CONSUMER


def _source(named: dict[str, bytes]) -> RecordId | None:
    partition, offset = _text(named, CONNECT + "partition"), _text(named, CONNECT + "offset")
    return parse_id(f"{partition}/{offset}")


def _text(named: dict[str, bytes], header: str) -> str:
    return named.get(header, b"").decode("utf-8", "backslashreplace")
