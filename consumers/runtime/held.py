"""Records that were fetched and are not yet in the sink. Pure: time is given, nothing awaits."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from consumers.runtime.batch import Batch, Limits, Partition, Record


@dataclass(slots=True)
class _Run:
    """
    Consecutive records that will be one batch.

    `reached` is behind them and behind the transaction markers that followed; a run of markers
    alone has no record.
    """

    since: float
    reached: int
    records: list[Record] = field(default_factory=list)
    size: int = 0


@dataclass(slots=True)
class _Line:
    """One partition's records: runs that are complete, then the one that still grows."""

    begins_at: int
    not_before: float = 0.0
    complete: deque[_Run] = field(default_factory=deque)
    growing: _Run | None = None


class Held:
    """Per partition a line of records; batches are cut as records come and leave at its front."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._lines: dict[Partition, _Line] = {}

    @property
    def size(self) -> int:
        """Bytes held, over all partitions."""
        return sum(
            run.size
            for line in self._lines.values()
            for run in (*line.complete, line.growing)
            if run is not None
        )

    def idle(self) -> Iterator[tuple[Partition, int]]:
        """Yield the partitions of which nothing is held, and where they go on."""
        for partition, line in self._lines.items():
            if not line.complete and line.growing is None:
                yield partition, line.begins_at

    def begin(self, partition: Partition, next_offset: int) -> None:
        """Hold `partition` from `next_offset` on; what was held of it is dropped."""
        self._lines[partition] = _Line(next_offset)

    def drop(self, partition: Partition) -> None:
        """Hold nothing of `partition`, and take nothing of it until it is begun again."""
        del self._lines[partition]

    def clear(self) -> None:
        """Hold nothing, and take nothing of a partition until it is begun again."""
        self._lines.clear()

    def add(
        self, partition: Partition, records: Iterable[Record], *, reached: int, now: float
    ) -> None:
        """
        Append `records`; those of a partition that was not begun, or before it, are dropped.

        `reached` is where the next fetch goes on: behind the last record and the markers after it.
        """
        line = self._lines.get(partition)
        if line is None:
            return
        for record in records:
            if record.offset < line.begins_at:
                continue
            if line.growing and self._another_period(line.growing, record):
                self._complete(line)
            if line.growing is None:
                line.growing = _Run(now, record.offset)
            run = line.growing
            run.records.append(record)
            run.reached = record.offset + 1
            run.size += record.size
            if len(run.records) >= self._limits.records or run.size >= self._limits.bytes:
                self._complete(line)
        last = line.growing or (line.complete[-1] if line.complete else None)
        if last is None and reached > line.begins_at:
            last = line.growing = _Run(now, reached)
        if last is not None:
            last.reached = max(last.reached, reached)

    def due(self, *, now: float) -> Iterator[Batch]:
        """Yield, once per partition at most, the batch at its front if it reached a bound."""
        for partition, line in list(self._lines.items()):
            if line.growing and now - line.growing.since >= self._limits.age_s:
                self._complete(line)
            if line.complete and now >= line.not_before:
                yield Batch(
                    partition=partition,
                    begins_at=line.begins_at,
                    next_offset=line.complete[0].reached,
                    records=tuple(line.complete[0].records),
                )

    def replace(self, batch: Batch) -> None:
        """Hold `batch` at the front of its line, less what was set aside of it."""
        self._lines[batch.partition].complete[0].records = list(batch.records)

    def applied(self, batch: Batch) -> None:
        """Let go of `batch`, the front of its line: its effect is in the sink."""
        line = self._lines[batch.partition]
        line.complete.popleft()
        line.begins_at = batch.next_offset
        line.not_before = 0.0

    def postpone(self, partition: Partition, *, until: float) -> None:
        """Yield nothing of `partition` before `until`."""
        self._lines[partition].not_before = until

    def _complete(self, line: _Line) -> None:
        if line.growing:
            line.complete.append(line.growing)
            line.growing = None

    def _another_period(self, run: _Run, record: Record) -> bool:
        # Only forward: a record that a clock step dated back stays with its neighbours.
        if self._limits.period_s is None or not run.records:
            return False
        period_ms = self._limits.period_s * 1000
        return record.timestamp_ms // period_ms > run.records[0].timestamp_ms // period_ms
