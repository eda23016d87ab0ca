"""One partition's records, fetched and not yet in the sink. Pure: time is given, nothing awaits."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from consumers.runtime.batch import Batch, Limits, PackedRecords, Partition, Position, Record
from consumers.runtime.handler import Stopped
from schemas.event import place, received_at_s

_NOT_BEGUN = -1
ORIGIN_CHARACTERS_MAX = 64


@dataclass(slots=True)
class Run:
    """
    Consecutive records that will be one batch.

    `since`: when the first was fetched, `fetched_at`: when the last was. `received_at_s`: when an
    ingress received it, in seconds since 1970, None where it does not say. `reached` is after the
    records and the transaction markers that followed; a run of markers alone has no record. `size`
    counts for the limits, `raw` is the memory that `records` take, both in bytes.
    """

    since: float
    reached: int
    # The run's last record, even if it was set aside: offset, origin and sequence.
    last: tuple[int, str, int] | None = None
    fetched_at: float = 0.0
    received_at_s: float | None = None
    records: list[Record] = field(default_factory=list)
    # Has the records before `records`, if the handler packs them.
    packed: PackedRecords | None = None
    count: int = 0
    size: int = 0
    raw: int = 0
    # The latest period in which it may go on.
    period: int = 0
    # How often a batch with these records was not applied, and since when.
    attempts: int = 0
    first_failed_at_ms: int = 0

    @property
    def held(self) -> int:
        """Bytes of memory that it takes."""
        return self.raw + (self.packed.held_bytes if self.packed else 0)

    async def pack_into(self, packed: PackedRecords) -> None:
        """Move the records into `packed`."""
        self.packed = packed
        records, raw = self.records, self.raw
        self.records = []
        await packed.add(records)
        self.raw -= raw


class Line:
    """Runs that are complete, then the one that still grows. Batches leave at the front."""

    def __init__(self, partition: Partition, limits: Limits) -> None:
        self._partition = partition
        self._limits = limits
        self._begins_at = _NOT_BEGUN
        # The last record before `begins_at`, and whether it still has to be found in the topic.
        self._last: tuple[int, str, int] | None = None
        self._to_recognize = False
        self._topic_id: str | None = None
        self._complete: deque[Run] = deque()
        self._growing: Run | None = None

    @property
    def begun(self) -> bool:
        """Whether it takes records."""
        return self._begins_at != _NOT_BEGUN

    @property
    def begins_at(self) -> int:
        """The offset that the sink expects next."""
        return self._begins_at

    @property
    def held(self) -> int:
        """Bytes of memory that it takes."""
        return sum(run.held for run in self._runs())

    @property
    def growing(self) -> int:
        """Bytes of memory that the batch takes which is not complete."""
        return self._growing.held if self._growing else 0

    @property
    def raw(self) -> int:
        """Bytes of memory that the records take which are not packed."""
        return sum(run.raw for run in self._runs())

    @property
    def stands_at(self) -> int | None:
        """Before this offset all is in the sink, markers at the end included; None: unknown."""
        if not self.begun:
            return None
        runs = self._runs()
        return self._begins_at if any(run.count for run in runs) or not runs else runs[-1].reached

    @property
    def waiting(self) -> int:
        """How many batches could be delivered."""
        return len(self._complete)

    @property
    def idle(self) -> bool:
        """Whether nothing is held."""
        return not self._complete and self._growing is None

    @property
    def front(self) -> Run | None:
        """The run that leaves next, complete or not."""
        return self._complete[0] if self._complete else self._growing

    def begin(self, position: Position, *, recognize: bool) -> None:
        """
        Hold records from `position` on, all of topic `position.topic_id`; drop what was held.

        Records that the sink has already are dropped when they come. If they are to be recognized,
        the first that comes must be `position.last`, and no other may lie between that and the
        position.
        """
        self.clear()
        self._begins_at = position.next_offset
        self._last = position.last
        self._to_recognize = recognize
        self._topic_id = position.topic_id

    def clear(self) -> None:
        """Hold nothing, and take nothing until it is begun again."""
        self._begins_at = _NOT_BEGUN
        self._complete.clear()
        self._growing = None

    def add(self, records: Sequence[Record], *, reached: int, now: float) -> None:
        """
        Append `records`. `reached` is where the next fetch goes on: behind the markers, too.

        Raises:
            Stopped: the topic does not have the last record that the sink has.
        """
        if not self.begun:
            return
        if self._to_recognize or (records and records[0].offset < self._begins_at):
            self._recognize(records, reached)
            records = [record for record in records if record.offset >= self._begins_at]
        if records:
            self._append(records, now)
        last = self._growing or (self._complete[-1] if self._complete else None)
        if last is None and reached > self._begins_at:
            last = self._growing = Run(now, reached, fetched_at=now)
        if last is not None and reached > last.reached:
            last.reached, last.fetched_at = reached, now

    def due(self, now: float) -> Run | None:
        """Return the run at the front if it can leave as a batch; an old one is complete."""
        if self._growing and now - self._growing.since >= self._limits.age_s:
            self.complete()
        return self._complete[0] if self._complete else None

    def complete(self) -> None:
        """Let what is growing become a batch."""
        if self._growing:
            self._complete.append(self._growing)
            self._growing = None

    def to_pack(self, at_least: int) -> Run | None:
        """Return the first run with so many bytes of unpacked records, or any if it is complete."""
        for run in self._runs():
            if run.records and (run is not self._growing or run.raw >= at_least):
                return run
        return None

    def batch(self) -> Batch:
        """Return the batch at the front."""
        run = self._complete[0]
        return Batch(
            partition=self._partition,
            begins_at=self._begins_at,
            reached=Position(run.reached, run.last or self._last, self._topic_id),
            records=tuple(run.records),
            packed=run.packed,
        )

    def without(self, offset: int) -> None:
        """Take the record at `offset` out of the batch at the front; it covers the same offsets."""
        run = self._complete[0]
        run.records = [record for record in run.records if record.offset != offset]
        run.count = len(run.records)
        run.size, run.raw = weights(run.records)

    def split(self) -> None:
        """Make two batches of the one at the front, which has at least two records."""
        whole = self._complete.popleft()
        middle = len(whole.records) // 2
        first, second = whole.records[:middle], whole.records[middle:]
        halves = [
            Run(
                *(whole.since, reached, last, whole.fetched_at, whole.received_at_s, records),
                count=len(records),
            )
            for records, reached, last in (
                # Not up to the second half: records between the halves may have been set aside.
                (first, first[-1].offset + 1, _place(first[-1])),
                (second, whole.reached, whole.last),
            )
        ]
        for half in reversed(halves):
            half.size, half.raw = weights(half.records)
            half.attempts, half.first_failed_at_ms = whole.attempts, whole.first_failed_at_ms
            self._complete.appendleft(half)

    def applied(self, batch: Batch, now: float) -> None:
        """Let go of the batch at the front: its effect is in the sink."""
        reached = self._complete.popleft().reached
        self._begins_at, self._last = batch.reached.next_offset, batch.reached.last
        # Markers that came while it was on its way: the sink's position is not after them.
        if self.idle and reached > self._begins_at:
            self._growing = Run(now, reached, fetched_at=now)

    def _runs(self) -> list[Run]:
        return [*self._complete, *([self._growing] if self._growing else [])]

    def _recognize(self, records: Sequence[Record], reached: int) -> None:
        """
        Compare `records`, all records from `_last` up to `reached`, with the sink's position.

        Raises:
            Stopped: the topic has another record in the place of `_last`, or a record between
                `_last` and the position, which the sink does not have.
        """
        if self._last is None or (not records and reached <= self._last[0]):
            return
        unknown = [r.offset for r in records if self._last[0] < r.offset < self._begins_at]
        found = _place(records[0]) if records else None
        offset, origin, sequence = self._last
        if unknown or (
            self._to_recognize and found != (offset, origin[:ORIGIN_CHARACTERS_MAX], sequence)
        ):
            raise Stopped(
                f"The last record that the sink has of {self._partition} is sequence {sequence} of "
                f"origin {origin!r} at offset {offset}. The topic has another record there, or "
                f"one between it and offset {self._begins_at}: the topic was restored from an "
                "older copy or created again, or it is another cluster's. To go on, begin in a new "
                "sink, once with CONSUMER_REBUILD=true; see 'A consumer stops' in "
                "docs/runbook.md."
            )
        self._to_recognize = False

    def _append(self, records: Sequence[Record], now: float) -> None:
        while records:
            if self._growing is None:
                self._growing = Run(now, records[0].offset)
            run = self._growing
            if not run.count:
                run.since, run.period = now, self._period(records[0].timestamp_ms)
                run.received_at_s = received_at_s(records[0].headers)
            fitting = records[: self._fitting(run, records)]
            size, raw = weights(fitting)
            if run.size + size > self._limits.bytes:
                fitting = fitting[: self._filling(run, fitting)]
                size, raw = weights(fitting)
            if fitting:
                run.records += fitting
                run.count += len(fitting)
                run.size += size
                run.raw += raw
                run.reached, run.last = fitting[-1].offset + 1, _place(fitting[-1])
                run.fetched_at = now
            records = records[len(fitting) :]
            full = run.count >= self._limits.records or run.size >= self._limits.bytes
            if records or full:
                self.complete()

    def _fitting(self, run: Run, records: Sequence[Record]) -> int:
        """Return how many of `records` the run takes by their number and period."""
        count = min(len(records), self._limits.records - run.count)
        if self._limits.period_s is not None:
            # Only forward: a record that a clock step dated back stays with its neighbours.
            ends_ms = (run.period + 1) * self._limits.period_s * 1000
            later = (i for i in range(count) if records[i].timestamp_ms >= ends_ms)
            count = next(later, count)
        return count

    def _filling(self, run: Run, records: Sequence[Record]) -> int:
        """Return how many of `records`, one at least, bring the run to its bound of bytes."""
        size = run.size
        for index, record in enumerate(records):
            size += weights((record,))[0]
            if size >= self._limits.bytes:
                return index + 1
        return len(records)

    def _period(self, timestamp_ms: int) -> int:
        return (
            0 if self._limits.period_s is None else timestamp_ms // (self._limits.period_s * 1000)
        )


def _place(record: Record) -> tuple[int, str, int]:
    origin, sequence = place(record.headers)
    # Every sink must be able to store it, even if no ingress wrote the record.
    return record.offset, origin[:ORIGIN_CHARACTERS_MAX], sequence


def weights(records: Sequence[Record]) -> tuple[int, int]:
    """Return what `records` count for `Limits.bytes`, and the memory that they take, roughly."""
    values = sum([len(record.value) for record in records])
    headers = sum([len(record.headers) for record in records])
    return values + 32 * headers + 256 * len(records), values + 170 * headers + 350 * len(records)
