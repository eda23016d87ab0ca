"""The public port: one callback in, one answer out, and never an OK before it is on disk."""

import asyncio
import logging
import time
import zlib
from collections.abc import Awaitable, Callable
from functools import partial

from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import ContentEncodingError, HttpProcessingError

from ingress import refusals
from ingress.intake import Intake
from ingress.refusals import respond
from ingress.settings import IngressSettings
from ingress.spool import Broken, Full
from schemas import record
from schemas.body import Malformed, text
from schemas.telemetry import INGRESS_ANSWER_S

# A body that ends early, or that does not decompress. Whoever sent it may be gone already.
UNREADABLE = (
    ClientPayloadError,
    ConnectionError,
    ContentEncodingError,
    web.RequestPayloadError,
    zlib.error,
)

Receive = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def server(intake: Intake, settings: IngressSettings, *, body_bytes_max: int) -> web.Server:
    """Return the public server. It has one route, so it has no router."""
    request = partial(
        web.BaseRequest, loop=asyncio.get_running_loop(), client_max_size=body_bytes_max
    )
    return web.Server(
        receiver(intake, settings), request_factory=request, access_log=None, logger=_server_log()
    )


def receiver(intake: Intake, settings: IngressSettings) -> Receive:
    """Return the handler of the callback URL (protocol §1)."""
    ours = frozenset(settings.sdkappids)

    async def receive(request: web.BaseRequest) -> web.StreamResponse:
        begun = time.perf_counter()
        if request.path != settings.path:
            return respond(refusals.NOT_HERE)
        if request.method != "POST":
            return respond(refusals.NOT_POST)
        query = request.query
        if query.get("SdkAppid") not in ours:
            return respond(refusals.NOT_OURS)
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge as error:
            return respond(refusals.TOO_LARGE, error.text or "")
        except UNREADABLE:
            return respond(refusals.UNREADABLE)
        callback = record.Callback(
            sdkappid=query["SdkAppid"],
            command=text(query.get("CallbackCommand")),
            client_ip=text(query.get("ClientIP")),
            opt_platform=text(query.get("OptPlatform")),
            received_at_ms=time.time_ns() // 1_000_000,
            body=body,
        )
        answer, detail = await _keep(intake, callback)
        if answer is not refusals.UNAVAILABLE:
            INGRESS_ANSWER_S.observe(time.perf_counter() - begun)
        return respond(answer, detail)

    return receive


def _server_log() -> logging.Logger:
    """
    Return aiohttp's log without the requests that it could not parse.

    Anyone can send those, at any rate, and their text may hold a Sign; they get HTTP 400.
    """
    server_log = logging.getLogger("aiohttp.server")
    server_log.addFilter(_could_be_parsed)
    return server_log


def _could_be_parsed(entry: logging.LogRecord) -> bool:
    return not (entry.exc_info and isinstance(entry.exc_info[1], HttpProcessingError))


async def _keep(intake: Intake, callback: record.Callback) -> tuple[refusals.Answer, str]:
    """Store the callback, malformed or not, and return what to answer."""
    answer, detail = refusals.OK, ""
    try:
        kept = record.callback_record(callback)
    except Malformed as malformed:
        answer, detail = refusals.MALFORMED, str(malformed)
        kept = record.malformed_record(callback, malformed)
    try:
        await intake.store(kept, callback.received_at_ms)
    except (Full, Broken) as error:
        return refusals.UNAVAILABLE, f"{refusals.UNAVAILABLE.info}: {error}"
    return answer, detail
