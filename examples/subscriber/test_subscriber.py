"""The subscriber's sink passes the runtime's contract checks: `pytest`."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

import pytest
from hookline_runtime.handler_checks import CHECKS, StoreUnderTest
from subscriber import SubscriberSettings, sink


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_the_sink_passes(
    check: Callable[[StoreUnderTest], Awaitable[None]], tmp_path: Path
) -> None:
    """Two members use one file, as before and after a rebalance."""
    settings = SubscriberSettings(file=tmp_path / "days.db")

    async def counted() -> int:
        with closing(sqlite3.connect(settings.file)) as file:
            return int(file.execute("select total(callbacks) from days").fetchone()[0])

    async def run() -> None:
        async with sink(settings) as (handler, _), sink(settings) as (rival, _):
            await check(StoreUnderTest(handler, rival, counted))

    asyncio.run(run())
