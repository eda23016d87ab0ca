"""
The goals of the ingress benchmark, compared with what was measured.

Most are ratios of two servers that were measured one after the other, in the same round: what
disturbs the machine for longer than that disturbs both. A round gives one ratio; the goal is for
the median of all rounds.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from bench.goals import Goal, goal_of_rounds
from bench.ingress.compression import Compressed
from bench.ingress.faults import Faults
from bench.ingress.load import Report
from bench.ingress.measure import Figures
from bench.ingress.outage import HalfLoad, Outage
from bench.ingress.servers import COMPARED_AT

OURS = ("hookline", "hookline_ids")
IDS = ("hookline_ids", "hookline")
AWAITING = ("hookline", "aiohttp_awaiting")
CPU = "CPU per callback"

Figure = Callable[[Figures], float]


@dataclass(slots=True, kw_only=True)
class Results:
    """The results of one run of the benchmark."""

    closed: list[Figures] = field(default_factory=list)
    half_load: list[HalfLoad] = field(default_factory=list)
    awaiting_without_kafka: Report | None = None
    outage: Outage | None = None
    compression: list[Compressed] = field(default_factory=list)
    faults: list[Faults] = field(default_factory=list)
    # Why a peer was not measured.
    left_out: str = ""

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


def ratios(ours: Sequence[Figures], peer: Sequence[Figures], figure: Figure) -> list[float]:
    """Return ours / the peer's of each round in which both answered OK."""
    by_round = {run.round: figure(run) for run in peer if run.report.ok}
    return [
        figure(run) / by_round[run.round] for run in ours if run.report.ok and run.round in by_round
    ]


def goals(results: Results) -> Iterator[Goal]:
    """Yield every goal. Ratios are of this run's rounds, never of an older run."""
    for what, ours, peer, figure, at_most, bound, connections in (
        (f"{CPU} / `hello`", "hookline", "hello", _cpu, True, 0.85, COMPARED_AT),
        (f"{CPU} / `bare`", "hookline", "bare", _cpu, True, 1.05, COMPARED_AT),
        (f"{CPU} / `durable_streams`", "hookline", "durable_streams", _cpu, True, 2.4, COMPARED_AT),
        (f"{CPU}, new ids in each request / without ids", *IDS, _cpu, True, 1.15, COMPARED_AT),
        ("OK/s / `hello`", "hookline", "hello", _ok_per_s, False, 1.05, COMPARED_AT),
        ("OK/s / `aiohttp_awaiting`", *AWAITING, _ok_per_s, False, 1.9, COMPARED_AT),
        ("p99 / `durable_streams`", "hookline", "durable_streams", _p99, True, 0.25, COMPARED_AT),
        ("p50, one connection / `aiohttp_awaiting`", *AWAITING, _p50, True, 1.0, 1),
    ):
        runs, peers = (results.of(name, connections) for name in (ours, peer))
        yield goal_of_rounds(what, ratios(runs, peers, figure), bound=bound, at_most=at_most)
    halves = [half for half in results.half_load if half.up.report.ok and half.down.report.ok]
    up = [half.up.report.p99_ms for half in halves]
    yield goal_of_rounds("p99 at half load, Kafka up", up, bound=5, at_most=True, unit=" ms")
    up_down = [half.up.report.p99_ms / half.down.report.p99_ms for half in halves]
    yield goal_of_rounds("p99 at half load, Kafka up / down", up_down, bound=1.2, at_most=True)
    outage = results.outage
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


def _cpu(run: Figures) -> float:
    return run.cost.server_us


def _ok_per_s(run: Figures) -> float:
    return run.report.ok_per_s


def _p50(run: Figures) -> float:
    return run.report.p50_ms


def _p99(run: Figures) -> float:
    return run.report.p99_ms


def _catching_up(outage: Outage) -> float:
    return math.inf if outage.caught_up_s is None else outage.caught_up_s / outage.outage_s
