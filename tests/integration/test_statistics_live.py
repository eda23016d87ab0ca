"""Live updates: what viewers get, when they come back, when they do not read, and many of them."""

import asyncio
import contextlib
import json
import resource
import socket
import statistics
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.test_utils import TestClient, TestServer
from support.builders import P0, a_body, a_stored_batch, a_stored_record
from support.counting import counting
from support.statistics import statistics_api

from consumers.counters.counts import CountersHandler
from consumers.counters.server import connect
from consumers.runtime.batch import Position
from consumers.stats import answers, live
from consumers.stats.telemetry import STATS_SLOW_VIEWERS
from ops.demo.embedded.child import free_port
from schemas.setting import Secret

VIEWERS = 1000


@pytest.fixture
async def counts(valkey_url: str) -> AsyncIterator[CountersHandler]:
    """Yield counters with one app."""
    made = counting(valkey_url)
    await made.store_first_position(P0, Position(0))
    await made.handle(a_stored_batch(a_stored_record(0, received_at_ms=_now_ms())))
    yield made
    await made.close()


@pytest.fixture
async def api(
    valkey_url: str,
    counts: CountersHandler,  # noqa: ARG001 - one app is counted
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[TestClient[Any, Any]]:
    """Yield the API with ten updates a second."""
    monkeypatch.setattr(live, "UPDATE_S", 0.1)
    valkey = connect(Secret(valkey_url))
    async with TestClient(TestServer(statistics_api(valkey, viewers_max=3))) as client:
        yield client
    await valkey.aclose()


def _now_ms() -> int:
    return int(time.time() * 1000)


async def next_event(stream: aiohttp.StreamReader) -> dict[str, str]:
    """
    Return the fields of the next event that has data.

    Raises:
        EOFError: the server ended the stream.
    """
    fields: dict[str, str] = {}
    async with asyncio.timeout(180):
        while line := (await stream.readline()).decode():
            if line == "\n" and "data" in fields:
                return fields
            name, _, value = line.rstrip("\n").partition(": ")
            fields[name] = value
    raise EOFError


async def test_a_viewer_sees_within_an_update_what_was_counted(
    api: TestClient[Any, Any], counts: CountersHandler
) -> None:
    """The messages and the people of this minute."""
    async with api.get("/v1/live") as response:
        assert response.content_type == "text/event-stream"
        await next_event(response.content)
        body = a_body(MsgKey="new", From_Account="c", To_Account="d", SendMsgResult=5)
        await counts.handle(a_stored_batch(a_stored_record(1, body, received_at_ms=_now_ms())))
        while not (data := json.loads((await next_event(response.content))["data"]))["messages"]:
            pass
    assert (data["messages"], data["undelivered"]) == (1, 1)
    assert data["people"]["value"] >= 2
    assert data["messages_per_second"] == pytest.approx(1 / data["seconds"], rel=0.1)


async def test_a_viewer_that_comes_back_gets_what_it_missed(api: TestClient[Any, Any]) -> None:
    """By its Last-Event-ID, or since a time; each update once and in order."""
    async with api.get("/v1/live") as response:
        seen = await next_event(response.content)
        following = [(await next_event(response.content))["id"] for _ in range(5)]
    for asked in (
        api.get("/v1/live", headers={"Last-Event-ID": seen["id"]}),
        api.get("/v1/live", params={"since": seen["id"]}),
    ):
        async with asked as response:
            again = [(await next_event(response.content))["id"] for _ in range(5)]
        assert again == following


async def test_there_are_as_many_viewers_as_are_allowed(api: TestClient[Any, Any]) -> None:
    """The next one is refused, until one has gone."""
    async with AsyncExitStack() as viewers:
        for _ in range(3):
            response = await viewers.enter_async_context(api.get("/v1/live"))
            assert response.status == 200
        async with api.get("/v1/live") as response:
            assert response.status == 503
            assert "STATS_VIEWERS_MAX" in (await response.json(content_type=None))["detail"]
    async with asyncio.timeout(180):
        while True:
            async with api.get("/v1/live") as response:
                if response.status == 200:
                    break
            await asyncio.sleep(0.05)


async def test_a_viewer_that_does_not_read_is_disconnected(
    api: TestClient[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it has not read is bounded, in bytes and in time."""
    monkeypatch.setattr(live, "SEND_TIMEOUT_S", 0.5)
    monkeypatch.setattr(answers, "LiveNow", _long_now)
    port = api.server.port
    assert port is not None
    before = STATS_SLOW_VIEWERS._value.get()  # noqa: SLF001 - of all tests in this process
    slow_viewers = f"stats_slow_viewers_total {before + 1}"
    with socket.socket() as peer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.connect(("127.0.0.1", port))
        peer.sendall(b"GET /v1/live HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(180):
            while not {slow_viewers, "stats_viewers 0.0"} <= await metrics(api):  # noqa: ASYNC110 - the metric is all that can be seen
                await asyncio.sleep(0.1)


def _long_now(**fields: object) -> dict[str, object]:
    return {"filling": "x" * 500_000, "updated_at": fields["updated_at"]}


async def metrics(api: TestClient[Any, Any]) -> set[str]:
    """Return the lines of the metrics."""
    async with api.get("/metrics") as response:
        return set((await response.text()).splitlines())


@pytest.mark.timeout(600)
async def test_a_thousand_viewers_of_one_process(
    valkey_url: str,
    counts: CountersHandler,  # noqa: ARG001 - one app is counted
    say: Callable[[str], None],
) -> None:
    """
    All of them get each update; how soon, and with how much memory, is printed.

    One that is disconnected, because the machine stood still, comes back as a browser does.
    """
    raise_open_files(VIEWERS + 200)
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "consumers.stats"),
        env={
            "STATS_VALKEY": valkey_url,
            "STATS_PORT": str(port),
            "STATS_VIEWERS_MAX": str(VIEWERS + 100),
            "HOOKLINE_LOG_FORMAT": "text",
        },
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(
            f"http://127.0.0.1:{port}", connector=connector, timeout=aiohttp.ClientTimeout(None)
        ) as session:
            await until_ready(session)
            delays, came_back = await see_updates(session)
        peak = rss_mib(process.pid)
    finally:
        process.terminate()
        await process.wait()
    slowest = [max(of_update) for of_update in delays.values() if len(of_update) == VIEWERS]
    assert slowest
    merged = sorted(delay for of_update in delays.values() for delay in of_update)
    say(
        f"{VIEWERS} viewers, {len(slowest)} updates: p50 {statistics.median(merged):.3f} s, "
        f"p99 {merged[int(len(merged) * 0.99)]:.3f} s, the last {max(slowest):.3f} s after they "
        f"were read; {came_back} came back; {peak:.0f} MiB resident"
    )


async def see_updates(session: aiohttp.ClientSession) -> tuple[dict[str, list[float]], int]:
    """
    Return for each update after how many seconds each viewer had it.

    And how often a viewer whose stream had ended came back.
    """
    delays: dict[str, list[float]] = {}
    everybody = asyncio.Event()
    connected = came_back = 0

    async def view() -> None:
        nonlocal came_back
        last = await follow({})
        while True:
            came_back += 1
            await asyncio.sleep(0.5)
            with contextlib.suppress(aiohttp.ClientError):
                last = await follow(last)

    async def follow(last: dict[str, str]) -> dict[str, str]:
        """Note each update until the stream ends; return the header to continue with."""
        nonlocal connected
        async with session.get("/v1/live", headers=last) as response:
            response.raise_for_status()
            connected += not last
            if connected == VIEWERS:
                everybody.set()
            with contextlib.suppress(EOFError, aiohttp.ClientError):
                while True:
                    event = await next_event(response.content)
                    at = time.time()
                    last = {"Last-Event-ID": event["id"]}
                    if everybody.is_set() and event["event"] == "now":
                        sent = datetime.fromisoformat(event["id"]).timestamp()
                        delays.setdefault(event["id"], []).append(at - sent)
        return last

    async with asyncio.TaskGroup() as viewers:
        tasks = [viewers.create_task(view()) for _ in range(VIEWERS)]
        async with asyncio.timeout(180):
            await everybody.wait()
            while sum(len(of_update) == VIEWERS for of_update in delays.values()) < 5:  # noqa: ASYNC110 - filled by tasks
                await asyncio.sleep(0.2)
        for task in tasks:
            task.cancel()
    return delays, came_back


async def until_ready(session: aiohttp.ClientSession) -> None:
    """Return once the API is ready."""
    async with asyncio.timeout(180):
        while True:
            try:
                async with session.get("/readyz") as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)


def rss_mib(pid: int) -> float:
    """Return the largest resident memory that a process has had."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    raise AssertionError(pid)


def raise_open_files(count: int) -> None:
    """Allow this process, and its children, that many open files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < 2 * count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(2 * count, hard), hard))
