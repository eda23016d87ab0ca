"""The archive's chain with suspended writers, late writes, and expiry."""

import pytest
from support.simulation.relaxed_rules import NEEDED
from support.simulation.simulated_archive import ArchiveRun, Rules

# tests/integration/test_many_seeds.py runs thousands of seeds, and relaxes each rule.
SEEDS = 8


@pytest.mark.parametrize("seed", range(SEEDS))
def test_every_record_is_in_the_chain_exactly_once_under_any_faults(seed: int) -> None:
    """There is no overlap and no gap, expired segments included, and `verify` agrees."""
    assert ArchiveRun(seed, Rules()).go().wrong == []


def test_without_a_rule_of_the_chain_records_are_lost_or_doubled() -> None:
    """The simulation detects a writer that names segments by its own clock."""
    rules = NEEDED["named by the writer's clock"]
    assert any(ArchiveRun(seed, rules).go().broken for seed in range(99))
