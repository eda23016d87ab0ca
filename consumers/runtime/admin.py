"""The admin port of a consumer: /livez, /readyz, /status and /metrics."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import msgspec
from aiohttp import web
from prometheus_client.aiohttp import make_aiohttp_handler

from consumers.runtime.health import ConsumerHealth
from consumers.runtime.phase import Phase
from schemas.os_errors import listening
from schemas.telemetry import CONSUMER_METRICS


@contextlib.asynccontextmanager
async def admin_port(health: ConsumerHealth, host: str, port: int) -> AsyncIterator[None]:
    """
    Serve the admin port.

    Raises:
        OSError: the port cannot be used.
    """

    async def livez(_: web.Request) -> web.Response:
        if hang := health.runner.hang():
            text = f"for {hang.for_s:.0f} s: {hang.what}\n"
            return web.Response(status=503, text=text)
        return web.Response(text="the event loop runs\n")

    async def readyz(_: web.Request) -> web.Response:
        now = await health.status()
        code = 200 if now.phase == Phase.WORKING else 503
        return web.Response(status=code, text=f"{now.phase}: {now.phase_because}\n")

    async def status(_: web.Request) -> web.Response:
        body = msgspec.json.format(msgspec.json.encode(await health.status()))
        return web.Response(body=body + b"\n", content_type="application/json")

    async def metrics(request: web.Request) -> web.StreamResponse:
        await health.set_gauges()
        return await scrape(request)

    scrape = make_aiohttp_handler(CONSUMER_METRICS)
    app = web.Application()
    app.add_routes(
        [
            web.get("/livez", livez),
            web.get("/readyz", readyz),
            web.get("/status", status),
            web.get("/metrics", metrics),
        ]
    )
    server = web.AppRunner(app, access_log=None)
    await server.setup()
    watching = asyncio.create_task(health.watch())
    try:
        with listening("CONSUMER_ADMIN_PORT", host, port):
            await web.TCPSite(server, host, port).start()
        yield
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
        await server.cleanup()
