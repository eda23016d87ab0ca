"""
The public port: aiohttp's HTTP server, with a bound on connections and its own way to drain.

Most requests do not come here: `Connection` answers a callback that arrives in one piece on a fast
path (ingress/http/connection.py). All other requests take aiohttp's path, to `_receive`.
"""

import asyncio
import logging
import zlib
from typing import Any

from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import ContentEncodingError, HttpProcessingError

from ingress.http import answers
from ingress.http.answers import Answer, respond
from ingress.http.connection import Connection, Traffic
from ingress.http.receiver import Receiver
from ingress.http.refusal_log import RefusalLog
from ingress.settings import IngressSettings

# Errors of a body that ends early or cannot be decompressed. The sender may be gone already.
BODY_ERRORS = (
    ClientPayloadError,
    ConnectionError,
    ContentEncodingError,
    web.RequestPayloadError,
    zlib.error,
)

# While the port drains, requests under way have DRAIN_S to be answered. The port is drained when no
# request is under way and none has come for QUIET_S: the kernel may hold one that was not read yet.
DRAIN_S = 5.0
QUIET_S = 0.1


class PublicServer(web.Server):
    """The server of the public port, for at most `connections_max` connections."""

    def __init__(
        self,
        receiver: Receiver,
        refusal_log: RefusalLog,
        settings: IngressSettings,
        *,
        body_bytes_max: int,
    ) -> None:
        super().__init__(self._receive, request_factory=self._request)
        self.traffic = Traffic()
        # True once the process has begun to stop: /readyz reports it at once, but new connections
        # are accepted for some more seconds.
        self.announces_stop = False
        self._receiver = receiver
        self._refusal_log = refusal_log
        self._body_bytes_max = body_bytes_max
        self._settings = settings
        self._log = _filtered_server_log()

    def __call__(self) -> Connection:
        """Return the protocol of a new connection."""
        return Connection(
            self,
            self._receiver,
            self._refusal_log,
            self.traffic,
            body_bytes_max=self._body_bytes_max,
            loop=self._loop,
            access_log=None,
            keepalive_timeout=self._settings.keepalive_s,
            lingering_time=self._settings.body_s,
            logger=self._log,
        )

    def connection_made(self, handler: Any, transport: asyncio.Transport) -> None:
        """Count a new connection; above the bound, close the one that has been idle longest."""
        super().connection_made(handler, transport)
        traffic = self.traffic
        traffic.idle[handler] = None
        traffic.open += 1
        if traffic.open > self._settings.connections_max:
            next(iter(traffic.idle), handler).force_close()

    def connection_lost(self, handler: Any, exc: BaseException | None = None) -> None:
        """Forget a connection."""
        super().connection_lost(handler, exc)
        self.traffic.open -= 1
        self.traffic.idle.pop(handler, None)

    async def drain(self) -> None:
        """
        Close each connection after its next answer; return when none is due, or after DRAIN_S.

        aiohttp's own shutdown drops all bytes that still arrive on a connection, even the end of a
        body whose head was read.
        """
        traffic = self.traffic
        traffic.closing = True
        quiet_since = began = self._loop.time()
        while (now := self._loop.time()) < min(began + DRAIN_S, quiet_since + QUIET_S):
            if traffic.unanswered or traffic.open > len(traffic.idle):
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
            client_max_size=self._body_bytes_max,
        )

    async def _receive(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = request.protocol
        assert isinstance(connection, Connection)  # noqa: S101 - `__call__` makes no other
        idle = self.traffic.idle
        idle.pop(connection, None)
        try:
            answer, detail = await self._answer(request)
        finally:
            if connection.transport is not None:
                idle[connection] = None
        self._refusal_log.note(answer, detail, request.remote, request._message.path)  # noqa: SLF001
        response = respond(answer, detail)
        if self.traffic.closing or answer is answers.SLOW:
            response.force_close()
        return response

    async def _answer(self, request: web.BaseRequest) -> tuple[Answer, str]:
        # The target as it came: with the path form its parameters are in the path.
        admitted = self._receiver.admit(request.method, request._message.path)  # noqa: SLF001
        if isinstance(admitted, Answer):
            return admitted, ""
        if request.headers.get("Expect", "").lower() == "100-continue":
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        try:
            async with asyncio.timeout(self._settings.body_s):
                body = await request.read()
        except TimeoutError:
            return answers.SLOW, ""
        except web.HTTPRequestEntityTooLarge as error:
            return answers.TOO_LARGE, error.text or ""
        except BODY_ERRORS:
            return answers.UNREADABLE, ""
        answer_due: asyncio.Future[tuple[Answer, str]] = self._loop.create_future()

        def send_answer(answer: Answer, detail: str) -> None:
            if not answer_due.done():  # cancelled, if the connection is gone
                answer_due.set_result((answer, detail))

        self._receiver.store(admitted, body, send_answer)
        return await answer_due


def _filtered_server_log() -> logging.Logger:
    """
    Return aiohttp's log without requests that could not be parsed or not be read to their end.

    Any peer can send those at any rate, and their text may hold a Sign; the refusal log has them.
    """
    server_log = logging.getLogger("aiohttp.server")
    server_log.addFilter(_is_our_fault)
    return server_log


def _is_our_fault(entry: logging.LogRecord) -> bool:
    faults_of_peers = (HttpProcessingError, *BODY_ERRORS)
    return not (entry.exc_info and isinstance(entry.exc_info[1], faults_of_peers))
