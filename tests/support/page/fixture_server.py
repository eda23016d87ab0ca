"""
A server with the page and made-up answers; a test sets its state: it can be slow or broken.

It reads parameters, refuses requests and writes answers with the functions of the API.
"""

import asyncio
import contextlib
import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Self

import msgspec
from aiohttp import web
from support.page.made_up_answers import NOW, Answers

from consumers.runtime.handler import Unavailable
from consumers.stats.contract_routes import add_contract
from consumers.stats.middlewares import GUARDED, refusing_in_words
from consumers.stats.page_files import add_page
from consumers.stats.problems import RequestRefused
from consumers.stats.query import read
from consumers.stats.responses import content_type, encoded, response
from consumers.stats.routes import APPS, HEALTH, LIVE, SERIES, SUMMARY
from consumers.stats.scope import scope_of

LIVE_S = 900
TICK_S = 0.2
ROUTES = {route.path: route for route in (APPS, SUMMARY, SERIES, HEALTH)}
ASKED = {"step", "from", "to", "by"}


@dataclass
class World:
    """What the server does; a test may change it while the server runs."""

    answers: Answers = field(default_factory=Answers)
    token: str = ""
    # The status of all answers of /v1/: 500 and 503 are those of the API, 502 is that of a proxy.
    status: int = 200
    # Valkey does not answer: there are no counts and no event `now`.
    is_store_away: bool = False
    has_live_health: bool = True
    is_slow: bool = False
    is_health_slow: bool = False
    is_cut: bool = False
    # The Last-Event-ID of each request of /v1/live.
    resumed: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)


class FixtureServer:
    """The server, in a thread of its own. `base` is its address."""

    def __init__(self) -> None:
        self.world = World()
        self.base = ""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._run(self._start())
        return self

    def __exit__(self, *_: object) -> None:
        self._run(self._runner.cleanup())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(180)

    async def _start(self) -> None:
        app = web.Application(middlewares=[refusing_in_words, self._states])
        add_contract(app, version=add_page(app))
        app.add_routes([web.get("/v1/live", self._live), web.get("/v1/{path}", self._answer)])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.base = f"http://127.0.0.1:{self._runner.addresses[0][1]}/"

    @web.middleware
    async def _states(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if not request.path.startswith(GUARDED):
            return await handler(request)  # type: ignore[no-any-return]  # aiohttp's own type
        world = self.world
        world.asked.append(request.path_qs)
        while world.is_slow or (world.is_health_slow and request.path == HEALTH.path):  # noqa: ASYNC110 - the test's thread changes it
            await asyncio.sleep(0.02)
        if world.token and request.headers.get("Authorization") != f"Bearer {world.token}":
            raise RequestRefused(401, "send the header Authorization: Bearer TOKEN")
        if world.is_cut:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=503)
        if world.is_store_away and request.path not in {HEALTH.path, LIVE.path}:
            raise Unavailable("Valkey: no answer within 8 s")
        match world.status:
            case 503:
                raise Unavailable("Valkey: no answer within 8 s")
            case 500:
                raise RequestRefused(500, "a fault of the statistics API; its log has more")
            case 502:
                return web.Response(
                    status=502, text="<h1>Bad gateway</h1>", content_type="text/html"
                )
        return await handler(request)  # type: ignore[no-any-return]  # aiohttp's own type

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        route = ROUTES.get(request.path)
        if route is None:
            raise web.HTTPNotFound
        values = read(request.query, route.parameters, route.path)
        answers = self.world.answers
        app, zone = values.get("app"), request.query.get("tz", "Asia/Shanghai")
        if route is not HEALTH:
            scope_of(values, answers.catalog(), NOW)
        if route is HEALTH:
            answer: msgspec.Struct = answers.health(zone)
        elif route is APPS:
            answer = answers.apps()
        elif route is SUMMARY:
            answer = answers.summary(app, zone, values.get("at"))
        else:
            asked = {name: text for name, text in request.query.items() if name in ASKED}
            answer = answers.series(app, zone, **asked)
        kind = content_type(request, route, values)
        return response(request, route, kind, encoded(answer, kind))

    async def _live(self, request: web.Request) -> web.StreamResponse:
        """Send the last 15 minutes at once, then the same moment again and again, and changes."""
        values = read(request.query, LIVE.parameters, LIVE.path)
        scope_of(values, self.world.answers.catalog(), NOW)
        health = b""
        app = request.query.get("app")
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await stream.prepare(request)
        self.world.resumed.append(request.headers.get("Last-Event-ID", ""))
        with contextlib.suppress(ConnectionResetError):
            if "Last-Event-ID" not in request.headers:
                for ago in range(LIVE_S, 0, -2):
                    await stream.write(self._event(app, ago))
            while not self.world.is_cut:
                if self.world.has_live_health and (current := self._health()) != health:
                    health = current
                    await stream.write(_event("health", NOW, health))
                if not self.world.is_store_away:
                    await stream.write(self._event(app, 0))
                await asyncio.sleep(TICK_S)
        if request.transport is not None:
            request.transport.abort()
        return stream

    def _health(self) -> bytes:
        return msgspec.json.encode(self.world.answers.health())

    def _event(self, app: str | None, seconds_ago: int) -> bytes:
        at = NOW - timedelta(seconds=seconds_ago)
        return _event("now", at, msgspec.json.encode(self.world.answers.live(app, at)))


def _event(name: str, at: datetime, data: bytes) -> bytes:
    return b"id: %s\nevent: %s\ndata: %s\n\n" % (at.isoformat().encode(), name.encode(), data)
