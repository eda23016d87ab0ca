"""One slow or lost answer of a process is no news; two in a row are."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from consumers.counters.server import connect
from consumers.stats import pipeline as pipeline_module
from consumers.stats.health_answers import Health, Stage
from consumers.stats.live import NUMBERS_INTERVAL, Live
from consumers.stats.live_counts import LiveCounts
from consumers.stats.pipeline import Pipeline
from consumers.stats.processes import Processes, Watched
from consumers.stats.store import StoredCounts
from ops.demo.embedded.child import free_port
from ops.demo.embedded.valkey import EmbeddedValkey
from schemas.setting import Secret

WELL: dict[str, Any] = {
    "unready_because": "",
    "forward_fault": "",
    "tokens_fault": "",
    "oldest_waiting_s": 0.1,
    "spool_rows": 3,
    "spool_bytes": 100,
    "spool_bytes_max": 10_000,
    "spool_full_in_s": None,
    "spools": [],
}


@asynccontextmanager
async def watching(valkey_url: str, answers: list[int]) -> AsyncIterator[Pipeline]:
    """Yield the state of a pipeline whose ingress answers with one of these after another."""

    async def status(_: web.Request) -> web.Response:
        # Not JSON: as from another process, or a proxy.
        return web.json_response(WELL) if answers.pop(0) == 200 else web.Response(text="no")

    app = web.Application()
    app.add_routes([web.get("/status", status)])
    valkey = connect(Secret(valkey_url))
    async with TestServer(app) as server, aiohttp.ClientSession() as session:
        url = str(server.make_url("")).rstrip("/")
        processes = Processes(session, Watched(ingress=[url], consumers=[], valkey=valkey))
        yield Pipeline(processes)
        await processes.close()
    await valkey.aclose()


async def states(pipeline: Pipeline, stage: str, times: int) -> list[str]:
    """Return the state of a stage after each of so many polls."""
    stage_states: list[str] = []
    for _ in range(times):
        health = await pipeline.current()
        stage_states += [each.state for each in health.stages if each.stage == stage]
    return stage_states


async def test_an_ingress_is_silent_after_two_missed_polls(
    valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And well again after one answer. One that never answered is silent at once."""
    monkeypatch.setattr(pipeline_module, "POLL_S", 0.0)
    async with watching(valkey_url, [200, 500, 200, 500, 500, 200, 500]) as pipeline:
        stage_states = await states(pipeline, "receiving", 7)
    assert stage_states == ["ok", "ok", "ok", "ok", "wrong", "ok", "ok"]
    async with watching(valkey_url, [500, 200]) as pipeline:
        assert await states(pipeline, "receiving", 2) == ["wrong", "ok"]


async def test_valkey_is_away_after_two_missed_polls(
    valkey_server: EmbeddedValkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The counts cannot be read then."""
    monkeypatch.setattr(pipeline_module, "POLL_S", 0.0)
    async with watching(valkey_server.url, [200] * 4) as pipeline:
        before = await states(pipeline, "counts", 1)
        away = connect(Secret(f"valkey://127.0.0.1:{free_port()}/0"))
        processes = pipeline._processes  # noqa: SLF001
        processes._watched = replace(processes._watched, valkey=away)  # noqa: SLF001
        after = await states(pipeline, "counts", 3)
    assert [*before, *after] == ["unknown", "unknown", "wrong", "wrong"]


def a_stage(number: float, **fields: Any) -> Stage:
    """Return the state of the callbacks on disk."""
    usual: dict[str, Any] = {
        "stage": "on_disk",
        "state": "ok",
        "number": number,
        "unit": "callbacks",
        "of": None,
        "since": None,
        "runbook": "runbook.md",
    }
    words = {"what": {"en": str(number), "zh": str(number)}, "what_to_do": {"en": "", "zh": ""}}
    return Stage(**(usual | words | fields))


async def test_a_new_finding_is_sent_at_once_and_new_numbers_later(valkey_url: str) -> None:
    """The ages in a state change each second; they are sent every 10 s."""
    valkey = connect(Secret(valkey_url))
    shown = Health(state="ok", stages=[a_stage(1)])

    async def health() -> Health:
        return shown

    live = Live(LiveCounts(StoredCounts(valkey)), health, lambda: None)
    began = datetime(2026, 11, 28, tzinfo=UTC)

    async def sent(seconds: int, health: Health) -> int:
        nonlocal shown
        shown = health
        number = live.updates.number_at(None) + 1 if live.updates.after(0) else 0
        await live.update_health(began + timedelta(seconds=seconds))
        return sum(update.event == "health" for update in live.updates.after(number))

    assert await sent(0, shown) == 1
    assert await sent(1, Health(state="ok", stages=[a_stage(2)])) == 0
    full = a_stage(2, state="wrong", since=began)
    assert await sent(2, Health(state="wrong", stages=[full])) == 1
    assert await sent(3, Health(state="wrong", stages=[full])) == 0
    later = Health(state="wrong", stages=[a_stage(3, state="wrong", since=began)])
    assert await sent(4, later) == 0
    assert await sent(2 + NUMBERS_INTERVAL.seconds, later) == 1
    assert await sent(3 + 2 * NUMBERS_INTERVAL.seconds, later) == 0
    await valkey.aclose()
