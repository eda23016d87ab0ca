"""The factor of `pytest --long`."""

from collections.abc import Iterator

import pytest
from support import tiers


@pytest.fixture
def factor_20() -> Iterator[None]:
    """Multiply by 20, for one test."""
    before = tiers.TIER.factor
    tiers.TIER.factor = 20
    yield
    tiers.TIER.factor = before


@pytest.mark.usefixtures("factor_20")
def test_an_amount_is_multiplied_up_to_its_bound() -> None:
    """A bound below the amount itself does not lower it."""
    assert tiers.scaled(40) == 800
    assert tiers.scaled(10, at_most=50) == 50
    assert tiers.scaled(10, at_most=5) == 10


def test_a_long_run_does_at_least_what_is_named_for_it() -> None:
    """Any factor above 1 makes a run long."""
    assert tiers.scaled(3, in_long_runs=100) == 3
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiers.TIER, "factor", 2)
        assert tiers.scaled(3, in_long_runs=100) == 100
        assert tiers.scaled(60, in_long_runs=100) == 120
