"""Make the statistics API as an application: its routes, and what holds for all of them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from aiohttp import web
from prometheus_client.aiohttp import make_aiohttp_handler

from consumers.runtime.handler import Stopped, Unavailable
from consumers.stats import answers, routes, total_answers
from consumers.stats.apps import apps
from consumers.stats.contract_routes import add_contract
from consumers.stats.health_answers import Health
from consumers.stats.live import Live
from consumers.stats.live_counts import LiveCounts
from consumers.stats.middlewares import Access, allowing, count_request, refusing_in_words
from consumers.stats.openapi import document
from consumers.stats.page_files import add_page
from consumers.stats.problems import RequestRefused
from consumers.stats.query import read
from consumers.stats.responses import JSON, content_type, encoded, response
from consumers.stats.routes import Route
from consumers.stats.scope import Scope, scope_of
from consumers.stats.series import distinct_people, series
from consumers.stats.shared import SharedAnswers
from consumers.stats.store import DEFAULT_ZONE, Catalog, StoredCounts
from consumers.stats.summary import summary
from consumers.stats.telemetry import STATS_METRICS
from consumers.stats.totals import minutes, totals

# Requests that are answered concurrently; the others wait. So memory is bounded, and Valkey's time.
QUESTIONS_MAX = 8

Values = Mapping[str, Any]
ReadHealth = Callable[[ZoneInfo], Awaitable[Health]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Who may read, and how many viewers /v1/live has at most."""

    access: Access
    viewers_max: int


def application(
    store: StoredCounts, options: Options, health: ReadHealth | None = None
) -> web.Application:
    """Return the API of `store`; without `health`, it does not know the pipeline."""
    shared = SharedAnswers()
    live = Live(LiveCounts(store), _of_default_zone(health) if health else None, shared.forget)
    app = web.Application(
        middlewares=[
            count_request,
            options.access.cross_origin,
            refusing_in_words,
            options.access.only_with_token,
        ]
    )
    _add_questions(app, store, shared)
    _add_live(app, live, options.viewers_max)
    _add_open_routes(app, store)
    add_contract(app, version=add_page(app))

    async def health_(request: web.Request) -> web.StreamResponse:
        values = read(request.query, routes.HEALTH.parameters, routes.HEALTH.path)
        if health is None:
            raise RequestRefused(503, "this process does not know the pipeline")
        answer = await health(values.get("tz", DEFAULT_ZONE))
        return response(request, routes.HEALTH, JSON, encoded(answer, JSON))

    app.add_routes([web.get(routes.HEALTH.path, health_)])

    async def background(_: web.Application) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(live.run())]
        if options.access.tokens is not None:
            tasks.append(asyncio.create_task(options.access.tokens.file.watch()))
        yield
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await shared.close()

    async def end_live(_: web.Application) -> None:
        live.end()

    app.cleanup_ctx.append(background)
    app.on_shutdown.append(end_live)
    return app


def _add_questions(app: web.Application, store: StoredCounts, shared: SharedAnswers) -> None:
    at_once = asyncio.Semaphore(QUESTIONS_MAX)

    async def of_apps(_: Values, scope: Scope) -> answers.Apps:
        return await apps(store, scope)

    async def of_summary(values: Values, scope: Scope) -> answers.Summary:
        return await summary(store, scope, is_live="at" not in values)

    async def of_series(values: Values, scope: Scope) -> answers.Series | answers.SeriesBy:
        return await series(store, values, scope)

    async def of_people(values: Values, scope: Scope) -> answers.DistinctPeople:
        return await distinct_people(store, values, scope)

    async def of_totals(_: Values, scope: Scope) -> total_answers.Totals:
        return await totals(store, scope.catalog)

    async def of_minutes(values: Values, scope: Scope) -> total_answers.Minutes:
        return await minutes(store, values, scope)

    for route, answer in (
        (routes.APPS, of_apps),
        (routes.SUMMARY, of_summary),
        (routes.SERIES, of_series),
        (routes.PEOPLE, of_people),
        (routes.TOTALS, of_totals),
        (routes.MINUTES, of_minutes),
    ):
        handler = _handler(route, answer, store, shared, at_once)
        app.add_routes([web.get(route.path, handler)])


def _handler(
    route: Route,
    answer: Callable[[Values, Scope], Awaitable[Any]],
    store: StoredCounts,
    shared: SharedAnswers,
    at_once: asyncio.Semaphore,
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        values = read(request.query, route.parameters, route.path)
        kind = content_type(request, route, values)

        async def ask(catalog: Catalog) -> Any:
            return await answer(values, scope_of(values, catalog, datetime.now(UTC)))

        async def make() -> bytes:
            async with at_once:
                return encoded(await store.with_catalog(ask), kind)

        if route.is_shared:
            body = await shared.answer((route.path, kind, frozenset(values.items())), make)
        else:
            body = await make()
        return response(request, route, kind, body)

    return handle


def _add_live(app: web.Application, live: Live, viewers_max: int) -> None:
    async def show(request: web.Request) -> web.StreamResponse:
        values = read(request.query, routes.LIVE.parameters, routes.LIVE.path)
        if live.viewer_count >= viewers_max:
            raise RequestRefused(
                503, f"there are {viewers_max} viewers, as many as STATS_VIEWERS_MAX allows"
            )
        only = values.get("app")
        if only is not None and not live.has_app(only):
            raise RequestRefused(
                404,
                f"app {only} has no live updates: it has no callbacks, or there are too many apps",
                parameter="app",
                bound="an app of /v1/apps",
            )
        return await live.show(request, only, values.get("since"), allowing(request))

    # Not HEAD: its answer would have no end.
    app.add_routes([web.get(routes.LIVE.path, show, allow_head=False)])


def _add_open_routes(app: web.Application, store: StoredCounts) -> None:
    described = msgspec.json.encode(document(routes.DOCUMENTED)) + b"\n"

    async def livez(_: web.Request) -> web.Response:
        return web.Response(text="the event loop runs\n")

    async def readyz(_: web.Request) -> web.Response:
        try:
            await store.catalog()
        except Unavailable as unavailable:
            return web.Response(status=503, text=f"waiting for Valkey: {unavailable}\n")
        except Stopped as stopped:
            return web.Response(status=503, text=f"stopped: A person must act. {stopped}\n")
        return web.Response(text="working: Valkey answers.\n")

    async def openapi(request: web.Request) -> web.StreamResponse:
        return response(request, routes.OPENAPI, JSON, described)

    app.add_routes(
        [
            web.get("/livez", livez),
            web.get("/readyz", readyz),
            web.get("/metrics", make_aiohttp_handler(STATS_METRICS)),
            web.get(routes.OPENAPI.path, openapi),
        ]
    )


def _of_default_zone(health: ReadHealth) -> Callable[[], Awaitable[Health]]:
    return lambda: health(DEFAULT_ZONE)
