"""A server with the page and made-up answers; a test sets its state: it can be slow or broken."""

import asyncio
import contextlib
import threading
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Self

import msgspec
from aiohttp import web
from support.page.made_up_answers import NOW, Answers

from consumers.stats.page_files import add_page

LIVE_S = 900
TICK_S = 0.2
ASKED = {"step", "from", "to", "by"}


@dataclass
class World:
    """What the server does; a test may change it while the server runs."""

    answers: Answers = field(default_factory=Answers)
    token: str = ""
    # None is all of /v1/; a status answers with a problem.
    status: int = 200
    is_slow: bool = False
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
        asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    async def _start(self) -> None:
        app = web.Application(middlewares=[self._states])
        add_page(app)
        app.add_routes([web.get("/v1/live", self._live), web.get("/v1/{path}", self._answer)])
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.base = f"http://127.0.0.1:{self._runner.addresses[0][1]}/"

    @web.middleware
    async def _states(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if not request.path.startswith("/v1/"):
            return await handler(request)  # type: ignore[no-any-return]  # aiohttp's own type
        world = self.world
        world.asked.append(request.path_qs)
        while world.is_slow:  # noqa: ASYNC110 - the test's thread changes it
            await asyncio.sleep(0.02)
        if world.token and request.headers.get("Authorization") != f"Bearer {world.token}":
            return _problem(401, "This API needs a token.")
        if world.is_cut:
            if request.transport is not None:
                request.transport.abort()
            return web.Response(status=503)
        if world.status != 200:
            return _problem(world.status, "Valkey does not answer.")
        return await handler(request)  # type: ignore[no-any-return]  # aiohttp's own type

    async def _answer(self, request: web.Request) -> web.Response:
        query, answers = request.query, self.world.answers
        app, zone = query.get("app"), query.get("tz", "Asia/Shanghai")
        if app == "1":
            return _problem(400, "app 1 has no callbacks.")
        match request.match_info["path"]:
            case "apps":
                answer: msgspec.Struct = answers.apps()
            case "summary":
                answer = answers.summary(app, zone)
            case "series":
                answer = answers.series(app, zone, **{k: query[k] for k in query if k in ASKED})
            case "health":
                answer = answers.health()
            case _:
                raise web.HTTPNotFound
        if query.get("format") == "csv":
            return web.Response(text="begin,messages\r\n", content_type="text/csv")
        return web.Response(body=msgspec.json.encode(answer), content_type="application/json")

    async def _live(self, request: web.Request) -> web.StreamResponse:
        """Send the last 15 minutes at once, then the same moment again and again."""
        app = request.query.get("app")
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await stream.prepare(request)
        self.world.resumed.append(request.headers.get("Last-Event-ID", ""))
        with contextlib.suppress(ConnectionResetError):
            if "Last-Event-ID" not in request.headers:
                for ago in range(LIVE_S, 0, -2):
                    await stream.write(self._event(app, ago))
            while not self.world.is_cut:
                await stream.write(self._event(app, 0))
                await asyncio.sleep(TICK_S)
        if request.transport is not None:
            request.transport.abort()
        return stream

    def _event(self, app: str | None, seconds_ago: int) -> bytes:
        at = NOW - timedelta(seconds=seconds_ago)
        data = msgspec.json.encode(self.world.answers.live(app, at))
        return b"id: %s\nevent: now\ndata: %s\n\n" % (at.isoformat().encode(), data)


def _problem(status: int, detail: str) -> web.Response:
    body = msgspec.json.encode(
        {"type": "about:blank", "title": "Refused", "status": status, "detail": detail}
    )
    return web.Response(status=status, body=body, content_type="application/problem+json")
