"""The statistics process without Valkey: viewers get no update, and the log stays short."""

import asyncio
import contextlib
import logging
from datetime import datetime
from typing import cast

import pytest
from aiohttp import ClientSession, web

from consumers.runtime.handler import Unavailable
from consumers.stats import live
from consumers.stats.health_answers import Health
from consumers.stats.live_counts import LiveCounts

UPDATES = 20


class NoCounts:
    """Counts of a Valkey that does not answer."""

    def __init__(self) -> None:
        self.asked = 0
        self.is_asked_often = asyncio.Event()

    async def added(self, _now: datetime) -> None:
        """Fail, and note how often that was."""
        self.asked += 1
        if self.asked == UPDATES:
            self.is_asked_often.set()
        raise Unavailable("Valkey: down")


async def test_the_state_of_the_pipeline_is_sent_while_valkey_is_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else no open page could show that the counts cannot be read."""
    monkeypatch.setattr(live, "UPDATE_S", 0.0)
    counts = NoCounts()

    async def health() -> Health:
        return Health(state="wrong", stages=[])

    running_live = live.Live(cast("LiveCounts", counts), health, lambda: None)
    running = asyncio.create_task(running_live.run())
    await counts.is_asked_often.wait()
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert [update.event for update in running_live.updates.after(0)] == ["health"]


async def test_updates_that_fail_one_after_the_other_are_one_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The process asks each second, and an outage may last for hours."""
    monkeypatch.setattr(live, "UPDATE_S", 0.0)
    counts = NoCounts()
    running = asyncio.create_task(live.Live(cast("LiveCounts", counts), None, lambda: None).run())
    with caplog.at_level(logging.WARNING):
        await counts.is_asked_often.wait()
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
    assert caplog.messages == ["no live update: Valkey: down"]


async def test_a_viewer_that_goes_while_valkey_is_away_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing is added meanwhile, so no update shows that the viewer has gone."""
    monkeypatch.setattr(live, "PING_S", 0.01)
    shown = live.Live(cast("LiveCounts", NoCounts()), None, lambda: None)

    async def show(request: web.Request) -> web.StreamResponse:
        return await shown.show(request, None, None, {})

    app = web.Application()
    app.router.add_get("/", show)
    # As in the process: aiohttp does not cancel the handler of a connection that has ended.
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with ClientSession() as client, asyncio.timeout(180):
        answer = await client.get(f"http://127.0.0.1:{runner.addresses[0][1]}/")
        assert shown.viewer_count == 1
        answer.close()
        while shown.viewer_count:  # noqa: ASYNC110 - a number of another task
            await asyncio.sleep(0.01)
    await runner.cleanup()
