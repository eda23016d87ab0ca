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
