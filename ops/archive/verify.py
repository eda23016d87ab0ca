"""
`hookline archive verify`: read the whole archive and report every fault.

It may run while a writer runs: only the sequences of the segments that were listed first are
judged. Segments that expire meanwhile are skipped.
"""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from consumers.archive.store import SegmentStore
from consumers.runtime.batch import Partition
from ops.archive.new_segments import NewSegments, moved_beginning, names_of, new_segments
from ops.archive.segments import in_order
from ops.archive.soundness import Chain, CheckedSegment, check
from ops.failure import ExitCode
from ops.sequences import SequenceRange, Sequences, gaps, subtract

LISTED_MAX = 20
POLL_INTERVAL_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginSequences:
    """
    The sequences of one origin in the archive.

    `absent`: sequences between the lowest and the highest that are in no segment and have not
    expired; `listed` has the first ranges of them. `doubled`: those that are in it more than once.
    """

    sequences: int
    absent: int = 0
    listed: list[tuple[int, int]] = field(default_factory=list)
    doubled: int = 0
    doubled_listed: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyResult:
    """The result. `size`: the bytes that were read. `faults`: pairs of segment name and fault."""

    segments: int
    records: int
    size: int
    faults: list[tuple[str, str]]
    origins: dict[str, OriginSequences]

    @property
    def sound(self) -> bool:
        """True if all segments are as written, without a gap, and no sequence is doubled."""
        return not self.faults and not any(each.doubled for each in self.origins.values())

    @property
    def absent(self) -> int:
        """Absent sequences: dead letters, and callbacks that are still on their way."""
        return sum(each.absent for each in self.origins.values())

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of the command."""
        is_incomplete = not self.segments or bool(self.absent)
        return ExitCode.of_result(faults=not self.sound, incomplete=is_incomplete)

    def as_dict(self) -> dict[str, object]:
        """Return the result for `--json`."""
        return asdict(self) | {"sound": self.sound, "absent": self.absent}


class Findings:
    """The faults and the sequences of everything that was read so far."""

    def __init__(self) -> None:
        self.faults: list[tuple[str, str]] = []
        self.segment_count = self.record_count = self.size = 0
        self._chains: dict[Partition, Chain] = {}
        self._sequences: dict[str, Sequences] = {}
        # By partition and origin, the sequence of the last record.
        self._last: dict[tuple[Partition, str], int] = {}
        self._expired: dict[str, list[SequenceRange]] = {}
        # By origin, the highest sequence at the first report: later ones may still be on their way.
        self._until: dict[str, int] | None = None

    def add(self, partition: Partition, checked: CheckedSegment) -> None:
        """Append a segment to its partition's chain."""
        self._chains.setdefault(partition, Chain()).add(checked)
        faults = list(checked.faults)
        self.segment_count += 1
        self.record_count += len(checked.places)
        for origin, sequence in checked.places:
            if not sequence:
                continue  # no ingress wrote it
            is_new = self._sequences.setdefault(origin, Sequences()).add(sequence)
            if is_new and sequence < self._last.get((partition, origin), 0):
                faults.append(f"sequence {sequence} of {origin} comes after a higher one")
            self._last[partition, origin] = sequence
        if checked.summary and not checked.summary.records:
            for origin, expired in checked.summary.origins.items():
                self._expired.setdefault(origin, []).append(expired)
        # Thousands of lines may have the same fault.
        self.faults += [(checked.name, fault) for fault in itertools.islice(faults, LISTED_MAX)]

    def report(self) -> VerifyResult:
        """Return the current result for the sequences that had been seen at the first call."""
        if self._until is None:
            self._until = {origin: each.highest for origin, each in self._sequences.items()}
        return VerifyResult(
            segments=self.segment_count,
            records=self.record_count,
            size=self.size,
            faults=self.faults + [each for c in self._chains.values() for each in c.faults],
            origins={
                origin: self._origin(origin, self._until[origin]) for origin in sorted(self._until)
            },
        )

    def _origin(self, origin: str, until: int) -> OriginSequences:
        sequences = self._sequences[origin]
        absent = [
            part
            for gap in gaps(sequences.distinct, sequences.distinct.min(), until)
            for part in subtract(gap, self._expired.get(origin, []))
        ]
        return OriginSequences(
            sequences=len(sequences.distinct),
            absent=sum(last - first + 1 for first, last in absent),
            listed=absent[:LISTED_MAX],
            doubled=len(sequences.doubled),
            doubled_listed=list(sequences.doubled[:LISTED_MAX]),
        )


async def verify(
    store: SegmentStore,
    *,
    wait_s: float,
    listed: Callable[[int], None],
    step: Callable[[], None],
) -> VerifyResult:
    """
    Read every segment; wait up to `wait_s` for sequences that are absent.

    Calls `listed` with the number of further segments to read, `step` for each that was read.

    Raises:
        Unavailable: the store does not answer.
    """
    deadline = time.monotonic() + wait_s
    findings = Findings()
    read_up_to: dict[Partition, str] = {}
    while True:
        partitions = await new_segments(store, read_up_to)
        listed(sum(each.count for each in partitions))
        for each in partitions:
            read_up_to[each.partition] = await _read(store, each, findings, step)
        report = findings.report()
        if not report.absent or time.monotonic() > deadline:
            return report
        await asyncio.sleep(POLL_INTERVAL_S)


async def _read(
    store: SegmentStore, new: NewSegments, findings: Findings, step: Callable[[], None]
) -> str:
    """Read the new segments of a partition; return the last name that was read."""
    partition, beginning = new.partition, ""
    async with contextlib.aclosing(in_order(names_of(store, new), store.read)) as segments:
        async for name, content in segments:
            step()
            if name <= beginning:
                continue  # expired as well, or the beginning that was read already
            if content is not None:
                findings.size += len(content)
                findings.add(partition, await asyncio.to_thread(check, name, content))
            elif moved := await moved_beginning(store, partition, name):
                beginning = moved[0]
                findings.add(partition, await asyncio.to_thread(check, *moved))
            else:
                findings.faults.append(
                    (name, "it was deleted during the verification, and not by expiry")
                )
    return max(new.until, beginning)
