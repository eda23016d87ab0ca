"""The routes of the statistics API: answers in JSON, and a bound for each request."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime, timedelta

import orjson
from aiohttp import web

from consumers.runtime.handler import Unavailable
from consumers.stats.page_files import add_page
from consumers.stats.stored_counts import MINUTE, StoredCounts, Totals

MINUTES_MAX = 1440
MINUTES_DEFAULT = 60


class _BadRequest(Exception):
    """A request that cannot be answered; the text says how to change it."""


def application(counts: StoredCounts) -> web.Application:
    """Return the API of `counts`."""

    async def livez(_: web.Request) -> web.Response:
        return web.Response(text="the loop turns\n")

    async def totals(_: web.Request) -> web.Response:
        # Origins first: every callback that they report as counted is in the totals, read later.
        origins = await counts.applied()
        apps = {app: await counts.totals(app) for app in await counts.apps()}
        overall = Totals()
        for app_totals in apps.values():
            overall.add(app_totals)
        return _json(asdict(overall) | {"apps": apps, "origins": origins})

    async def minutes(request: web.Request) -> web.Response:
        begin, end = _range(request.query, datetime.now(UTC))
        only = request.query.get("app")
        apps = await counts.apps() if only is None else [only]
        return _json({"from": begin, "to": end, "minutes": await counts.minutes(apps, begin, end)})

    app = web.Application(middlewares=[_json_errors])
    app.add_routes(
        [
            web.get("/livez", livez),
            web.get("/v1/totals", totals),
            web.get("/v1/minutes", minutes),
        ]
    )
    add_page(app)
    return app


@web.middleware
async def _json_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Answer every failure in JSON."""
    try:
        return await handler(request)
    except _BadRequest as bad_request:
        return _json({"error": str(bad_request)}, status=400)
    except Unavailable as unavailable:
        return _json({"error": str(unavailable)}, status=503)
    except web.HTTPNotFound:
        return _json(
            {"error": "not found; the endpoints are /v1/minutes, /v1/totals and /livez"}, status=404
        )
    except web.HTTPMethodNotAllowed:
        return _json({"error": "method not allowed; use GET"}, status=405)


def _range(query: Mapping[str, str], now: datetime) -> tuple[datetime, datetime]:
    """Return begin and end of the requested minutes, as whole minutes; the end is exclusive."""
    if unknown := set(query) - {"from", "to", "app"}:
        names = ", ".join(sorted(unknown))
        raise _BadRequest(f"unknown parameters: {names}; there are from, to and app")
    end = _whole(_time(query, "to", now + MINUTE - timedelta(microseconds=1)))
    try:
        begin = _whole(_time(query, "from", end - MINUTES_DEFAULT * MINUTE))
    except OverflowError:
        raise _BadRequest("to is out of range") from None
    if not MINUTE <= end - begin <= MINUTES_MAX * MINUTE:
        raise _BadRequest(
            f"from ({begin:%Y-%m-%dT%H:%MZ}) must be 1 to {MINUTES_MAX} minutes before to "
            f"({end:%Y-%m-%dT%H:%MZ}); send several requests for more"
        )
    return begin, end


def _time(query: Mapping[str, str], name: str, default: datetime) -> datetime:
    if name not in query:
        return default
    try:
        at = datetime.fromisoformat(query[name])
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise _BadRequest(f"{name} must be a time like 2026-01-31T09:00Z, not {query[name]!r:.40}")
    try:
        return at.astimezone(UTC)
    except OverflowError:
        raise _BadRequest(f"{name} is out of range") from None


def _whole(at: datetime) -> datetime:
    return at.replace(second=0, microsecond=0)


def _json(document: object, status: int = 200) -> web.Response:
    return web.Response(
        status=status,
        body=orjson.dumps(document, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE),
        content_type="application/json",
    )
