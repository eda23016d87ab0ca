"""The goals of the counters' benchmark, compared with what was measured."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from bench.counters.measure import Run
from bench.counters.questions import QUESTIONS, Asked
from bench.goals import Goal, goal_of_rounds


@dataclass(slots=True, kw_only=True)
class Results:
    """
    The results of one run of the benchmark.

    `compared` are the runs of all counters on one topic, and of several members of ours there;
    `by_users` are runs of ours on topics that differ in the number of people. In `asked`, the
    statistics API answers while one member of ours counts.
    """

    compared: list[Run] = field(default_factory=list)
    by_users: list[Run] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    # Why a peer was not measured.
    left_out: str = ""

    def of(self, counter: str, size: int = 1) -> list[Run]:
        """Return the runs of a counter with that number of members, one for each round."""
        return [run for run in self.compared if (run.counter, run.size) == (counter, size)]

    @property
    def members(self) -> list[Run]:
        """Our runs with any number of members."""
        return [run for run in self.compared if run.counter == "hookline"]

    @property
    def runs(self) -> list[Run]:
        """All runs."""
        return [*self.compared, *self.by_users]

    @property
    def users(self) -> list[int]:
        """The numbers of people that were measured."""
        return sorted({run.users for run in self.by_users})

    @property
    def wrong(self) -> int:
        """Records that are not counted exactly once."""
        return sum(run.wrong for run in self.runs)


def late_cpu_us(run: Run) -> float:
    """Return the CPU of members and Valkey for each record of the last third."""
    return sum(run.late_us or ())


def goals(results: Results) -> Iterator[Goal]:
    """Yield every goal. Ratios are of two runs of one round, never of an older run."""
    ours = results.of("hookline")

    def ratios(peer: str, figure: Callable[[Run], float]) -> list[float]:
        by_round = {run.round: figure(run) for run in results.of(peer)}
        return [figure(run) / by_round[run.round] for run in ours if by_round.get(run.round)]

    valkey_us, cpu_us = [run.valkey_us for run in ours], [run.cpu_us for run in ours]
    yield goal_of_rounds("Valkey's CPU a record", valkey_us, bound=5, at_most=True, unit=" µs")
    yield goal_of_rounds("a member's CPU a record", cpu_us, bound=9, at_most=True, unit=" µs")
    for what, peer, figure, bound in (
        ("CPU of member and Valkey / `incr_pfadd`", "incr_pfadd", _both_us, 0.6),
        ("Valkey's CPU / `incr_pfadd`", "incr_pfadd", _valkey_us, 1.3),
        ("CPU of member and Valkey / `quix_window`", "quix_window", _both_us, 0.4),
        ("a member's CPU / `counting_tamed`", "counting_tamed", _cpu_us, 2.5),
    ):
        yield goal_of_rounds(what, ratios(peer, figure), bound=bound, at_most=True)
    yield goal_of_rounds(
        "CPU of member and Valkey a record, with the most people / with the fewest",
        _growth(results),
        bound=1.5,
        at_most=True,
    )
    for asked in QUESTIONS:
        p99_ms = [run.answer_ms(asked, 99) for run in results.asked]
        what = f"p99 of `{asked}` while one member counts"
        yield goal_of_rounds(what, p99_ms, bound=20, at_most=True, unit=" ms")
    longest_ms = [run.calls_ms["100"] for run in results.asked]
    yield goal_of_rounds(
        "longest script call in Valkey meanwhile", longest_ms, bound=100, at_most=True, unit=" ms"
    )


def _growth(results: Results) -> list[float]:
    """Return, for each round, the cost of a record of the last third of most / fewest people."""
    if len(results.users) < 2:
        return []
    fewest, *_, most = results.users
    by_round = {(run.round, run.users): late_cpu_us(run) for run in results.by_users if run.late_us}
    return [
        cost_us / by_round[number, fewest]
        for (number, users), cost_us in by_round.items()
        if users == most and by_round.get((number, fewest))
    ]


def _cpu_us(run: Run) -> float:
    return run.cpu_us


def _valkey_us(run: Run) -> float:
    return run.valkey_us


def _both_us(run: Run) -> float:
    return run.cpu_us + run.valkey_us
