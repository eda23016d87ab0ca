"""The rate at which the spool fills."""

import math

from ingress.health import Growth


def test_the_time_until_the_spool_is_full_follows_from_the_last_minute() -> None:
    """It is infinite while the spool does not grow."""
    growth = Growth()
    assert growth.full_in_s(1000) == math.inf
    growth.note(0.0, 100)
    assert growth.full_in_s(1000) == math.inf
    growth.note(10.0, 200)
    assert growth.full_in_s(1000) == 80.0
    growth.note(20.0, 90)
    assert growth.full_in_s(1000) == math.inf
    growth.note(30.0, 1200)
    assert growth.full_in_s(1000) == 0.0
    for at in range(100):
        growth.note(100.0 + 2 * at, 500)
    assert growth.full_in_s(1000) == math.inf
