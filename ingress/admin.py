"""The admin port: /livez, /readyz, /status and /metrics, never on the public port."""

import orjson
from aiohttp import web
from prometheus_client.aiohttp import make_aiohttp_handler

from ingress.health import IngressHealth
from schemas import telemetry


def admin_application(health: IngressHealth) -> web.Application:
    """Return the admin port's application."""
    scrape = make_aiohttp_handler(telemetry.INGRESS_METRICS)

    async def livez(_: web.Request) -> web.Response:
        return web.Response(text="the event loop runs\n")

    async def readyz(_: web.Request) -> web.Response:
        reason = health.unready_reason()
        return web.Response(text=f"{reason or 'ready'}\n", status=503 if reason else 200)

    async def status(_: web.Request) -> web.Response:
        return web.json_response(
            body=orjson.dumps(
                await health.status(), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
            )
        )

    async def metrics(request: web.Request) -> web.StreamResponse:
        await health.update_metrics()
        return await scrape(request)

    app = web.Application()
    app.add_routes(
        [
            web.get("/livez", livez),
            web.get("/readyz", readyz),
            web.get("/status", status),
            web.get("/metrics", metrics),
        ]
    )
    return app
