"""A batch that has not been applied yet: its records and its bounds. No I/O."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from consumers.runtime.batch import Limits, OffsetAndPlace, PackedRecords, Record
from schemas.callback_record import place, received_at_s

ORIGIN_CHARACTERS_MAX = 64


class RecordSizes(NamedTuple):
    """Sizes of some records in bytes: as `Limits.bytes` counts them, and roughly in memory."""

    counted_bytes: int
    memory_bytes: int


def record_sizes(records: Sequence[Record]) -> RecordSizes:
    """Return the sizes of `records`."""
    values = sum([len(record.value) for record in records])
    headers = sum([len(record.headers) for record in records])
    return RecordSizes(
        values + 32 * headers + 256 * len(records), values + 170 * headers + 350 * len(records)
    )


def offset_and_place(record: Record) -> OffsetAndPlace:
    """Return offset, origin and sequence of `record`, in a form that every sink can store."""
    origin, sequence = place(record.headers)
    # A record that no ingress wrote may have an origin of any length.
    return record.offset, origin[:ORIGIN_CHARACTERS_MAX], sequence


class WaitingTimes(NamedTuple):
    """
    How long a callback that is not in the sink has waited, in seconds.

    `since_receipt_s` is since an ingress received it, also in a spool, where it may wait for days;
    `in_kafka_s` is since Kafka wrote its record.
    """

    since_receipt_s: float
    in_kafka_s: float

    def after(self, passed_s: float) -> "WaitingTimes":
        """Return the times `passed_s` later."""
        return WaitingTimes(self.since_receipt_s + passed_s, self.in_kafka_s + passed_s)


@dataclass(slots=True)
class PendingBatch:
    """
    Consecutive records that will be one batch, or transaction markers without a record.

    `first_fetched_at` and `last_fetched_at` are times of the runner's clock. `received_at_s` is the
    time at which an ingress received the first record, in seconds since 1970, None if its headers
    do not have it; `written_at_ms` is the timestamp of that record, by which Kafka's retention
    counts, 0 or less if it has none. If no record is left, they are those of the record that was
    removed last. `next_offset` is the offset after the records and the markers that followed them.
    """

    first_fetched_at: float
    next_offset: int
    # The last record, even if it was rejected: offset, origin and sequence.
    last: OffsetAndPlace | None = None
    last_fetched_at: float = 0.0
    received_at_s: float | None = None
    written_at_ms: int = 0
    records: list[Record] = field(default_factory=list)
    # Has the records before `records`, if the handler packs them.
    packed: PackedRecords | None = None
    # The number and the size of all records, packed or not.
    count: int = 0
    counted_bytes: int = 0
    # The memory that `records` take.
    unpacked_bytes: int = 0
    # The period of the first record (`Limits.period_s`).
    period: int = 0
    # The number of failed deliveries of these records, and the time of the first one.
    attempts: int = 0
    first_failed_at_ms: int = 0

    @property
    def held_bytes(self) -> int:
        """The bytes of memory that the batch takes."""
        return self.unpacked_bytes + (self.packed.held_bytes if self.packed else 0)

    def append(self, records: Sequence[Record], limits: Limits, *, now: float) -> int:
        """Append as many of `records` as the limits allow, and return their number."""
        if not self.count:
            self.first_fetched_at, self.period = now, _period(records[0], limits)
            self._note_first(records[0])
        fitting = records[: self._fitting_count(records, limits)]
        counted_bytes, memory_bytes = record_sizes(fitting)
        if self.counted_bytes + counted_bytes > limits.bytes:
            fitting = fitting[: self._filling_count(fitting, limits)]
            counted_bytes, memory_bytes = record_sizes(fitting)
        if fitting:
            self.records += fitting
            self.count += len(fitting)
            self.counted_bytes += counted_bytes
            self.unpacked_bytes += memory_bytes
            self.next_offset, self.last = fitting[-1].offset + 1, offset_and_place(fitting[-1])
            self.last_fetched_at = now
        return len(fitting)

    def note_failure(self, at_ms: int) -> None:
        """Note that a delivery has failed at `at_ms`, in milliseconds since 1970."""
        if not self.attempts:
            self.first_failed_at_ms = at_ms
        self.attempts += 1

    def is_full(self, limits: Limits) -> bool:
        """Return whether a limit of size is reached."""
        return self.count >= limits.records or self.counted_bytes >= limits.bytes

    def _fitting_count(self, records: Sequence[Record], limits: Limits) -> int:
        """Return how many of `records` the batch can take by their number and period."""
        count = min(len(records), limits.records - self.count)
        if limits.period_s is not None:
            # Only later periods end a batch: if the broker's clock was set back, its records stay
            # with their neighbours.
            ends_ms = (self.period + 1) * limits.period_s * 1000
            later = (index for index in range(count) if records[index].timestamp_ms >= ends_ms)
            count = next(later, count)
        return count

    def _filling_count(self, records: Sequence[Record], limits: Limits) -> int:
        """Return how many of `records`, at least one, bring the batch to its limit of bytes."""
        counted_bytes = self.counted_bytes
        for index, record in enumerate(records):
            counted_bytes += record_sizes((record,)).counted_bytes
            if counted_bytes >= limits.bytes:
                return index + 1
        return len(records)

    async def pack_into(self, packed: PackedRecords) -> None:
        """Move the records into `packed`."""
        self.packed = packed
        records, unpacked_bytes = self.records, self.unpacked_bytes
        self.records = []
        await packed.add(records)
        # More records may have been appended meanwhile.
        self.unpacked_bytes -= unpacked_bytes

    def remove(self, offset: int) -> None:
        """Remove the record at `offset`; the batch still covers the same offsets."""
        self.records = [record for record in self.records if record.offset != offset]
        self.count = len(self.records)
        self.counted_bytes, self.unpacked_bytes = record_sizes(self.records)
        if self.records:
            self._note_first(self.records[0])

    def waiting_times(self, *, now: float, now_s: float) -> WaitingTimes:
        """
        Return for how long the first record waits; `now` is the runner's time, `now_s` Unix time.

        No record of the partition that is not in the sink has been in Kafka for longer, but one
        that follows may have been received earlier: it was in a spool for longer.
        """
        fetched_ago_s = now - self.first_fetched_at
        in_kafka_s = now_s - self.written_at_ms / 1000 if self.written_at_ms > 0 else fetched_ago_s
        # The clocks are those of several machines.
        in_kafka_s = max(0.0, in_kafka_s)
        # A record without a time of receipt was written by no ingress.
        received_s = self.received_at_s
        return WaitingTimes(max(0.0, now_s - received_s) if received_s else in_kafka_s, in_kafka_s)

    def _note_first(self, record: Record) -> None:
        self.received_at_s = received_at_s(record.headers)
        self.written_at_ms = record.timestamp_ms

    def halves(self) -> tuple["PendingBatch", "PendingBatch"]:
        """Return two batches with the records of this one, which has at least two."""
        middle = len(self.records) // 2
        first, second = self.records[:middle], self.records[middle:]
        return (
            # It ends right after its last record, not at the second half: a record between the
            # halves may have been rejected.
            self._part(first, next_offset=first[-1].offset + 1, last=offset_and_place(first[-1])),
            self._part(second, next_offset=self.next_offset, last=self.last),
        )

    def _part(
        self, records: list[Record], *, next_offset: int, last: OffsetAndPlace | None
    ) -> "PendingBatch":
        counted_bytes, unpacked_bytes = record_sizes(records)
        return replace(
            self,
            records=records,
            next_offset=next_offset,
            last=last,
            received_at_s=received_at_s(records[0].headers),
            written_at_ms=records[0].timestamp_ms,
            count=len(records),
            counted_bytes=counted_bytes,
            unpacked_bytes=unpacked_bytes,
        )


def _period(record: Record, limits: Limits) -> int:
    return 0 if limits.period_s is None else record.timestamp_ms // (limits.period_s * 1000)
