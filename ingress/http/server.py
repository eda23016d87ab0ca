"""
The public port: aiohttp's HTTP server, with a short way for the callback that comes in one piece.

aiohttp parses every request. A POST whose body has come whole, on a connection where nothing else
is under way, is judged, stored and answered without a task, a request and a response object of its
own: half of the cost of a request goes there (docs/decisions/0012-short-way.md). All others (a
body in pieces, pipelined requests, refusals, HTTP/1.0, …) go aiohttp's way, to `receive`.
"""

import asyncio
import logging
import time
import zlib
from collections.abc import Sequence
from typing import Any

from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import ContentEncodingError, HttpProcessingError

from ingress.http import answers as refusals
from ingress.http.answers import Answer, fail_bytes, ok_bytes, respond
from ingress.http.complaints import Complaints
from ingress.http.receiver import Door
from ingress.settings import IngressSettings

# A body that ends early, or that does not decompress. Whoever sent it may be gone already.
UNREADABLE = (
    ClientPayloadError,
    ConnectionError,
    ContentEncodingError,
    web.RequestPayloadError,
    zlib.error,
)
# Whoever sends requests and does not read the answers is cut off when so much waits for it.
UNREAD_BYTES_MAX = 64 << 10

OUR_FAULT = "a fault of the receiver; its log says more"

# At the end, requests under way have so long to be answered; when none is and none has come for
# QUIET_S (the kernel may have one), it is over.
DRAIN_S = 5.0
QUIET_S = 0.1

log = logging.getLogger(__name__)


class PublicServer(web.Server):
    """Every connection to the public port, at most `connections_max` of them."""

    def __init__(
        self, door: Door, complaints: Complaints, settings: IngressSettings, *, body_bytes_max: int
    ) -> None:
        super().__init__(self._receive, request_factory=self._request)
        self.door = door
        self.complaints = complaints
        self.body_bytes_max = body_bytes_max
        # Requests that the short way has taken and not yet answered.
        self.under_way = 0
        # OKs that the short way gave and that nobody has counted yet: a metric's lock costs more.
        self.oks = 0
        # `draining`: unready, takes everything. `closing`: each answer ends its connection.
        self.draining = False
        self.closing = False
        self.open = 0
        # Connections that wait for a request, the one that has waited longest first.
        self.waiting: dict[Connection, None] = {}
        self._settings = settings
        self._log = _silent()

    def __call__(self) -> "Connection":
        """Return the protocol of a new connection."""
        return Connection(
            self,
            loop=self._loop,
            access_log=None,
            keepalive_timeout=self._settings.keepalive_s,
            lingering_time=self._settings.body_s,
            logger=self._log,
        )

    def connection_made(self, handler: Any, transport: asyncio.Transport) -> None:
        """Note a new connection; at the bound the one that has waited longest makes room."""
        super().connection_made(handler, transport)
        self.waiting[handler] = None
        self.open += 1
        if self.open > self._settings.connections_max:
            next(iter(self.waiting), handler).force_close()

    def connection_lost(self, handler: Any, exc: BaseException | None = None) -> None:
        """Forget a connection."""
        super().connection_lost(handler, exc)
        self.open -= 1
        self.waiting.pop(handler, None)

    async def drained(self) -> None:
        """
        End connections with the next request's answer; return when none is due, or after DRAIN_S.

        aiohttp's own shutdown drops whatever still comes in on a connection: the end of a body
        whose head was read, too.
        """
        self.closing = True
        quiet_since = began = self._loop.time()
        while (now := self._loop.time()) < min(began + DRAIN_S, quiet_since + QUIET_S):
            if self.under_way or self.open > len(self.waiting):
                quiet_since = now
            await asyncio.sleep(0.005)

    def _request(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> Any:
        return web.BaseRequest(
            message,
            payload,
            protocol,
            writer,
            task,
            self._loop,
            client_max_size=self.body_bytes_max,
        )

    async def _receive(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        assert isinstance(connection, Connection)  # noqa: S101 - `__call__` makes no other
        self.waiting.pop(connection, None)
        try:
            answer, detail = await self._answer(request)
        finally:
            if connection.transport is not None:
                self.waiting[connection] = None
        self.complaints.note(answer, detail, request.remote, request._message.path)  # noqa: SLF001
        response = respond(answer, detail)
        if self.closing or answer is refusals.SLOW:
            response.force_close()
        return response

    async def _answer(self, request: web.BaseRequest) -> tuple[Answer, str]:
        # As it came: the protocol's URL may have its parameters in the path.
        admitted = self.door.admit(request.method, request._message.path)  # noqa: SLF001
        if isinstance(admitted, Answer):
            return admitted, ""
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        try:
            async with asyncio.timeout(self._settings.body_s):
                body = await request.read()
        except TimeoutError:
            return refusals.SLOW, ""
        except web.HTTPRequestEntityTooLarge as error:
            return refusals.TOO_LARGE, error.text or ""
        except UNREADABLE:
            return refusals.UNREADABLE, ""
        told: asyncio.Future[tuple[Answer, str]] = self._loop.create_future()

        def answered(answer: Answer, detail: str) -> None:
            if not told.done():  # the connection may be gone
                told.set_result((answer, detail))

        self.door.keep(admitted, body, answered)
        return await told


class Connection(web.RequestHandler):
    """One connection. `answering` is true while the short way has a request of it."""

    __slots__ = ("_later", "_server", "answering")

    def __init__(self, server: PublicServer, **kwargs: Any) -> None:
        super().__init__(server, **kwargs)
        self._server = server
        self.answering = False
        # What came meanwhile, not parsed: it gets its answers after this one.
        self._later = b""
        self._parser: Any = Parser(self._parser, self)

    def data_received(self, data: bytes) -> None:
        """Parse what came, or keep it until the request before is answered."""
        if self.answering or self._later:
            self._later += data
            if self.transport is not None:
                self.transport.pause_reading()
        else:
            super().data_received(data)

    def take(self, message: Any, payload: Any) -> bool:
        """Tell whether the short way takes this request; if so, the answer is written when due."""
        server = self._server
        if (
            message.method != "POST"
            or message.should_close
            or message.upgrade
            or not payload.is_eof()
            or payload.exception() is not None
            or payload.total_bytes > server.body_bytes_max
            or server.closing
            or self._waiter is None
            or self._waiter.done()
        ):
            return False
        admitted = server.door.admit("POST", message.path)
        if isinstance(admitted, Answer):
            return False
        self.answering = True
        server.under_way += 1
        server.waiting.pop(self, None)
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        try:
            server.door.keep(admitted, payload.read_nowait(-1), self._answered)
        except Exception:
            log.exception(OUR_FAULT)
            self._answered(refusals.UNAVAILABLE, OUR_FAULT)
        return True

    def _answered(self, answer: Answer, detail: str) -> None:
        server = self._server
        self.answering = False
        server.under_way -= 1
        transport = self.transport
        if transport is None:
            return
        server.waiting[self] = None
        second = int(time.time())
        if answer is refusals.OK:
            server.oks += 1
            transport.write(ok_bytes(second))
        else:
            server.complaints.note(answer, detail, self.peername)
            transport.write(fail_bytes(answer, detail, second))
        if transport.get_write_buffer_size() > UNREAD_BYTES_MAX:
            self.force_close()
        elif self._later:
            # Not in this stack: each answered request would deepen it.
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        # Reading goes on only now: uvloop would have read what is newer before this is parsed.
        later, self._later = self._later, b""
        self.data_received(later)
        if not (self.answering or self._reading_paused or self._buffer_paused):
            self._resume_transport_reading()

    def handle_error(
        self,
        request: web.BaseRequest,  # noqa: ARG002 - aiohttp's signature
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no HTTP, and a fault of ours, like everything else: in JSON, counted."""
        if status == 500 and not isinstance(exc, HttpProcessingError):
            log.error(OUR_FAULT, exc_info=exc)
            answer, detail = refusals.UNAVAILABLE, OUR_FAULT
        else:
            answer, detail = refusals.NOT_HTTP, f"{refusals.NOT_HTTP.info}: {message or exc}"
        self._server.complaints.note(answer, "", self.peername)
        response = respond(answer, detail)
        response.force_close()
        return response


class Parser:
    """aiohttp's parser, from which the short way takes the requests that it can take."""

    __slots__ = ("_connection", "_parser", "message_consumed", "pause_reading", "set_upgraded")

    def __init__(self, parser: Any, connection: Connection) -> None:
        self._parser = parser
        self._connection = connection
        self.message_consumed = parser.message_consumed
        self.pause_reading = parser.pause_reading
        self.set_upgraded = parser.set_upgraded

    def feed_data(self, data: bytes) -> tuple[Sequence[Any], bool, bytes]:
        """
        Return what is parsed and not taken, as aiohttp's parser does.

        Raises:
            HttpProcessingError: the bytes are no HTTP.
        """
        parsed: tuple[Sequence[Any], bool, bytes] = self._parser.feed_data(data)
        messages = parsed[0]
        if len(messages) == 1 and self._connection.take(*messages[0]):
            self.message_consumed()
            return NOTHING
        return parsed


NOTHING: tuple[Sequence[Any], bool, bytes] = ((), False, b"")


def _silent() -> logging.Logger:
    """
    Return aiohttp's log without the requests that it could not parse, or not read to their end.

    Anyone can send those, at any rate, and their text may hold a Sign; `complaints` tells of them.
    """
    server_log = logging.getLogger("aiohttp.server")
    server_log.addFilter(_is_of_ours)
    return server_log


def _is_of_ours(entry: logging.LogRecord) -> bool:
    peers_fault = (HttpProcessingError, *UNREADABLE)
    return not (entry.exc_info and isinstance(entry.exc_info[1], peers_fault))
