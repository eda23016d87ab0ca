"""The counts remember ids with few bytes each, find repeats, and all ids expire."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from support.builders import APP, MAD_TIMES, P0, a_body, a_stored_batch, a_stored_record
from support.counting import counting
from valkey import Valkey

from consumers.runtime.batch import Position, Record

BEGIN = datetime(2026, 1, 5, tzinfo=UTC)
HOUR = timedelta(hours=1)
DAY_S = 24 * 3600
REMEMBER_S = 8 * DAY_S
BYTES_MAX = 12

# As if an hour had passed in the store: every key expires an hour earlier.
AN_HOUR_PASSES = """
local expiring = 0
for _, key in ipairs(redis.call('KEYS', '*')) do
    local at = redis.call('PEXPIRETIME', key)
    if at > 0 then
        expiring = expiring + 1
        redis.call('PEXPIREAT', key, at - 3600000)
    end
end
return expiring
"""


class Traffic:
    """Counts callbacks, one batch after the other."""

    def __init__(self, valkey_url: str) -> None:
        self.counts = counting(
            valkey_url, remember_s=REMEMBER_S, keep_minutes_s=REMEMBER_S, people_exact_max=100
        )
        self.reached = 0

    async def count(self, *records: Record) -> None:
        """Count these records."""
        if not self.reached:
            await self.counts.store_first_position(P0, Position(0))
        numbered = [each._replace(offset=self.reached + at) for at, each in enumerate(records)]
        await self.counts.handle(a_stored_batch(*numbered))
        self.reached += len(numbered)


@pytest.fixture
async def traffic(valkey_url: str) -> Any:
    """Yield traffic that is counted in the empty Valkey."""
    made = Traffic(valkey_url)
    yield made
    await made.counts.close()


def with_id(record: Record, identity: str) -> Record:
    """Return the record with another id."""
    return record._replace(
        headers=[(n, identity.encode() if n == "ce_id" else v) for n, v in record.headers]
    )


def a_message(key: str, at_ms: int, app: str = APP, **fields: Any) -> Record:
    """Return a message's record; `key` determines its id."""
    body = a_body(MsgKey=key, **fields)
    return a_stored_record(0, body, received_at_ms=at_ms, sdkappid=app)


def memory(valkey: Valkey, pattern: str) -> tuple[int, int]:
    """Return the number of keys and of their bytes, names included."""
    keys = list(valkey.scan_iter(pattern, count=10_000))
    with valkey.pipeline(transaction=False) as pipeline:
        for key in keys:
            pipeline.execute_command("MEMORY", "USAGE", key, "SAMPLES", "0")
        return len(keys), sum(pipeline.execute())


def used_memory(valkey: Valkey) -> int:
    """Return the memory of the whole store, in bytes."""
    memory: Any = valkey.info("memory")
    return int(memory["used_memory"])


def repeats(valkey: Valkey) -> int:
    """Return the number of callbacks that were counted as repeats."""
    return int(valkey.execute_command("HGET", "hookline:1:totals:1400000001", "repeats") or 0)


async def test_a_remembered_id_takes_few_bytes_and_each_is_found_again(
    traffic: Traffic, valkey: Valkey, scaled: Callable[..., int], say: Callable[[str], None]
) -> None:
    """This holds while the set grows: some ids are sent a second time, at random."""
    chance = random.Random(1)  # noqa: S311 - traffic, not secrets
    at_ms = int(BEGIN.timestamp() * 1000)
    sent, again, before = 0, 0, used_memory(valkey)
    ids = scaled(9000)
    while sent < ids:
        fresh = [f"key-{sent + at}" for at in range(900)]
        known = [f"key-{chance.randrange(sent)}" for _ in range(100)] if sent else []
        sent, again = sent + len(fresh), again + len(known)
        both = fresh + known
        chance.shuffle(both)
        await traffic.count(*(a_message(key, at_ms, MsgTime=at_ms // 1000) for key in both))
        assert repeats(valkey) == again
    _, taken = memory(valkey, "hookline:1:ids:*")
    buckets = [key for key in valkey.scan_iter("hookline:1:ids:*") if not key.endswith(b":size")]
    sizes = [valkey.execute_command("SCARD", bucket) for bucket in buckets]
    assert sum(sizes) == sent
    assert int(valkey.execute_command("GET", buckets[0].rpartition(b":")[0] + b":size")) == sent
    assert {valkey.execute_command("OBJECT", "ENCODING", bucket) for bucket in buckets} == {
        b"intset"
    }
    ends = {
        valkey.execute_command("PEXPIRETIME", key) for key in valkey.scan_iter("hookline:1:ids:*")
    }
    assert len(ends) == 1
    say(
        f"{sent} ids, {again} repeats found; {len(buckets)} buckets of {min(sizes)} to "
        f"{max(sizes)} ids; {taken / sent:.1f} bytes an id (MEMORY USAGE), "
        f"{(used_memory(valkey) - before) / sent:.1f} with all else (INFO)"
    )
    assert taken / sent <= BYTES_MAX


async def test_a_single_id_in_its_hour_takes_one_key(traffic: Traffic, valkey: Valkey) -> None:
    """Small apps have many hours with few callbacks."""
    at_ms = int(BEGIN.timestamp() * 1000)
    await traffic.count(a_message("1", at_ms, MsgTime=at_ms // 1000))
    keys, taken = memory(valkey, "hookline:1:ids:*")
    assert keys == 1
    assert taken < 250


async def test_no_expiry_is_ever_renewed(traffic: Traffic, valkey: Valkey) -> None:
    """This is true of every key of the hour; buckets that are added expire with the others."""
    at_ms = int(BEGIN.timestamp() * 1000)

    def messages(first: int, last: int) -> list[Record]:
        return [a_message(f"key-{at}", at_ms, From_Account=f"a{at}") for at in range(first, last)]

    await traffic.count(*messages(0, 1))
    for key in valkey.scan_iter("*"):
        if valkey.execute_command("TTL", key) > 0:
            valkey.execute_command("EXPIRE", key, 100)
    await traffic.count(*messages(1, 900))
    left = {key: valkey.execute_command("TTL", key) for key in valkey.scan_iter("*")}
    expiring = {key: seconds for key, seconds in left.items() if seconds >= 0}
    assert {key.split(b":")[2] for key in expiring} == {
        *(b"ids", b"minute-people", b"minutes", b"quarters", b"quarter-sketch"),
        *(b"days", b"day-people", b"day-sketch", b"month-sketch"),
    }
    assert len(expiring) > 10
    assert max(expiring.values()) <= 100
    assert {key.split(b":")[2] for key in left.keys() - expiring.keys()} == {
        *(b"apps", b"zones", b"kept", b"applied", b"sequence-sums", b"secret", b"positions"),
        *(b"totals", b"people", b"total-sketch", b"conversations"),
    }


async def test_a_deleted_key_comes_back_with_an_expiry(traffic: Traffic, valkey: Valkey) -> None:
    """Deleted by hand or by a wrong eviction policy: counting continues, and every key expires."""
    at_ms = int(BEGIN.timestamp() * 1000)
    for first in range(0, 9000, 900):
        keys = (f"key-{at}" for at in range(first, first + 900))
        await traffic.count(*(a_message(key, at_ms, MsgTime=at_ms // 1000) for key in keys))
        ids = sorted(valkey.scan_iter("hookline:1:ids:*"))
        assert [key for key in ids if valkey.execute_command("TTL", key) < 0] == []
        valkey.delete(*(key for key in ids if key[-1] in b"024"))
    assert (
        valkey.execute_command("HGET", "hookline:1:totals:1400000001", "one_to_one_messages")
        == b"9000"
    )


async def test_keys_of_two_apps_are_never_the_same(traffic: Traffic, valkey: Valkey) -> None:
    """For any name of an app by another producer: a key of another type would end the script."""
    at_s = int(BEGIN.timestamp())
    hour = at_s // 3600
    for app in ("1", f"1:{hour}", f"1:{hour}:0"):
        await traffic.count(
            *(
                a_message(f"key-{at}", at_s * 1000, app, MsgTime=time)
                for at in range(250)
                for time in (at_s, 0)
            )
        )
    assert repeats(valkey) == 0
    assert valkey.execute_command("HGET", "hookline:1:totals:1", "one_to_one_messages") == b"500"


async def test_ids_of_places_are_not_remembered(traffic: Traffic, valkey: Valkey) -> None:
    """No other callback has such an id; the position prevents a second count of the same record."""
    body = b'{"CallbackCommand":"Push.OfflinePush","Events":[{"EventType":1,"TaskId":"t1"}]}'
    await traffic.count(*(a_stored_record(at, body) for at in range(4000)))
    assert list(valkey.scan_iter("hookline:1:ids:*")) == []
    assert repeats(valkey) == 0
    by_command = valkey.execute_command(
        "HGET", "hookline:1:totals:1400000001", "command:Push.OfflinePush"
    )
    assert int(by_command) == 4000


@pytest.mark.timeout(600)
async def test_weeks_of_callbacks_without_a_plausible_time_do_not_grow_the_store(
    traffic: Traffic, valkey: Valkey, say: Callable[[str], None]
) -> None:
    """Every kind of id, each hour for four weeks; the clock of the store is moved, too."""
    passes = valkey.register_script(AN_HOUR_PASSES)
    by_day: list[tuple[int, int, int]] = []
    push = b'{"CallbackCommand":"Push.OfflinePush","Events":[{"EventType":1,"TaskId":"t1"}]}'
    for hour in range(28 * 24):
        at_ms = int((BEGIN + hour * HOUR).timestamp() * 1000)
        await traffic.count(
            *(
                a_stored_record(traffic.reached + at, push, received_at_ms=at_ms)
                for at in range(10)
            ),
            *(with_id(a_message("", at_ms), f"other-{hour}-{at}") for at in range(10)),
            *(
                a_message(f"mad-{hour}-{at}", at_ms, MsgTime=time)
                for at, time in enumerate(MAD_TIMES)
            ),
            *(
                a_message(f"{hour}-{at}", at_ms, MsgTime=at_ms // 1000)
                for at in range(10 if hour % 24 else 600)
            ),
            # A sender's clock whose error grows by an hour each hour, in either direction.
            *(
                a_message(f"away-{hour}-{sign}", at_ms, MsgTime=at_ms // 1000 + sign * hour * 3600)
                for sign in (-1, 1)
            ),
        )
        passes()
        if hour % 24 == 23:
            ids = memory(valkey, "hookline:1:ids:*")
            by_day.append((*ids, memory(valkey, "*")[1]))
    assert repeats(valkey) == 0
    for day in (6, 13, 20, 27):
        keys, taken, whole = by_day[day]
        say(f"after {day + 1} days: {keys} keys of ids, {taken} bytes; {whole} bytes in all")
    # From the ninth day on, as many ids expire as are added.
    settled = by_day[9:]
    assert max(keys for keys, _, _ in settled) <= 1.05 * settled[0][0]
    assert max(whole for _, _, whole in settled) <= 1.05 * settled[0][2]
    left = max(valkey.execute_command("TTL", key) for key in valkey.scan_iter("hookline:1:ids:*"))
    assert 0 < left <= REMEMBER_S + 3600
    for _ in range(8 * 24 + 1):
        passes()
    assert list(valkey.scan_iter("hookline:1:ids:*")) == []
    assert list(valkey.scan_iter("hookline:1:minute*")) == []


async def test_without_the_secret_nobody_can_make_two_ids_with_one_hash(
    traffic: Traffic, valkey: Valkey
) -> None:
    """The secret is random, created once, and used by every member."""
    await traffic.count(a_message("1", 0))
    secret = valkey.execute_command("GET", "hookline:1:secret")
    assert len(secret) == 32
    rival = counting(f"valkey://127.0.0.1:{valkey.get_connection_kwargs()['port']}/0")
    await rival.handle(a_stored_batch(a_message("1", 0)._replace(offset=1)))
    await rival.close()
    assert repeats(valkey) == 1
    assert valkey.execute_command("GET", "hookline:1:secret") == secret
