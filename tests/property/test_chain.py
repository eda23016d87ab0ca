"""The archive's chain under writers that sleep, writes that land late, and expiry."""

import pytest
from support.simulation.relaxed_rules import NEEDED
from support.simulation.simulated_archive import ArchiveRun, Rules

SEEDS = 40


@pytest.mark.parametrize("seed", range(SEEDS))
def test_every_record_is_in_the_chain_exactly_once_whatever_fails(seed: int) -> None:
    """Without overlap and without gap, those that have expired included; and verify agrees."""
    assert ArchiveRun(seed, Rules()).go().wrong == []


@pytest.mark.parametrize(
    "rule", ["named by the writer's clock", "the next begun before the last is confirmed"]
)
def test_without_a_rule_of_the_chain_records_are_lost_or_doubled(rule: str) -> None:
    """So the simulation can tell; tests/integration/test_many_seeds.py relaxes all others, too."""
    assert any(ArchiveRun(seed, NEEDED[rule]).go().broken for seed in range(99))
