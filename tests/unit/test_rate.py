"""A rate is measured over the last minute."""

import pytest

from schemas.rate import Rates


def noted(*samples: tuple[float, int]) -> Rates:
    """Return the rates of a number with these values at these times."""
    rates = Rates(window_s=60.0)
    for now_s, number in samples:
        rates.note(now_s, {"records": number})
    return rates


@pytest.mark.parametrize(
    ("samples", "per_s"),
    [
        ([], None),
        ([(0.0, 7)], None),
        ([(0.0, 7), (2.0, 8)], 0.5),
        ([(0.0, 0), (30.0, 600), (60.0, 600)], 10.0),
        # The first sample is older than a minute.
        ([(0.0, 0), (30.0, 600), (61.0, 600), (90.0, 600)], 0.0),
        # A spool that got a new origin counts from 1 again.
        ([(0.0, 600), (2.0, 0)], 0.0),
        ([(2.0, 0), (2.0, 1)], None),
    ],
)
def test_the_rate_is_the_growth_of_the_last_minute(
    samples: list[tuple[float, int]], per_s: float | None
) -> None:
    """Not known until there are two samples."""
    assert noted(*samples).per_s("records") == per_s
