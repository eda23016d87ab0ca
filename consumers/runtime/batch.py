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
    Where a sink stands: the offset that it expects next, and the last record that it has.

    `last` is that record's offset, origin and sequence, by which another topic of the same name is
    told from this one; None where the sink keeps none.
    """

    next_offset: int
    last: tuple[int, str, int] | None = None


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

    `begins_at` is where the batch before it ended, `next_offset` where the next one begins: behind
    the last record and the transaction markers after it, as far as they were seen. With
    `Limits.pack` the records stand in `packed`, in order, and `records` is empty.
    """

    partition: Partition
    begins_at: int
    next_offset: int
    records: Sequence[Record]
    packed: Sequence[Any] = ()
