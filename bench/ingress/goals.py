"""The goals of the ingress benchmark, compared with what was measured."""

import math
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from bench.ingress.compression import Compressed
from bench.ingress.faults import Faults
from bench.ingress.load import Report
from bench.ingress.measure import Figures
from bench.ingress.outage import HalfLoad, Outage

# The number of connections at which servers are compared.
CONNECTIONS = 64
OURS = ("hookline", "hookline_2")

Run = TypeVar("Run")


@dataclass(slots=True, kw_only=True)
class Results:
    """The results of one run of the benchmark."""

    closed: list[Figures] = field(default_factory=list)
    half_load: list[HalfLoad] = field(default_factory=list)
    awaiting_without_kafka: Report | None = None
    outage: Outage | None = None
    compression: list[Compressed] = field(default_factory=list)
    faults: list[Faults] = field(default_factory=list)

    def of(self, server: str, connections: int) -> list[Figures]:
        """Return a server's runs with that number of connections, one for each round."""
        return [
            each for each in self.closed if (each.server, each.connections) == (server, connections)
        ]

    @property
    def missing(self) -> int:
        """The number of OKs of this ingress that are not in Kafka; any is a broken promise."""
        runs = [run for run in self.closed if run.server in OURS]
        runs += [run for half in self.half_load for run in (half.up, half.down)]
        lost = sum(run.lost for run in self.faults if run.server in OURS)
        return sum(run.missing for run in runs) + (self.outage.missing if self.outage else 0) + lost


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """One goal and the measured value in its unit; NaN if it was not measured."""

    what: str
    bound: float
    at_most: bool
    measured: float
    unit: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None if it was not measured."""
        if math.isnan(self.measured):
            return None
        return self.measured <= self.bound if self.at_most else self.measured >= self.bound


def median(runs: Sequence[Run], figure: Callable[[Run], float]) -> float:
    """Return the median of a value over all rounds; NaN if there are none."""
    return statistics.median(map(figure, runs)) if runs else math.nan


def goals(results: Results) -> Iterator[Goal]:
    """Yield every goal. Ratios are of medians of this run, never of an older one."""

    def ratio(ours: str, peer: str, figure: Callable[[Figures], float]) -> float:
        return median(results.of(ours, CONNECTIONS), figure) / median(
            results.of(peer, CONNECTIONS), figure
        )

    yield Goal(
        what="CPU a callback, forwarding to Kafka included / bare aiohttp's",
        bound=1.35,
        at_most=True,
        measured=ratio("hookline", "bare_aiohttp", lambda run: run.cost.server_us),
    )
    for ours, peer, bound in (
        ("hookline", "bare_aiohttp", 0.77),
        ("hookline", "aiohttp_awaiting", 1.4),
        ("hookline", "fastapi_awaiting", 4.0),
        ("hookline_2", "hookline", 1.5),
    ):
        yield Goal(
            what=f"OK/s of {ours} / {peer}",
            bound=bound,
            at_most=False,
            measured=ratio(ours, peer, lambda run: run.report.ok_per_s),
        )
    up = median(results.half_load, lambda run: run.up.report.p99_ms)
    down = median(results.half_load, lambda run: run.down.report.p99_ms)
    outage = results.outage
    yield Goal(what="p99 at half load", bound=5, at_most=True, measured=up, unit=" ms")
    yield Goal(
        what="p99 at half load, Kafka down / Kafka up",
        bound=1.1,
        at_most=True,
        measured=down / up,
    )
    yield Goal(
        what="largest RSS, Kafka down for the whole run",
        bound=150,
        at_most=True,
        measured=outage.rss_mib if outage else math.nan,
        unit=" MiB",
    )
    yield Goal(
        what="time to catch up / time of the outage, load going on",
        bound=1,
        at_most=True,
        measured=_catching_up(outage) if outage else math.nan,
    )


def _catching_up(outage: Outage) -> float:
    return math.inf if outage.caught_up_s is None else outage.caught_up_s / outage.outage_s
