"""The admin port: /livez, /readyz, /status and /metrics, never on the public port."""

from datetime import UTC, datetime

import orjson
from aiohttp import web
from prometheus_client.aiohttp import make_aiohttp_handler

from ingress.health import IngressHealth
from ingress.spool.hours import hour_at
from schemas import telemetry
from schemas.ingress_status import SINCE_FORMAT


def admin_application(health: IngressHealth) -> web.Application:
    """Return the admin port's application."""
    scrape = make_aiohttp_handler(telemetry.INGRESS_METRICS)

    async def livez(_: web.Request) -> web.Response:
        return web.Response(text="the event loop runs\n")

    async def readyz(_: web.Request) -> web.Response:
        reason = health.unready_reason()
        return web.Response(text=f"{reason or 'ready'}\n", status=503 if reason else 200)

    async def status(request: web.Request) -> web.Response:
        try:
            since_hour = _since_hour(request)
        except ValueError:
            return web.Response(text="since is not an hour, such as 2026-01-31T09\n", status=400)
        return web.json_response(
            body=orjson.dumps(
                await health.status(since_hour),
                option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE,
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


def _since_hour(request: web.Request) -> int | None:
    """
    Return the hour that the query names, None if it names none.

    Raises:
        ValueError: it is not an hour.
    """
    if (text := request.query.get("since")) is None:
        return None
    at = datetime.strptime(text, SINCE_FORMAT).replace(tzinfo=UTC)
    return hour_at(at.timestamp())
