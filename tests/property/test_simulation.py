"""The real runner and workers with a Kafka and a sink in memory, and faults at every await."""

import pytest
from support.simulation.simulated_run import Run

# tests/integration/test_many_seeds.py runs thousands of seeds.
SEEDS = 20


@pytest.mark.parametrize("seed", range(SEEDS))
def test_every_record_is_in_the_sink_exactly_once_under_any_faults(seed: int) -> None:
    """Or it is a dead letter; no position skips a record, and in the end the sink catches up."""
    assert Run(seed).go().wrong == []


@pytest.mark.parametrize("seed", [5, 8])
def test_a_seed_is_always_the_same_run(seed: int) -> None:
    """Otherwise a failed run could not be repeated."""
    first, second = Run(seed).go(), Run(seed).go()
    assert first.faults == second.faults
    assert first.dead_letters.offsets == second.dead_letters.offsets
    # Compare the time of each write, too.
    assert first.sink.stood == second.sink.stood
    assert first.sink.stood
