"""The simulations of tests/property with thousands of seeds, on all cores."""

from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import TypeVar

import pytest
from support.simulation.relaxed_rules import NEEDED, USEFUL
from support.simulation.simulated_archive import ArchiveRun, Rules
from support.simulation.simulated_run import Run

Told = TypeVar("Told")

# A relaxed rule shows within so many runs.
RELAXED_RUNS_MAX = 1000
# These rules take 28 to 300 runs to show.
SHOW_LATE = {
    "created in any case",
    "the next begun before the last is confirmed",
    "the loser keeps its batch",
    "expired above the log start",
    "held batches have no limit of age",
}
SHOW_SOON = (NEEDED | USEFUL).keys() - SHOW_LATE
AT_ONCE = 50


def run(seeds: range) -> tuple[Counter[str], list[str]]:
    """Return the faults of these seeds' runs of a sink, and what was wrong."""
    return _counted((seed, Run(seed).go()) for seed in seeds)


def run_archive(seeds: range) -> tuple[Counter[str], list[str]]:
    """Return the faults of these seeds' runs of the archive, and what was wrong."""
    return _counted((seed, ArchiveRun(seed, Rules()).go()) for seed in seeds)


def _counted(runs: Iterable[tuple[int, Run | ArchiveRun]]) -> tuple[Counter[str], list[str]]:
    counted: Counter[str] = Counter()
    wrong: list[str] = []
    for seed, done in runs:
        counted += done.faults
        counted["seeds"] += 1
        counted["records"] += sum(len(log.records) for log in done.topic.logs.values())
        wrong += [f"seed {seed}: {each}" for each in done.wrong]
    return counted, wrong


def run_relaxed(rule: str) -> tuple[str, int, bool, bool]:
    """Return how many runs it took until the relaxed rule showed, and in which way."""
    for seed in range(RELAXED_RUNS_MAX):
        done = ArchiveRun(seed, (NEEDED | USEFUL)[rule]).go()
        if done.broken if rule in NEEDED else done.wrong:
            return rule, seed + 1, bool(done.broken), bool(done.wrong)
    return rule, RELAXED_RUNS_MAX, False, False


def _on_all_cores(call: Callable[..., Told], work: Iterable[object]) -> list[Told]:
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        return list(pool.map(call, work))


@pytest.mark.long  # tests/property runs some seeds
@pytest.mark.timeout(900)
@pytest.mark.parametrize("simulated", [run, run_archive])
def test_thousands_of_seeds_lose_nothing_and_double_nothing(
    simulated: Callable[[range], tuple[Counter[str], list[str]]],
    scaled: Callable[..., int],
    say: Callable[[str], None],
) -> None:
    """The number of seeds and their faults are printed."""
    seeds = scaled(250, at_most=2000) if simulated is run else scaled(100, at_most=800)
    portions = [range(at, min(at + AT_ONCE, seeds)) for at in range(0, seeds, AT_ONCE)]
    results = _on_all_cores(simulated, portions)
    counted = sum((counted for counted, _ in results), Counter[str]())
    say(f"simulated: {', '.join(f'{number} {what}' for what, number in counted.most_common())}")
    assert [each for _, wrong in results for each in wrong] == []
    assert counted["seeds"] == seeds


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "rules",
    [
        pytest.param(SHOW_SOON, id="soon"),
        pytest.param(SHOW_LATE, id="late", marks=pytest.mark.long),
    ],
)
def test_each_rule_of_the_chain_is_needed(rules: set[str], say: Callable[[str], None]) -> None:
    """If a rule is relaxed, some run loses or doubles a record, or stops."""
    results = _on_all_cores(run_relaxed, sorted(rules))
    for rule, runs, _, _ in results:
        say(f"relaxed rule shown by run {runs}: {rule}")
    assert {rule for rule, _, broken, _ in results if broken} >= NEEDED.keys() & rules
    # `hookline archive verify` reports it, or a consumer stops.
    assert {rule for rule, _, _, wrong in results if wrong} >= USEFUL.keys() & rules
