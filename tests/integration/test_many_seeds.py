"""The simulations of tests/property with thousands of seeds, on all cores. SEEDS says how many."""

import os
import sys
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

SEEDS = int(os.environ.get("SEEDS", "5000"))
CHAINS = SEEDS * 2 // 5
# A rule's last relaxed run is the one that shows it for so many times.
SHOWN = 3
RELAXED_CHAINS_MAX = SEEDS // 5
AT_ONCE = 50


def run(seeds: range) -> tuple[Counter[str], list[str]]:
    """Return what happened in these seeds' runs of a sink, and what was wrong."""
    return _counted((seed, Run(seed).go()) for seed in seeds)


def run_archive(seeds: range) -> tuple[Counter[str], list[str]]:
    """Return what happened in these seeds' runs of the archive, and what was wrong."""
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


def run_relaxed(rule: str) -> tuple[str, int, int, int]:
    """Return how many runs there were, and in how many records were lost or doubled, or else."""
    broken = wrong = seed = 0
    while seed < RELAXED_CHAINS_MAX and (broken if rule in NEEDED else wrong) < SHOWN:
        done = ArchiveRun(seed, (NEEDED | USEFUL)[rule]).go()
        broken, wrong, seed = broken + bool(done.broken), wrong + bool(done.wrong), seed + 1
    return rule, seed, broken, wrong


def _on_all_cores(call: Callable[..., Told], work: Iterable[object]) -> list[Told]:
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        return list(pool.map(call, work))


@pytest.mark.timeout(900)
@pytest.mark.parametrize("simulated", [run, run_archive])
def test_thousands_of_seeds_lose_nothing_and_double_nothing(
    simulated: Callable[[range], tuple[Counter[str], list[str]]],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """How many, and which faults they had, is printed."""
    seeds = SEEDS if simulated is run else CHAINS
    portions = [range(at, min(at + AT_ONCE, seeds)) for at in range(0, seeds, AT_ONCE)]
    results = _on_all_cores(simulated, portions)
    counted = sum((counted for counted, _ in results), Counter[str]())
    with capsys.disabled():
        what = ", ".join(f"{number} {what}" for what, number in counted.most_common())
        sys.stdout.write(f"\nsimulated: {what}\n")
    assert [each for _, wrong in results for each in wrong] == []
    assert counted["seeds"] == seeds


@pytest.mark.timeout(900)
def test_each_rule_of_the_chain_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    """Relaxed one at a time, each shows; the table of how soon is printed."""
    results = _on_all_cores(run_relaxed, NEEDED | USEFUL)
    with capsys.disabled():
        sys.stdout.write(f"\n{'relaxed rule':44} schedules  lost or doubled  wrong in any way\n")
        for rule, schedules, broken, wrong in results:
            sys.stdout.write(f"{rule:44}{schedules:10}{broken:17}{wrong:18}\n")
    assert {rule for rule, _, broken, _ in results if broken} >= NEEDED.keys()
    # `hookline archive verify` tells it, or a consumer stops.
    assert {rule for rule, _, _, wrong in results if wrong} >= USEFUL.keys()
