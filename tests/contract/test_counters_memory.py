"""What a day of callbacks takes in Valkey, by kind of key."""

import random
from collections import Counter
from collections.abc import Callable

import pytest
from support.builders import P0, a_body, a_stored_batch, a_stored_record
from support.counting import counting
from valkey import Valkey

from consumers.runtime.batch import Position

DAY_S = 24 * 3600
BEGIN_S = 1_767_542_400  # midnight of 2026-01-05 in Shanghai
PEOPLE = 2000
AT_ONCE = 2000


@pytest.mark.timeout(600)
async def test_a_day_takes_a_bounded_amount_of_memory(
    valkey_url: str, scaled: Callable[..., int], say: Callable[[str], None]
) -> None:
    """One app, messages over a whole day; `--long` has more of them."""
    chance = random.Random(1)  # noqa: S311 - traffic, not secrets
    number = scaled(10_000)
    counts = counting(
        valkey_url,
        remember_s=8 * DAY_S,
        keep_minutes_s=90 * DAY_S,
        keep_quarters_s=40 * DAY_S,
        keep_days_s=3650 * DAY_S,
        people_exact_max=1_000_000,
        conversations_max=5_000_000,
    )
    await counts.store_first_position(P0, Position(0))
    for first in range(0, number, AT_ONCE):
        records = []
        for at in range(first, min(first + AT_ONCE, number)):
            sent_s = BEGIN_S + at * DAY_S // number
            sender, recipient = (f"user{chance.randrange(PEOPLE)}" for _ in range(2))
            body = a_body(MsgKey=f"{at}", MsgTime=sent_s, From_Account=sender, To_Account=recipient)
            records.append(a_stored_record(at, body, received_at_ms=sent_s * 1000))
        await counts.handle(a_stored_batch(*records))
    await counts.close()
    taken: Counter[str] = Counter()
    with Valkey.from_url(valkey_url) as valkey:
        for key in valkey.scan_iter("hookline:1:*"):
            used = valkey.execute_command("MEMORY", "USAGE", key, "SAMPLES", "0")
            taken[key.decode().split(":")[2]] += used
    kinds = ", ".join(f"{kind} {size}" for kind, size in taken.most_common())
    say(f"{number} messages of {PEOPLE} people in a day, bytes by kind of key: {kinds}")
    # Each id in its minute; with so few of them a key's own 100 bytes are most of it.
    assert taken["ids"] / number < 40
    # Four figures, of which each person is in all: 8 to 9 bytes each.
    assert taken["day-people"] / PEOPLE < 4 * 12
    sketches = ("day-sketch", "month-sketch", "total-sketch")
    assert all(taken[kind] <= 5 * 13_000 * 2 for kind in sketches)
