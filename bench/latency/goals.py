"""The goals of the latency benchmark, compared with what was measured."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from bench.goals import Goal, goal_of_rounds
from bench.latency.observer import COUNTS, KAFKA, POSTGRES
from bench.latency.run import Run

GOALS_RATE = 1000
P99_MS_MAX = {KAFKA: 150, POSTGRES: 600, COUNTS: 600}


@dataclass(slots=True, kw_only=True)
class Results:
    """The results of one run of the benchmark; `faults` of what is not exactly once everywhere."""

    runs: list[Run] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)

    def of(self, rate: int) -> list[Run]:
        """Return the runs at a rate, one for each round."""
        return [run for run in self.runs if run.rate == rate]

    @property
    def rates(self) -> list[int]:
        """The rates that were measured."""
        return sorted({run.rate for run in self.runs})


def goals(results: Results) -> Iterator[Goal]:
    """Yield every goal. A rate that was not carried in one round misses them."""
    runs = results.of(GOALS_RATE)
    for place, bound in P99_MS_MAX.items():
        values = [math.inf if run.not_carried else run.latencies[place].p99_ms for run in runs]
        what = f"p99 from receipt to {place} at {GOALS_RATE:,}/s"
        yield goal_of_rounds(what, values, bound=bound, at_most=True, unit=" ms")
