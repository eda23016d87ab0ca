"""The goals of the archive benchmark, compared with what was measured."""

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from bench.archive.reading import Run
from bench.goals import Goal, median


@dataclass(slots=True, kw_only=True)
class Results:
    """The results of one run of the benchmark. Readers are compared at `records`."""

    records: int
    runs: list[Run] = field(default_factory=list)

    def of(self, reader: str, records: int | None = None) -> list[Run]:
        """Return the runs of a reader on a topic of `records`, one for each round."""
        wanted = (reader, self.records if records is None else records)
        return [run for run in self.runs if (run.reader, run.records) == wanted]

    @property
    def sizes(self) -> list[int]:
        """The sizes of the topic that this archive was measured at."""
        return sorted({run.records for run in self.runs if run.reader == "hookline"})

    @property
    def wrong(self) -> int:
        """Records that are not archived exactly once."""
        return sum(run.wrong for run in self.runs)


def further_us(results: Results) -> dict[int, float]:
    """
    Return, by size, the CPU of each record that this size has more than the next smaller one.

    So the cost of a process before its first record does not count.
    """
    cpu_s = {
        size: median(results.of("hookline", size), lambda run: run.cpu_s) for size in results.sizes
    }
    return {
        large: (cpu_s[large] - cpu_s[small]) / (large - small) * 1e6
        for small, large in itertools.pairwise(results.sizes)
    }


def goals(results: Results) -> Iterator[Goal]:
    """Yield every goal. Ratios are of medians of this run, never of an older one."""

    def ratio(peer: str, figure: Callable[[Run], float]) -> float:
        return median(results.of("hookline"), figure) / median(results.of(peer), figure)

    yield Goal(
        what="CPU a record of hookline / counting_tamed",
        bound=1.9,
        at_most=True,
        measured=ratio("counting_tamed", lambda run: run.cpu_us),
    )
    yield Goal(
        what="records/s of hookline / plain_loop",
        bound=1.4,
        at_most=False,
        measured=ratio("plain_loop", lambda run: run.per_s),
    )
    ours = [run.rss_mib for run in results.runs if run.reader == "hookline"]
    yield Goal(
        what="largest RSS of hookline, whatever the backlog",
        bound=150,
        at_most=True,
        measured=max(ours, default=math.nan),
        unit=" MiB",
    )
    slopes = list(further_us(results).values())
    yield Goal(
        what="CPU of a further record, in the last step of the backlog / in the first",
        bound=1.1,
        at_most=True,
        measured=slopes[-1] / slopes[0] if len(slopes) > 1 else math.nan,
    )
