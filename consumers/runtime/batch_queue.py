"""Hold the fetched records of one partition as batches, until the sink has them. No I/O."""

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

from consumers.runtime.batch import Batch, Limits, Partition, Position, Record
from consumers.runtime.continuity import check_last_record
from consumers.runtime.pending_batch import PendingBatch

# The bytes of a batch are never lowered below this, even if a sink is down for a long time. Such
# a batch passes a link of 44 kB/s within the archive's time-out of 6 s, even without compression.
LOWERED_BYTES_MIN = 256 << 10


class BatchQueue:
    """
    Holds complete batches, then the batch that still grows. The first batch is delivered next.

    The queue takes records only after `begin` has set the sink's position. The caller passes the
    time.
    """

    def __init__(
        self, partition: Partition, limits: Limits, name_in_kafka: str | None = None
    ) -> None:
        self._partition = partition
        self._name_in_kafka = name_in_kafka or str(partition)
        # Those of the next batches, which are lowered after one that took too long.
        self._limits = limits
        self._bytes_max = limits.bytes
        self._is_begun = False
        # The sink's position, at which the first batch begins.
        self._position = Position(0)
        # True until the position's last record was fetched again and compared with the position.
        self._refetches_last = False
        self._complete_batches: deque[PendingBatch] = deque()
        self._growing: PendingBatch | None = None

    def begin(self, position: Position, *, refetches_last: bool) -> None:
        """
        Take records from `position` on, all of topic `position.topic_id`; drop all held records.

        Records before the position are dropped when they arrive: the sink has them. Any record
        between `position.last` and the position shows that the topic was restored or replaced.
        `refetches_last`: fetches begin with `position.last`, so the first record must be that one.
        """
        self.clear()
        self._is_begun = True
        self._position = position
        self._refetches_last = refetches_last

    def clear(self) -> None:
        """Drop all held records, and take none until `begin`."""
        self._is_begun = False
        self._complete_batches.clear()
        self._growing = None

    @property
    def is_begun(self) -> bool:
        """True if the queue takes records."""
        return self._is_begun

    @property
    def is_empty(self) -> bool:
        """True if no record and no marker is held."""
        return not self._complete_batches and self._growing is None

    @property
    def next_offset(self) -> int | None:
        """The offset that the sink expects next, None before `begin`."""
        return self._position.next_offset if self._is_begun else None

    @property
    def applied_end(self) -> int | None:
        """
        The offset before which the sink has all records, None before `begin`.

        If only markers are held, the offset after them.
        """
        batches = self._batches()
        if batches and not any(batch.count for batch in batches):
            return batches[-1].next_offset
        return self.next_offset

    @property
    def first_pending(self) -> PendingBatch | None:
        """The batch that is delivered next, complete or not."""
        return self._complete_batches[0] if self._complete_batches else self._growing

    @property
    def complete_batch_count(self) -> int:
        """The number of complete batches."""
        return len(self._complete_batches)

    @property
    def held_bytes(self) -> int:
        """The bytes of memory that all batches take."""
        return sum(batch.held_bytes for batch in self._batches())

    @property
    def growing_bytes(self) -> int:
        """The bytes of memory that the growing batch takes."""
        return self._growing.held_bytes if self._growing else 0

    @property
    def unpacked_bytes(self) -> int:
        """The bytes of memory that unpacked records take."""
        return sum(batch.unpacked_bytes for batch in self._batches())

    def add(self, records: Sequence[Record], *, next_fetch_offset: int, now: float) -> None:
        """
        Append the records of a fetch. The next fetch begins at `next_fetch_offset`, after markers.

        Raises:
            Stopped: the topic does not have the last record that the sink has.
        """
        if not self._is_begun:
            return
        sink_offset = self._position.next_offset
        if self._refetches_last or (records and records[0].offset < sink_offset):
            self._check_last(records, next_fetch_offset)
            records = [record for record in records if record.offset >= sink_offset]
        while records:
            self._growing = self._growing or PendingBatch(now, records[0].offset)
            records = records[self._growing.append(records, self._limits, now=now) :]
            if records or self._growing.is_full(self._limits):
                self.complete()
        newest = self._growing or (self._complete_batches[-1] if self._complete_batches else None)
        if newest is None and next_fetch_offset > sink_offset:
            newest = self._growing = PendingBatch(now, next_fetch_offset, last_fetched_at=now)
        if newest is not None and next_fetch_offset > newest.next_offset:
            newest.next_offset, newest.last_fetched_at = next_fetch_offset, now

    def _check_last(self, records: Sequence[Record], next_fetch_offset: int) -> None:
        next_offset, last, _ = self._position
        if last is None or (not records and next_fetch_offset <= last[0]):
            return  # the last record has not been fetched yet
        check_last_record(
            self._name_in_kafka,
            last,
            records,
            next_offset=next_offset,
            refetches_last=self._refetches_last,
        )
        self._refetches_last = False

    def complete_if_due(self, now: float) -> PendingBatch | None:
        """Complete the growing batch if it is old enough; return the first complete batch."""
        if self._growing and now - self._growing.first_fetched_at >= self._limits.age_s:
            self.complete()
        return self._complete_batches[0] if self._complete_batches else None

    def complete(self) -> None:
        """Complete the growing batch."""
        if self._growing:
            self._complete_batches.append(self._growing)
            self._growing = None

    def next_to_pack(self, growing_bytes_min: int) -> PendingBatch | None:
        """Return the first batch with unpacked records; a growing one needs at least this size."""
        for batch in self._batches():
            if batch.records and (
                batch is not self._growing or batch.unpacked_bytes >= growing_bytes_min
            ):
                return batch
        return None

    def batch_to_deliver(self) -> Batch:
        """Return the first batch, which must be complete, in the form that the handler gets."""
        next_offset, last, topic_id = self._position
        first = self._complete_batches[0]
        return Batch(
            partition=self._partition,
            begins_at=next_offset,
            reached=Position(first.next_offset, first.last or last, topic_id),
            records=tuple(first.records),
            packed=first.packed,
        )

    def halve_first(self) -> None:
        """Replace the first batch, which has at least two records, by its halves."""
        self._complete_batches.extendleft(reversed(self._complete_batches.popleft().halves()))

    def lower_limits(self) -> bool:
        """
        Make the next batches at most half as large as the first one, which took too long.

        Return False if that would not divide the first batch: the limit cannot be lowered more.
        """
        first_bytes = self._complete_batches[0].counted_bytes
        bytes_max = max(first_bytes // 2, LOWERED_BYTES_MIN)
        if not bytes_max < min(first_bytes, self._limits.bytes):
            return False
        self._limits = replace(self._limits, bytes=bytes_max)
        return True

    def remove_applied(self, batch: Batch, now: float) -> None:
        """Remove the first batch after the sink has applied it as `batch`; raise lowered limits."""
        pending = self._complete_batches.popleft()
        if self._limits.bytes < self._bytes_max:
            # Slowly: a sink that is always slow would take too long for every second batch.
            raised = self._limits.bytes + max(1, self._limits.bytes // 8)
            self._limits = replace(self._limits, bytes=min(raised, self._bytes_max))
        self._position = batch.reached
        # Markers that arrived during the write: the sink's position is not after them.
        if self.is_empty and pending.next_offset > batch.next_offset:
            self._growing = PendingBatch(now, pending.next_offset, last_fetched_at=now)

    def _batches(self) -> list[PendingBatch]:
        return [*self._complete_batches, *([self._growing] if self._growing else [])]
