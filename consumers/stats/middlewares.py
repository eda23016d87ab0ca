"""Count every request, allow other origins, answer failures in words, and check the token."""

import logging
import time
from collections.abc import Awaitable, Callable, Mapping

from aiohttp import hdrs, web

from consumers.runtime.handler import Stopped, Unavailable
from consumers.stats.problems import RequestRefused, problem_response
from consumers.stats.telemetry import STATS_REQUEST_S, STATS_REQUESTS
from consumers.stats.tokens import Tokens

log = logging.getLogger("stats")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
# All routes with figures are below this path. The others need no token.
GUARDED = "/v1/"
PREFLIGHT_S = 600
_ALLOWING = web.RequestKey("allowing", dict[str, str])
_RETRY: dict[str, str] = {hdrs.RETRY_AFTER: "2"}


@web.middleware
async def count_request(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Count the request and its time, by route; a path that is not a route is `other`."""
    resource = request.match_info.route.resource
    route = resource.canonical if resource is not None else "other"
    began = time.perf_counter()
    status = 500
    try:
        response = await handler(request)
        status = response.status
    finally:
        STATS_REQUESTS.labels(route, str(status)).inc()
        STATS_REQUEST_S.labels(route).observe(time.perf_counter() - began)
    return response


@web.middleware
async def refusing_in_words(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Answer every failure with a problem."""
    headers: dict[str, str] = {}
    try:
        return await handler(request)
    except RequestRefused as caught:
        refused = caught
    except (Unavailable, Stopped) as unavailable:
        refused, headers = RequestRefused(503, str(unavailable)), _RETRY
    except web.HTTPNotFound:
        refused = RequestRefused(
            404, f"there is no {request.path!r:.100}; /openapi.json has the routes"
        )
    except web.HTTPMethodNotAllowed:
        refused, headers = (
            RequestRefused(405, f"{request.method} is not answered; use GET"),
            {"Allow": "GET"},
        )
    except web.HTTPException:
        raise
    except Exception:
        log.exception("no answer to %s", request.rel_url)
        refused = RequestRefused(500, "a fault of the statistics API; its log has more")
    response = problem_response(refused.problem)
    response.headers.update(headers)
    if refused.problem.status == 401:
        response.headers[hdrs.WWW_AUTHENTICATE] = 'Bearer realm="hookline"'
    return response


class Access:
    """Checks who may read: bearers of `tokens` (None: everybody), and pages of other origins."""

    def __init__(self, tokens: Tokens | None, origins: tuple[str, ...]) -> None:
        self.tokens = tokens
        self._origins = frozenset(origins)

        @web.middleware
        async def only_with_token(request: web.Request, handler: Handler) -> web.StreamResponse:
            if (
                tokens is not None
                and request.path.startswith(GUARDED)
                and not tokens.allow(request.headers.get(hdrs.AUTHORIZATION, ""))
            ):
                raise RequestRefused(
                    401, "send the header Authorization: Bearer TOKEN, with a token of the file"
                )
            return await handler(request)

        @web.middleware
        async def cross_origin(request: web.Request, handler: Handler) -> web.StreamResponse:
            allowed = self._headers(request)
            request[_ALLOWING] = allowed
            if allowed and request.method == hdrs.METH_OPTIONS:
                return web.Response(status=204, headers=allowed | _preflight())
            response = await handler(request)
            if not response.prepared:
                response.headers.update(
                    {k: v for k, v in allowed.items() if k not in response.headers}
                )
            return response

        self.only_with_token = only_with_token
        self.cross_origin = cross_origin

    def _headers(self, request: web.Request) -> dict[str, str]:
        origin = request.headers.get(hdrs.ORIGIN, "")
        if origin not in self._origins:
            return {}
        return {
            hdrs.ACCESS_CONTROL_ALLOW_ORIGIN: origin,
            hdrs.ACCESS_CONTROL_EXPOSE_HEADERS: "ETag",
            hdrs.VARY: "Origin",
        }


def allowing(request: web.Request) -> Mapping[str, str]:
    """Return the headers that allow the request's origin, for an answer that is a stream."""
    allowed: Mapping[str, str] = request.get(_ALLOWING, {})
    return allowed


def _preflight() -> dict[str, str]:
    return {
        hdrs.ACCESS_CONTROL_ALLOW_METHODS: "GET",
        hdrs.ACCESS_CONTROL_ALLOW_HEADERS: "Authorization, If-None-Match, Last-Event-ID",
        hdrs.ACCESS_CONTROL_MAX_AGE: str(PREFLIGHT_S),
    }
