"""Records of one partition, in order, handed to a handler as one piece."""

from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias


class Partition(NamedTuple):
    """One partition of a topic."""

    topic: str
    number: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.number}"


class Record(NamedTuple):
    """A record as Kafka delivered it. `timestamp_ms` is the broker's (LogAppendTime)."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes
    headers: Sequence[tuple[str, bytes]]


class Position(NamedTuple):
    """
    How far a sink has applied a partition: the offset that it expects next, and of which log.

    Offsets alone do not name records: a topic that was deleted and created again, another cluster's
    topic, and a log that was restored from an older copy have the same offsets. So a position also
    has `last`, the last record before `next_offset` (its offset, origin and sequence; None if there
    is none yet, or the sink keeps none), and `topic_id`, Kafka's id of the topic (None if unknown).
    """

    next_offset: int
    last: tuple[int, str, int] | None = None
    topic_id: str | None = None

    def may_continue_in(self, topic_id: str | None) -> bool:
        """Return False if both topic ids are known and differ."""
        return self.topic_id is None or topic_id is None or self.topic_id == topic_id


# Turns records into what the handler needs of them, `len()` of which is the bytes that it takes.
# Runs in a thread, on some records at a time, while the batch is still growing.
Pack: TypeAlias = Callable[[Partition, Sequence[Record]], Sized]


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """
    When held records become a batch: the first bound that is reached.

    `bytes` are uncompressed, counted per record as body + 32 per header + 256. `age_s` is since the
    batch's first record was fetched. `period_s`: a batch never spans two periods of record time
    (3600: never two hours). `pack`: held records are packed, so that large batches take little
    memory; a handler that has it rejects no record.
    """

    records: int
    bytes: int
    age_s: float
    period_s: int | None = None
    pack: Pack | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """
    A run of one partition's records; none where all were set aside, or where only markers came.

    `begins_at` is where the batch before it ended. `reached` is the position of a sink that has
    applied the batch, to be stored as it is: its `next_offset` is after the last record and the
    transaction markers that follow it, as far as they were seen, its `last` the last record, which
    may be one that was set aside, its `topic_id` that of the topic which all records are of. With
    `Limits.pack` the records stand in `packed`, in order, and `records` is empty.
    """

    partition: Partition
    begins_at: int
    reached: Position
    records: Sequence[Record]
    packed: Sequence[Any] = ()

    @property
    def next_offset(self) -> int:
        """The offset at which the next batch begins."""
        return self.reached.next_offset

    def follows(self, position: Position | None) -> bool:
        """Return whether a sink at `position` may apply the batch."""
        return (
            position is not None
            and position.next_offset == self.begins_at
            and position.may_continue_in(self.reached.topic_id)
        )
