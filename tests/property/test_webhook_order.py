"""The real delivery of a webhook under faults at every await: order and completeness."""

from collections.abc import Callable

import pytest
from support.webhook.simulation import RECORDS, Run

from consumers.webhook import circuit

SEEDS = 20


def check(seed: int) -> None:
    """Assert that a callback came only after all earlier ones of its conversation, and all came."""
    run = Run(seed).go()
    assert run.target.wrong == [], seed
    assert len(run.target.done) == RECORDS, seed
    assert run.loop.complaints == [], seed


@pytest.mark.parametrize("seed", range(SEEDS))
def test_first_deliveries_are_complete_and_in_the_order_of_the_topic(seed: int) -> None:
    """Whatever is killed, replaced, or answered too late."""
    check(seed)


@pytest.mark.parametrize("conversations", [1, 2, 9])
def test_a_target_that_cannot_be_reached_gets_everything_and_nothing_is_parked(
    conversations: int, scaled: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """However few conversations there are; it continues within the longest wait of a probe."""
    # An hour of tenths of a second takes long to simulate.
    monkeypatch.setattr(circuit, "CHECK_INTERVAL_S", 1.0)
    for seed in range(scaled(2, at_most=SEEDS * 4)):
        run = Run(seed, conversations=conversations)
        parked, seconds = run.outage(3600)
        assert (parked, run.target.wrong, run.loop.complaints) == (0, [], []), seed
        assert seconds < 3600, seed


def test_more_seeds_keep_the_order(scaled: Callable[..., int]) -> None:
    """With --long, hundreds of them."""
    for seed in range(SEEDS, SEEDS + scaled(5, at_most=1000)):
        check(seed)
