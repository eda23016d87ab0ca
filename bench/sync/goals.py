"""The goals of sync and of the webhook, compared with what was measured."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from bench.goals import Goal, goal_of_rounds
from bench.sync.measure import Run
from bench.sync.webhook.deliveries import Deliveries
from bench.sync.webhook.waits import Waits


@dataclass(slots=True, kw_only=True)
class Results:
    """The results of one run of the benchmark. `left_out`: why a writer was not measured."""

    written: list[Run] = field(default_factory=list)
    delivered: list[Deliveries] = field(default_factory=list)
    waits: list[Waits] = field(default_factory=list)
    left_out: str = ""

    def of(self, writer: str) -> list[Run]:
        """Return the runs of a writer, one for each round."""
        return [run for run in self.written if run.writer == writer]

    def by(self, sender: str, in_flight: int) -> list[Deliveries]:
        """Return the runs of a sender with so many requests in flight, one for each round."""
        wanted = (sender, in_flight)
        return [run for run in self.delivered if (run.sender, run.in_flight) == wanted]

    def with_failing(self, failing: int) -> list[Waits]:
        """Return the runs in which so many conversations failed, one for each round."""
        return [run for run in self.waits if run.failing == failing]

    @property
    def in_flight(self) -> list[int]:
        """The numbers of requests in flight that were measured."""
        return sorted({run.in_flight for run in self.delivered})

    @property
    def wrong(self) -> int:
        """Rows that are not written exactly once, and callbacks that are not delivered."""
        return (
            sum(run.wrong for run in self.written)
            + sum(run.missing for run in self.delivered)
            + sum(run.missing for run in self.waits)
        )


def goals(results: Results) -> Iterator[Goal]:
    """Yield every goal. Ratios are of two runs of one round, never of an older run."""

    def written(peer: str, figure: Callable[[Run], float]) -> list[float]:
        by_round = {run.round: figure(run) for run in results.of(peer)}
        ours = results.of("hookline")
        return [figure(run) / by_round[run.round] for run in ours if run.round in by_round]

    for what, peer, figure, bound, at_most in (
        ("rows/s / `row_by_row`", "row_by_row", _per_s, 20.0, False),
        ("rows/s / `version_1`", "version_1", _per_s, 0.8, False),
        ("CPU of sync a row / `version_1`", "version_1", _cpu_us, 0.5, True),
    ):
        yield goal_of_rounds(what, written(peer, figure), bound=bound, at_most=at_most)
    for in_flight in results.in_flight:
        bare = {run.round: run.per_s for run in results.by("bare_client", in_flight)}
        ours = results.by("webhook", in_flight)
        yield goal_of_rounds(
            f"deliveries/s / `bare_client`, {in_flight} in flight",
            [run.per_s / bare[run.round] for run in ours if run.round in bare],
            bound=0.7,
            at_most=False,
        )
    healthy = {run.round: run.report.p99_ms for run in results.with_failing(0)}
    yield goal_of_rounds(
        "p99 of the others, one conversation failing / none",
        [
            run.report.p99_ms / healthy[run.round]
            for run in results.with_failing(1)
            if run.round in healthy
        ],
        bound=1.2,
        at_most=True,
    )


def _per_s(run: Run) -> float:
    return run.per_s


def _cpu_us(run: Run) -> float:
    return run.cpu_us
