"""The real delivery of a webhook under faults at every await: order, completeness, repeats."""

import pytest
from support.tiers import scaled
from support.webhook.simulation import RECORDS, Run

SEEDS = scaled(30, at_most=3000)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_first_deliveries_are_complete_and_in_the_order_of_the_topic(seed: int) -> None:
    """A callback comes only after all earlier ones of its conversation, whatever happens."""
    run = Run(seed).go()
    assert run.target.wrong == []
    assert len(run.target.done) == RECORDS
    assert run.loop.complaints == []
