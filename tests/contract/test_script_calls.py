"""The calls of the script that count one batch are few, however many repeats the batch has."""

import random
from collections import Counter
from typing import Any

import pytest
from support.builders import P0, a_body, a_stored_batch, a_stored_record
from valkey import Valkey

from consumers.counters import batch_sums
from consumers.counters.batch_sums import BatchSums
from consumers.counters.counts import CountersHandler
from consumers.runtime.batch import Position, Record

AT_S = 1_767_542_400
HOUR_S = 3600


def dated(key: str) -> Record:
    """Return a message whose time is known, so that its id is remembered in its minute."""
    body = a_body(MsgKey=key, MsgTime=AT_S)
    return a_stored_record(0, body, received_at_ms=AT_S * 1000)


def undated(key: str, hour: int) -> Record:
    """Return a message without a time, so that its id is remembered in the hour of its receipt."""
    body = a_body(MsgKey=key, MsgTime=None)
    return a_stored_record(0, body, received_at_ms=(AT_S + hour * HOUR_S) * 1000)


async def count(counts: CountersHandler, records: list[Record], first_offset: int) -> int:
    """Count one batch that begins at `first_offset`; return the offset after it."""
    numbered = [each._replace(offset=first_offset + at) for at, each in enumerate(records)]
    await counts.handle(a_stored_batch(*numbered))
    return first_offset + len(records)


def calls(valkey: Valkey) -> int:
    """Return the number of times that Valkey ran a script."""
    stats: Any = valkey.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {}).get("calls", 0) for name in ("eval", "evalsha"))


def counted(valkey: Valkey) -> tuple[int, int]:
    """Return the numbers of messages and of repeats."""
    totals = ("hookline:1:totals:1400000001", ["one_to_one_messages", "repeats"])
    messages, repeats = valkey.hmget(*totals)  # type: ignore[misc]  # typed for both of its clients
    return int(messages or 0), int(repeats or 0)


@pytest.mark.parametrize("ids", [1, 7])
@pytest.mark.parametrize("hour", [None, 0])
async def test_hundreds_of_repeats_of_remembered_ids_take_two_calls(
    counts: CountersHandler, valkey: Valkey, ids: int, hour: int | None
) -> None:
    """The first call finds the ids; the second one counts all their callbacks as repeats."""
    records = [dated(f"m{n}") if hour is None else undated(f"m{n}", hour) for n in range(ids)]
    reached = await count(counts, records, 0)
    before = calls(valkey)
    await count(counts, [*records * (700 // ids), dated("new")], reached)
    assert calls(valkey) - before == 2
    assert counted(valkey) == (ids + 1, 700 // ids * ids)


async def test_ids_of_several_hours_are_counted_as_if_one_by_one(
    counts: CountersHandler, valkey: Valkey
) -> None:
    """The id of an undated message is searched in three hours, so the same id can be new again."""
    chance = random.Random(1)  # noqa: S311 - traffic, not secrets
    for _ in range(12):
        records = [undated(chance.choice("ab"), chance.randrange(9)) for _ in range(200)]
        first = [undated(chance.choice("ab"), chance.randrange(9)) for _ in range(4)]
        results = []
        for sizes in ((4, 200), (1,) * 204):
            valkey.flushall()
            await counts.store_first_position(P0, Position(0))
            await counts.position(P0)
            before, reached, all_records = calls(valkey), 0, [*first, *records]
            for size in sizes:
                part = all_records[reached : reached + size]
                reached = await count(counts, part, reached)
            results.append(counted(valkey))
            if size > 1:
                assert calls(valkey) - before < 20
        assert results[0] == results[1]


async def test_a_part_of_a_batch_is_sent_at_most_twice(
    counts: CountersHandler, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Repeats cost nothing, but a part without them takes no further callbacks in their place."""
    # By the index at which a part begins: how often it was sent.
    sent: Counter[int] = Counter()

    add = BatchSums.add

    def noted(sums: BatchSums, callbacks: Any, first_index: int, *more: Any) -> int:
        sent[first_index] += 1
        return add(sums, callbacks, first_index, *more)

    records = [dated(f"m{n}") for n in range(900)]
    reached = await count(counts, records[::2], 0)
    monkeypatch.setattr(batch_sums, "COST_MAX", 200)
    monkeypatch.setattr(BatchSums, "add", noted)
    before = calls(valkey)
    # Half of the callbacks are repeats of the first batch.
    new = [dated(f"more-{n}") for n in range(450)]
    mixed = [each for pair in zip(records[::2], new, strict=True) for each in pair]
    await count(counts, mixed, reached)
    assert len(sent) > 2
    assert max(sent.values()) == 2
    assert calls(valkey) - before == sent.total()
    assert counted(valkey) == (450 + 450, 450)
