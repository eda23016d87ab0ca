"""Batches of one partition's records, their limits, and positions in a partition."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeAlias


class Partition(NamedTuple):
    """One partition of a topic."""

    topic: str
    number: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.number}"


class Record(NamedTuple):
    """A record as Kafka delivered it. `timestamp_ms` is the broker's time (LogAppendTime)."""

    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes
    headers: Sequence[tuple[str, bytes]]


# The offset of a record, and the origin and the sequence of its callback.
OffsetAndPlace: TypeAlias = tuple[int, str, int]


class Position(NamedTuple):
    """
    The progress of a sink in a partition: the offset that it expects next, and in which log.

    An offset alone does not identify a record: a topic that was deleted and created again, another
    cluster's topic, and a log that was restored from an older copy have the same offsets. So a
    position also has `last`, the last record before `next_offset` (its offset, origin and sequence;
    None if there is no such record, or the sink does not store it), and `topic_id`, Kafka's id of
    the topic (None if unknown).
    """

    next_offset: int
    last: OffsetAndPlace | None = None
    topic_id: str | None = None

    def may_continue_in(self, topic_id: str | None) -> bool:
        """Return False if both topic ids are known and differ."""
        return self.topic_id is None or topic_id is None or self.topic_id == topic_id


class PackedRecords(Protocol):
    """
    The records of one growing batch in a smaller form, for example compressed.

    A `PackingHandler` makes one for each batch. The runtime adds records to it while the batch
    grows, and hands it to the handler as `Batch.packed`.
    """

    @property
    def held_bytes(self) -> int:
        """The bytes of memory that the packed records take."""
        ...

    async def add(self, records: list[Record]) -> None:
        """Pack `records` and empty the list. Block the event loop for some milliseconds at most."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """
    The limits of a batch. A batch is complete when it reaches the first of them.

    A batch whose records are not packed is also complete when they take 2 MiB of memory.

    `bytes` are uncompressed; a record counts as its body + 32 per header + 256. `age_s` is the time
    since the batch's first record was fetched. `period_s`: a batch never has records of two periods
    (3600: never of two hours), by the records' timestamps.
    """

    records: int
    bytes: int
    age_s: float
    period_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """
    Consecutive records of one partition.

    A batch has no records if all were rejected, or if only transaction markers were fetched.

    `begins_at` is the offset that the sink's position must have. `reached` is the position of a
    sink that has applied the batch, to be stored unchanged. Its `next_offset` is after the last
    record and the transaction markers that follow, as far as they have been fetched; its `last` is
    the last record, even if that was rejected; its `topic_id` is the topic of all records.

    A `PackingHandler` gets the records in `packed`, in order, and none in `records`.
    """

    partition: Partition
    begins_at: int
    reached: Position
    records: Sequence[Record]
    packed: PackedRecords | None = None

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
