"""The benchmark of the counters: simulated callbacks that differ, and what is concluded."""

import itertools
from collections import Counter

import orjson

from bench.counters.callbacks import APP, RATE, Traffic, callbacks
from schemas.record import ID, callback_record

BEGINS_AT_MS = 1_800_000_000_000


def some(users: int, number: int, *, first: int = 0, step: int = 1) -> list[dict[str, object]]:
    """Return the bodies of the first callbacks."""
    traffic = Traffic(users=users, begins_at_ms=BEGINS_AT_MS, first=first, step=step)
    return [
        orjson.loads(callback.body) for callback in itertools.islice(callbacks(traffic), number)
    ]


def test_no_callback_of_any_producer_is_a_repeat() -> None:
    """A repeat would be counted apart, so a topic with repeats would look cheaper or dearer."""
    ids = Counter(
        dict(callback_record(callback).headers)[ID]
        for first in range(3)
        for callback in itertools.islice(
            callbacks(Traffic(users=10, begins_at_ms=BEGINS_AT_MS, first=first, step=3)), 3000
        )
    )
    assert len(ids) == 9000


def test_every_person_writes_in_turn_and_in_one_conversation() -> None:
    """So a topic of any size has the number of people that was asked for, if it is long enough."""
    messages = [body for body in some(1000, 1000) if "To_Account" in body]
    pairs = {frozenset((body["From_Account"], body["To_Account"])) for body in messages}
    assert len(pairs) < 500
    people = Counter(person for pair in pairs for person in pair)
    assert set(people.values()) == {1}
    assert (
        len({body["From_Account"] for body in some(1000, 20_000) if "To_Account" in body}) == 1000
    )
    assert {body["To_Account"] for body in some(1, 100) if "To_Account" in body} == {"user0"}


def test_times_advance_by_the_rate_however_fast_they_are_made() -> None:
    """Otherwise a million callbacks would be of one minute, which nothing has to be kept for."""
    traffic = Traffic(users=10, begins_at_ms=BEGINS_AT_MS, first=1, step=3)
    made = list(itertools.islice(callbacks(traffic), 101))
    assert made[-1].received_at_ms - made[0].received_at_ms == 300 * 1000 // RATE
    assert {callback.sdkappid for callback in made} == {APP}
    for callback in made:
        body = orjson.loads(callback.body)
        assert int(body["EventTime"]) == callback.received_at_ms
        assert body["CallbackCommand"] == callback.command
