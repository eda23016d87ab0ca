"""Records of one partition, in order, handed to a handler as one piece."""

from dataclasses import dataclass, replace
from typing import NamedTuple, Self


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
    headers: tuple[tuple[str, bytes], ...]

    @property
    def size(self) -> int:
        """Bytes that this record takes while it is held, roughly."""
        return len(self.value) + 32 * len(self.headers) + 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """
    When held records become a batch: the first bound that is reached.

    `period_s`: a batch never spans two periods of record time (3600: never two hours).
    """

    records: int
    bytes: int
    age_s: float
    period_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """
    A run of one partition's records; none where all were set aside, or where only markers came.

    `begins_at` is where the batch before it ended, `next_offset` where the next one begins: behind
    the last record and the transaction markers after it, as far as they were seen.
    """

    partition: Partition
    begins_at: int
    next_offset: int
    records: tuple[Record, ...]

    def without(self, offset: int) -> Self:
        """Return the batch without the record at `offset`; it covers the same offsets."""
        return replace(self, records=tuple(r for r in self.records if r.offset != offset))
