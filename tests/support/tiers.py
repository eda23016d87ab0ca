"""
How much the tests do: seeds, kills and Hypothesis examples, times the factor of `pytest --long`.

A test of logic or of real processes names the small amount that `make test` runs. With `--long=20`
the same test does twenty times as much, or up to the bound that it gives.
"""

import sys
from dataclasses import dataclass

from hypothesis import HealthCheck, settings


@dataclass
class Tier:
    """The factor of this run; `pytest_configure` sets it before any test module is imported."""

    factor: int = 1


TIER = Tier()


def scaled(count: int, *, at_most: int = sys.maxsize, in_long_runs: int = 0) -> int:
    """
    Return `count` times the factor, but not more than `at_most`, nor less than `count`.

    With any factor above 1 it is at least `in_long_runs`.
    """
    if TIER.factor == 1:
        return count
    return max(count, min(count * TIER.factor, at_most), in_long_runs)


def use_factor(factor: int) -> None:
    """Set the factor, for Hypothesis too."""
    TIER.factor = factor
    # One profile for people and CI: derandomized, so that a red run can be repeated.
    settings.register_profile(
        "house",
        max_examples=scaled(30),
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    settings.load_profile("house")
