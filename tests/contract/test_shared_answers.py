"""One answer for all who ask the same, counted by the commands that a real Valkey gets."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import closing
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer
from support.builders import P0, a_stored_batch, a_stored_record
from support.counting import counting
from support.statistics import statistics_api
from valkey import Valkey

from consumers.counters.server import connect
from consumers.runtime.batch import Position
from consumers.stats import live, shared
from consumers.stats.shared import SharedAnswers
from schemas.setting import Secret

VIEWERS = 200


@pytest.fixture
async def api(valkey_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Any]:
    """Yield the API of an app, without live updates of its own."""
    monkeypatch.setattr(live, "UPDATE_S", 3600.0)
    monkeypatch.setattr(shared, "SHARED_S", 3600.0)
    counts = counting(valkey_url)
    await counts.store_first_position(P0, Position(0))
    await counts.handle(a_stored_batch(a_stored_record(0, received_at_ms=int(time.time() * 1000))))
    valkey = connect(Secret(valkey_url))
    async with TestClient(TestServer(statistics_api(valkey))) as client:
        yield client
    await valkey.aclose()
    await counts.close()


async def ask(api: TestClient[Any, Any], path: str) -> bytes:
    """Return the body of an answer."""
    async with api.get(path) as response:
        assert response.status == 200
        return await response.read()


def reads(valkey_url: str) -> int:
    """Return the number of commands that Valkey got which read counts."""
    with closing(Valkey.from_url(valkey_url)) as valkey:
        stats: Any = valkey.info("commandstats")
    return sum(
        stats.get(f"cmdstat_{name}", {}).get("calls", 0)
        for name in ("hmget", "pfcount", "smembers")
    )


async def test_200_concurrent_viewers_cost_as_many_reads_as_one(
    api: TestClient[Any, Any], valkey_url: str
) -> None:
    """An app and a zone are a question; another zone is another one."""
    await ask(api, "/v1/summary?tz=Asia/Tokyo")  # connects
    before = reads(valkey_url)
    await ask(api, "/v1/summary?tz=Europe/Berlin")
    of_one = reads(valkey_url) - before
    assert of_one > 5
    bodies = await asyncio.gather(*(ask(api, "/v1/summary") for _ in range(VIEWERS)))
    assert len(set(bodies)) == 1
    csv = await asyncio.gather(*(ask(api, "/v1/summary?format=csv") for _ in range(VIEWERS)))
    assert len(set(csv)) == 1
    of_all = reads(valkey_url) - before - of_one
    # JSON and CSV are two answers. The first ones are also asked with the apps of before.
    assert of_all <= 3 * of_one


async def test_an_answer_that_is_being_made_is_waited_for() -> None:
    """It is made once, and all get it; after an update it is made again."""
    answers, made, go = SharedAnswers(), 0, asyncio.Event()

    async def make() -> bytes:
        nonlocal made
        made += 1
        await go.wait()
        return b"%d" % made

    asking = [asyncio.create_task(answers.answer("q", make)) for _ in range(9)]
    await asyncio.sleep(0)
    # One goes; the others still wait for it.
    asking.pop().cancel()
    await asyncio.sleep(0)
    go.set()
    assert set(await asyncio.gather(*asking)) == {b"1"}
    assert await answers.answer("q", make) == b"1"
    assert await answers.answer("other", make) == b"2"
    answers.forget()
    assert await answers.answer("q", make) == b"3"
    await answers.close()


async def test_who_asks_after_an_update_does_not_get_the_answer_from_before() -> None:
    """Although that is still being made; it is not kept in place of the later one either."""
    answers, go = SharedAnswers(), asyncio.Event()

    async def old() -> bytes:
        await go.wait()
        return b"old"

    async def new() -> bytes:
        return b"new"

    before = asyncio.create_task(answers.answer("q", old))
    await asyncio.sleep(0)
    answers.forget()
    assert await answers.answer("q", new) == b"new"
    go.set()
    assert await before == b"old"
    assert await answers.answer("q", old) == b"new"


async def test_a_failure_is_not_kept() -> None:
    """Who waited for it gets it; the next one tries again."""
    answers = SharedAnswers()

    async def fail() -> bytes:
        raise ValueError("no")

    async def make() -> bytes:
        return b"made"

    both = await asyncio.gather(
        answers.answer("q", fail), answers.answer("q", fail), return_exceptions=True
    )
    assert list(map(repr, both)) == ["ValueError('no')"] * 2
    assert await answers.answer("q", make) == b"made"


async def test_an_answer_is_not_shared_for_longer_than_its_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Also if there are no updates."""
    answers, made = SharedAnswers(), 0

    async def make() -> bytes:
        nonlocal made
        made += 1
        return b"%d" % made

    assert await answers.answer("q", make) == await answers.answer("q", make) == b"1"
    monkeypatch.setattr(shared, "SHARED_S", 0.0)
    assert await answers.answer("q", make) == b"2"


async def test_answers_are_bounded_by_number_and_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest ones are made again."""
    answers, made = SharedAnswers(), 0

    def making(size: int) -> Any:
        async def make() -> bytes:
            nonlocal made
            made += 1
            return bytes(size)

        return make

    for number in range(shared.ANSWERS_MAX + 1):
        await answers.answer(number, making(10))
    made = 0
    await answers.answer(shared.ANSWERS_MAX, making(10))
    assert made == 0
    await answers.answer(0, making(10))
    assert made == 1
    monkeypatch.setattr(shared, "ANSWERS_BYTES_MAX", 100)
    await answers.answer("large", making(95))
    made = 0
    await answers.answer(shared.ANSWERS_MAX, making(10))
    assert made == 1
