"""
One connection of the public port, with a fast path for a callback that arrives in one piece.

aiohttp parses every request. The fast path takes a POST whose body has arrived whole, on a
connection with no other request under way, and admits, stores and answers it without aiohttp's
task, request and response objects, which make up half of the cost of a request
(docs/decisions/0012-fast-path.md). All other requests (a body in pieces, pipelined requests,
refusals, HTTP/1.0, …) take aiohttp's path, to `PublicServer`.

aiohttp's classes call each other around ours, in this order:

1. asyncio calls `Connection.data_received` with bytes
2. `aiohttp.web.RequestHandler.data_received`, its base class, passes them to its parser
3. that parser is a `FastPathParser`, at the end of this file: `feed_data` lets aiohttp's own parser
   read the bytes, and offers a request that is alone to `Connection.answer_if_whole`
4. if that returns True, the base class sees no request; otherwise it begins its own task

The fast path needs `Receiver.admit`, `Receiver.store` and the answers as bytes, and nothing else of
the ingress.
"""

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from ingress.http import answers
from ingress.http.answers import Answer, fail_bytes, ok_bytes, respond
from ingress.http.receiver import Receiver
from ingress.http.refusal_log import RefusalLog

# A peer that leaves more bytes of answers unread than this is disconnected.
UNREAD_BYTES_MAX = 64 << 10

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Traffic:
    """The open connections of the public port, and counts of its requests; they all share it."""

    # The number of open connections.
    open: int = 0
    # Connections without a request under way, the one that has been idle longest first.
    idle: dict["Connection", None] = field(default_factory=dict)
    # Requests that the fast path has taken and not answered yet.
    unanswered: int = 0
    # OKs of the fast path since the last scrape: counting each one would take the metric's lock.
    uncounted_oks: int = 0
    # Each connection is closed after its next answer.
    closing: bool = False


class Connection(web.RequestHandler):
    """
    The protocol of one connection.

    `answering` is True while the fast path handles a request of this connection.
    """

    __slots__ = (
        "_body_bytes_max",
        "_receiver",
        "_refusal_log",
        "_traffic",
        "_unparsed",
        "answering",
    )

    def __init__(
        self,
        server: web.Server,
        receiver: Receiver,
        refusal_log: RefusalLog,
        traffic: Traffic,
        *,
        body_bytes_max: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(server, **kwargs)
        self._receiver = receiver
        self._refusal_log = refusal_log
        self._traffic = traffic
        self._body_bytes_max = body_bytes_max
        self.answering = False
        # Bytes that arrived after the request that the fast path is answering.
        self._unparsed = b""
        self._parser: Any = FastPathParser(self._parser, self)

    def data_received(self, data: bytes) -> None:
        """Parse the bytes, or keep them until the request before them is answered."""
        if self.answering or self._unparsed:
            self._unparsed += data
            if self.transport is not None:
                self.transport.pause_reading()
        else:
            super().data_received(data)

    def answer_if_whole(self, message: Any, payload: Any) -> bool:
        """Let the fast path answer the request if its body is here; return whether it does."""
        traffic = self._traffic
        if (
            message.method != "POST"
            or message.should_close
            or message.upgrade
            or not payload.is_eof()
            or payload.exception() is not None
            or payload.total_bytes > self._body_bytes_max
            or traffic.closing
            or self._waiter is None
            or self._waiter.done()
        ):
            return False
        admitted = self._receiver.admit("POST", message.path)
        if isinstance(admitted, Answer):
            return False
        self.answering = True
        traffic.unanswered += 1
        traffic.idle.pop(self, None)
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        try:
            self._receiver.store(admitted, payload.read_nowait(-1), self._write_answer)
        except Exception:
            log.exception("a bug kept a callback from being stored; answered 503")
            self._write_answer(answers.UNAVAILABLE, answers.INTERNAL_FAULT)
        return True

    def _write_answer(self, answer: Answer, detail: str) -> None:
        traffic = self._traffic
        self.answering = False
        traffic.unanswered -= 1
        transport = self.transport
        if transport is None:
            return
        traffic.idle[self] = None
        second = int(time.time())
        if answer is answers.OK:
            traffic.uncounted_oks += 1
            transport.write(ok_bytes(second))
        else:
            self._refusal_log.note(answer, detail, self.peername)
            transport.write(fail_bytes(answer, detail, second))
        if transport.get_write_buffer_size() > UNREAD_BYTES_MAX:
            self.force_close()
        elif self._unparsed:
            # Parse later: in this call, the stack would grow with each request that is answered.
            self._loop.call_soon(self._parse_the_unparsed)

    def _parse_the_unparsed(self) -> None:
        # Resume reading only afterwards: uvloop might deliver newer bytes before these are parsed.
        data, self._unparsed = self._unparsed, b""
        self.data_received(data)
        if not (self.answering or self._reading_paused or self._buffer_paused):
            self._resume_transport_reading()

    def handle_error(
        self,
        request: web.BaseRequest,  # noqa: ARG002 - aiohttp's signature
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer a request that is not HTTP, or an error of ours, in JSON, and count it."""
        if status == 500 and not isinstance(exc, HttpProcessingError):
            log.error("a bug kept a request from being handled; answered 503", exc_info=exc)
            answer, detail = answers.UNAVAILABLE, answers.INTERNAL_FAULT
        else:
            answer, detail = answers.not_http(message or exc)
        # Without `detail`: it quotes the bytes, which may hold a Sign in any form.
        self._refusal_log.note(answer, "", self.peername)
        response = respond(answer, detail)
        response.force_close()
        return response


class FastPathParser:
    """aiohttp's parser, without the requests that the fast path takes from it."""

    __slots__ = ("_connection", "_parser", "message_consumed", "pause_reading", "set_upgraded")

    def __init__(self, parser: Any, connection: Connection) -> None:
        self._parser = parser
        self._connection = connection
        self.message_consumed = parser.message_consumed
        self.pause_reading = parser.pause_reading
        self.set_upgraded = parser.set_upgraded

    def feed_data(self, data: bytes) -> tuple[Sequence[Any], bool, bytes]:
        """
        Return the parsed requests that the fast path does not take, as aiohttp's parser does.

        Raises:
            HttpProcessingError: the bytes are not HTTP.
        """
        parsed: tuple[Sequence[Any], bool, bytes] = self._parser.feed_data(data)
        messages = parsed[0]
        if len(messages) == 1 and self._connection.answer_if_whole(*messages[0]):
            self.message_consumed()
            return NOTHING_PARSED
        return parsed


NOTHING_PARSED: tuple[Sequence[Any], bool, bytes] = ((), False, b"")
