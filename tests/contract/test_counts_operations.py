"""What an operator can do to a Valkey by hand or by its settings: the counts wait, or stop."""

from collections.abc import Iterator
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from support.builders import P0, a_body, a_stored_batch, a_stored_record
from support.counting import counting
from support.statistics import statistics_api
from valkey import Valkey

from consumers.counters.counts import CountersHandler
from consumers.counters.server import connect
from consumers.runtime.handler import Stopped, Unavailable
from schemas.setting import Secret


@pytest.fixture
def valkey(valkey_url: str) -> Iterator[Valkey]:
    """Yield a client; afterwards the server has its former settings."""
    with Valkey.from_url(valkey_url, decode_responses=True) as client:
        yield client
        client.config_set("maxmemory", 0)
        client.config_set("maxmemory-policy", "noeviction")


async def count(counts: CountersHandler, offset: int) -> None:
    """Count a message that no other offset has."""
    body = a_body(MsgKey=str(offset), From_Account=f"user{offset}", To_Account="b")
    await counts.handle(a_stored_batch(a_stored_record(offset, body)))


def keys(valkey: Valkey, pattern: str) -> list[str]:
    """Return the names of keys."""
    names: Any = valkey.keys(pattern)
    return list(names)


def totals(valkey: Valkey) -> dict[str, int]:
    """Return some numbers of all that was counted."""
    (key,) = keys(valkey, "hookline:1:totals:*")
    stored: Any = valkey.hgetall(key)
    return {name: int(stored.get(name, 0)) for name in ("callbacks", "active", "repeats")}


@pytest.mark.parametrize("text", ["", "0", "01", "-1", "+1", "1 ", "1_0", "one", "9" * 400])
async def test_a_text_that_is_no_generation_is_named_and_counting_goes_on_when_it_is_right(
    counts: CountersHandler, valkey: Valkey, valkey_url: str, text: str
) -> None:
    """Python reads some of them as a number, with which the script would never agree."""
    await count(counts, 0)
    valkey.set("hookline:generation", text)
    with pytest.raises(Unavailable, match="hookline:generation"):
        await count(counts, 1)
    with pytest.raises(Unavailable, match="hookline:generation"):
        await counts.position(P0)
    reader = connect(Secret(valkey_url))
    async with (
        TestClient(TestServer(statistics_api(reader))) as client,
        client.get("/v1/totals") as response,
    ):
        assert response.status == 503
        assert "hookline:generation" in (await response.json(content_type=None))["detail"]
    await reader.aclose()
    valkey.delete("hookline:generation")
    await count(counts, 1)
    assert totals(valkey) == {"callbacks": 2, "active": 3, "repeats": 0}


async def test_a_generation_without_positions_is_not_counted_into(
    counts: CountersHandler, valkey: Valkey
) -> None:
    """The consumer then asks for the position, and finds none."""
    valkey.set("hookline:generation", 7)
    assert await counts.position(P0) is None
    assert keys(valkey, "hookline:7:*") == []


@pytest.mark.parametrize("policy", ["allkeys-lru", "volatile-ttl"])
async def test_a_valkey_that_would_evict_counts_is_refused(
    valkey: Valkey, valkey_url: str, policy: str
) -> None:
    """Counts that it drops would be missing, and nobody would see it."""
    valkey.config_set("maxmemory", "1gb")
    valkey.config_set("maxmemory-policy", policy)
    counts = counting(valkey_url)
    with pytest.raises(Stopped, match=f"maxmemory-policy.*{policy}"):
        await counts.position(P0)
    valkey.config_set("maxmemory", 0)
    assert await counts.position(P0) is None
    await counts.close()


async def test_a_full_valkey_counts_nothing_of_a_batch_and_all_of_it_later(
    counts: CountersHandler, valkey: Valkey
) -> None:
    """The script's first write is refused, so there is no half."""
    await count(counts, 0)
    before = totals(valkey)
    valkey.config_set("maxmemory", 1)
    for _ in range(2):
        with pytest.raises(Unavailable, match="maxmemory"):
            await count(counts, 1)
    assert totals(valkey) == before
    valkey.config_set("maxmemory", 0)
    await count(counts, 1)
    assert totals(valkey) == {"callbacks": 2, "active": 3, "repeats": 0}


async def test_people_whom_a_lost_call_counted_are_counted_again(
    counts: CountersHandler, valkey: Valkey
) -> None:
    """An older copy is restored: the member forgets whom it knows, and counts them again."""
    await count(counts, 0)
    copy = {
        key: valkey.execute_command("DUMP", key, NEVER_DECODE=True) for key in keys(valkey, "*")
    }
    await count(counts, 1)
    valkey.flushall()
    for key, dump in copy.items():
        valkey.restore(key, 0, dump)
    # The position is the one before: the runtime continues there.
    position = await counts.position(P0)
    assert position is not None
    assert position.next_offset == 1
    await count(counts, 1)
    await count(counts, 2)
    assert totals(valkey) == {"callbacks": 3, "active": 4, "repeats": 0}
