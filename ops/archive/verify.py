"""
Read the whole archive and find what is not as it was written.

Segments that are written meanwhile are no concern of ours: what is judged is fixed when the
segments are listed first. Those that expire meanwhile are passed over.
"""

import asyncio
import itertools
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field

from consumers.archive.store import Store
from consumers.runtime.batch import Partition
from ops.archive.segments import NewSegments, in_order, moved_beginning, names_of, new_segments
from ops.archive.soundness import Chain, Checked, check
from ops.audit.numbers import Numbers, without
from ops.failure import ExitCode

LISTED_MAX = 20
POLL_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Numbered:
    """
    One origin's sequences in the archive.

    `absent`: between the lowest and the highest, and in no segment, nor among those that expired.
    `listed` holds the first runs of these, `doubled_listed` the first of what is there twice.
    """

    sequences: int
    absent: int = 0
    listed: list[tuple[int, int]] = field(default_factory=list)
    doubled: int = 0
    doubled_listed: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """What was found. `faults`: the segment's name, and what is wrong with it."""

    segments: int
    records: int
    size: int
    faults: list[tuple[str, str]]
    origins: dict[str, Numbered]

    @property
    def sound(self) -> bool:
        """Tell whether everything that is there is as it was written, once, without a gap."""
        return not self.faults and not any(each.doubled for each in self.origins.values())

    @property
    def absent(self) -> int:
        """Sequences that are not there; dead letters never are, and some may be on their way."""
        return sum(each.absent for each in self.origins.values())

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of the command."""
        return ExitCode.of_result(faults=not self.sound, unproven=bool(self.absent))

    def as_dict(self) -> dict[str, object]:
        """Return the result for `--json`."""
        return asdict(self) | {"sound": self.sound, "absent": self.absent}


class Findings:
    """What has been read so far, over all partitions."""

    def __init__(self) -> None:
        self.faults: list[tuple[str, str]] = []
        self.segments = self.records = self.size = 0
        self._chains: dict[Partition, Chain] = {}
        self._numbers: dict[str, Numbers] = {}
        self._doubled: dict[str, list[int]] = {}
        self._latest: dict[tuple[Partition, str], int] = {}
        self._expired: dict[str, list[tuple[int, int]]] = {}
        # By origin, up to where it is judged: what came later may be on its way elsewhere.
        self._until: dict[str, int] | None = None

    def take(self, partition: Partition, checked: Checked) -> None:
        """Append a segment to its partition's chain."""
        self._chains.setdefault(partition, Chain()).add(checked)
        faults = list(checked.faults)
        self.segments += 1
        self.records += len(checked.places)
        for origin, sequence in checked.places:
            if not sequence:
                continue  # no ingress wrote it
            if not self._numbers.setdefault(origin, Numbers()).add(sequence):
                self._doubled.setdefault(origin, []).append(sequence)
            elif sequence < self._latest.get((partition, origin), 0):
                faults.append(f"sequence {sequence} of {origin} is behind a later one")
            self._latest[partition, origin] = sequence
        if checked.summary and not checked.summary.records:
            for origin, run in checked.summary.origins.items():
                self._expired.setdefault(origin, []).append(run)
        # Thousands of lines may have the same fault.
        self.faults += [(checked.name, fault) for fault in itertools.islice(faults, LISTED_MAX)]

    def report(self) -> Verified:
        """Return what is known now of what had been seen at the first call."""
        if self._until is None:
            self._until = {origin: seen.highest for origin, seen in self._numbers.items()}
        return Verified(
            segments=self.segments,
            records=self.records,
            size=self.size,
            faults=self.faults + [each for c in self._chains.values() for each in c.faults],
            origins={
                origin: self._origin(origin, self._until[origin]) for origin in sorted(self._until)
            },
        )

    def _origin(self, origin: str, until: int) -> Numbered:
        seen, doubled = self._numbers[origin], self._doubled.get(origin, [])
        absent = [
            run
            for hole in seen.holes(seen.lowest, until)
            for run in without(hole, self._expired.get(origin, []))
        ]
        return Numbered(
            sequences=seen.count,
            absent=sum(last - first + 1 for first, last in absent),
            listed=absent[:LISTED_MAX],
            doubled=len(doubled),
            doubled_listed=doubled[:LISTED_MAX],
        )


async def verify(
    store: Store,
    *,
    wait_s: float,
    listed: Callable[[int], None],
    step: Callable[[], None],
) -> Verified:
    """
    Read every segment; wait up to `wait_s` for sequences that are absent.

    `listed` is called with the number of further segments to read, `step` for each that was read.

    Raises:
        Unavailable: the store does not answer.
    """
    deadline = time.monotonic() + wait_s
    findings = Findings()
    reached: dict[Partition, str] = {}
    while True:
        partitions = await new_segments(store, reached)
        listed(sum(each.count for each in partitions))
        for each in partitions:
            reached[each.partition] = await _read(store, each, findings, step)
        report = findings.report()
        if not report.absent or time.monotonic() > deadline:
            return report
        await asyncio.sleep(POLL_S)


async def _read(
    store: Store, new: NewSegments, findings: Findings, step: Callable[[], None]
) -> str:
    """Read a partition's fresh segments; return the name up to which it has been read."""
    partition, moved = new.partition, ""
    async for name, content in in_order(names_of(store, new), store.read):
        step()
        if name <= moved:
            continue  # expired, too, or seen
        if content is not None:
            findings.size += len(content)
            findings.take(partition, await asyncio.to_thread(check, name, content))
        elif found := await moved_beginning(store, partition, name):
            moved = found[0]
            findings.take(partition, await asyncio.to_thread(check, *found))
        else:
            findings.faults.append((name, "it was deleted meanwhile, and not by expiry"))
    return max(new.until, moved)
