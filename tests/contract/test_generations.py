"""The generations of counts in a real Valkey."""

import asyncio
from collections.abc import AsyncIterator

import pytest
from valkey.asyncio import Valkey

from ops.counters import lock
from ops.counters.generations import Generations, OddGeneration
from ops.counters.lock import AnotherRebuild, only_rebuild


@pytest.fixture
async def valkey(valkey_url: str) -> AsyncIterator[Valkey]:
    """Yield a client of an empty Valkey."""
    client: Valkey = Valkey.from_url(valkey_url)
    yield client
    await client.aclose()


@pytest.mark.parametrize("odd", ["", "two", "-1", "0", "01", "1.5", "9" * 30])
async def test_an_odd_generation_of_a_rebuild_is_named(valkey: Valkey, odd: str) -> None:
    """With the command that removes it; nothing is changed."""
    await valkey.set("hookline:rebuilding", odd)
    generations = Generations(valkey)
    for action in (generations.rebuilding, generations.begin, generations.remove_others):
        with pytest.raises(OddGeneration, match="valkey-cli DEL hookline:rebuilding"):
            await action()
    assert await valkey.get("hookline:rebuilding") == odd.encode()


@pytest.fixture
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a lock that expires after 5 s; if this process stands still so long, it is lost."""
    monkeypatch.setattr(lock, "LOCK_S", 5.0)
    monkeypatch.setattr(lock, "RENEW_INTERVAL_S", 0.05)


@pytest.mark.usefixtures("_short")
async def test_a_second_rebuild_is_refused_while_the_first_one_runs(valkey: Valkey) -> None:
    """The error names the process; afterwards the lock is free at once."""
    async with only_rebuild(valkey):
        with pytest.raises(AnotherRebuild, match=r"another rebuild .* runs: pid [0-9]+ on "):
            async with only_rebuild(valkey):
                pass
    assert not await valkey.exists(lock.KEY)
    async with only_rebuild(valkey):
        assert await valkey.exists(lock.KEY)


@pytest.mark.usefixtures("_short")
async def test_the_lock_of_a_killed_rebuild_expires(valkey: Valkey) -> None:
    """The next one waits for that."""
    await valkey.set(lock.KEY, "pid 1 on a machine", px=300)
    async with only_rebuild(valkey):
        holder = await valkey.get(lock.KEY)
        assert holder is not None
        assert b"a machine" not in holder


@pytest.mark.usefixtures("_short")
async def test_a_rebuild_that_has_lost_its_lock_to_another_one_ends(valkey: Valkey) -> None:
    """If no other one has it, as after an outage, it is taken again."""
    async with only_rebuild(valkey):
        await valkey.delete(lock.KEY)
        async with asyncio.timeout(180):
            while not await valkey.exists(lock.KEY):
                pass

    async def lose() -> None:
        async with only_rebuild(valkey):
            await valkey.set(lock.KEY, "pid 1 on a machine")
            await asyncio.sleep(60)

    with pytest.raises(AnotherRebuild, match="this one ends"):
        await lose()
    assert await valkey.get(lock.KEY) == b"pid 1 on a machine"
