"""The generations of counts in a real Valkey."""

from collections.abc import AsyncIterator

import pytest
from valkey.asyncio import Valkey

from ops.counters.generations import Generations, OddGeneration


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
