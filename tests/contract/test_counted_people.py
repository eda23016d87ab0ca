"""Sets of many people: each person is counted once, and every bucket stays small."""

import random
from typing import Any

import pytest
from support.builders import APP, P0, a_body, a_stored_batch, a_stored_record
from support.counting import counting
from valkey import Valkey

from consumers.counters import layout
from consumers.runtime.batch import Position
from schemas.figures import ACTIVE

PEOPLE = 4000
# Large batches, which Valkey looks up, then small ones, which it adds without a look-up.
BATCHES = [*[400] * 6, *[30] * 60]
# Valkey keeps a larger set of integers as a table of 40 to 55 bytes a member.
BUCKET_MEMBERS_MAX = 512
NOON_MS = 1_767_585_600_000


@pytest.mark.parametrize("exact_max", [PEOPLE, 3300])
async def test_each_of_many_people_is_counted_once(
    valkey_url: str, valkey: Valkey, exact_max: int
) -> None:
    """
    Each batch is counted by a member that knows nobody, so that Valkey must find who is new.

    At the bound the figure stops exactly there, and is marked as estimated.
    """
    chance, seen = random.Random(7), set[int]()  # noqa: S311 - no secret
    offset = 0
    for size in BATCHES:
        pairs = [chance.sample(range(PEOPLE), 2) for _ in range(size)]
        for pair in pairs:
            seen.update(pair)
        messages = [
            a_stored_record(
                offset + at,
                a_body(MsgKey=f"{offset + at}", From_Account=f"p{one}", To_Account=f"p{other}"),
                received_at_ms=NOON_MS,
            )
            for at, (one, other) in enumerate(pairs)
        ]
        offset += size
        member = counting(valkey_url, people_exact_max=exact_max)
        await member.store_first_position(P0, Position(0))
        await member.handle(a_stored_batch(*messages))
        await member.close()
    (name,) = (
        key.removesuffix(":size")
        for key in map(bytes.decode, valkey.scan_iter("*day-people*:size"))
        if f":{ACTIVE}:" in key
    )
    date = name.rpartition(":")[2]
    counted: Any = valkey.hgetall(layout.days_of_month(1, APP, date))
    assert (layout.day_field(date, layout.SKETCHED + ACTIVE).encode() in counted) == (
        exact_max < len(seen)
    )
    wanted = min(len(seen), exact_max)
    assert int(counted[layout.day_field(date, ACTIVE).encode()]) == wanted
    assert valkey.get(f"{name}:size") == b"%d" % wanted
    buckets: list[Any] = [valkey.scard(key) for key in valkey.scan_iter(f"{name}:[0-9]*")]
    assert sum(buckets) == wanted
    assert max(buckets) <= BUCKET_MEMBERS_MAX
