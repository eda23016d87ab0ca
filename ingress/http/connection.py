"""
One connection of the public port: plain requests are read, stored and answered here.

A plain request (ingress/http/head.py) costs no task and no request or response object. One request
of a connection is handled at a time; bytes after it wait. A request that is not plain is handed to
aiohttp (ingress/http/handover.py), with all bytes from its beginning on, and its connection is
closed after the answer; see docs/decisions/0024-plain-requests.md.
"""

import asyncio
import logging
import time
from typing import TYPE_CHECKING, cast

from ingress.http import answers
from ingress.http.answers import Answer, fail_bytes, ok_bytes
from ingress.http.head import HEAD_BYTES_MAX, REQUEST_LINE, may_become_plain, parse_headers
from ingress.http.receiver import Parameters, Receiver
from ingress.http.refusal_log import RefusalLog
from ingress.http.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Callable

# A peer that leaves more bytes of answers unread than this is disconnected.
UNREAD_BYTES_MAX = 64 << 10

log = logging.getLogger(__name__)


class Connection(asyncio.Protocol):
    """The protocol of one connection."""

    __slots__ = (
        "_admitted",
        "_aiohttp",
        "_answering",
        "_body",
        "_body_bytes_max",
        "_closes",
        "_ended",
        "_hand_over",
        "_is_paused",
        "_loop",
        "_missing",
        "_receiver",
        "_refusal_log",
        "_target",
        "_traffic",
        "_transport",
        "_unread",
    )

    def __init__(
        self,
        receiver: Receiver,
        refusal_log: RefusalLog,
        traffic: Traffic,
        hand_over: "Callable[[Connection, asyncio.Transport], asyncio.Protocol]",
        *,
        body_bytes_max: int,
    ) -> None:
        self._receiver = receiver
        self._refusal_log = refusal_log
        self._traffic = traffic
        self._hand_over = hand_over
        self._body_bytes_max = body_bytes_max
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        # aiohttp's protocol, once a request was not plain.
        self._aiohttp: asyncio.Protocol | None = None
        # The beginning of a head; or, with reading paused, what came after a request.
        self._unread = b""
        self._is_paused = False
        # The peer sends no more bytes.
        self._ended = False
        # The present request: whether it is being stored; its target; close after its answer.
        self._answering = False
        self._target = ""
        self._closes = False
        # While `_missing` bytes of its body are to come: its parameters, or its refusal, or None
        # after its answer.
        self._missing = 0
        self._body = bytearray()
        self._admitted: Parameters | Answer | None = None

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a request."""
        self._transport = transport = cast("asyncio.Transport", transport)
        transport.set_write_buffer_limits(high=UNREAD_BYTES_MAX)
        traffic = self._traffic
        traffic.connections.add(self)
        traffic.idle[self] = self._loop.time()
        if len(traffic.connections) > traffic.connections_max:
            next(iter(traffic.idle)).abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection; a callback that is being stored is stored all the same."""
        self._transport = None
        self._traffic.connections.discard(self)
        self._traffic.idle.pop(self, None)
        self._traffic.pending.pop(self, None)
        if self._aiohttp:
            self._aiohttp.connection_lost(exc)

    def pause_writing(self) -> None:
        """Disconnect a peer that leaves more than UNREAD_BYTES_MAX of its answers unread."""
        if self._transport:
            self._transport.abort()

    def eof_received(self) -> bool:
        """Keep the connection open for answers that are due."""
        self._ended = True
        if self._aiohttp:
            self._traffic.pending.setdefault(self, self._loop.time())
            return True
        return self._answering or self._is_paused

    def data_received(self, data: bytes) -> None:
        """Read what came, or keep it until the request before it is answered."""
        if self._missing:
            self._read_body(data)
        elif self._answering or self._is_paused:
            self._keep_for_later(self._unread + data)
        elif self._aiohttp:
            self._aiohttp.data_received(data)
        else:
            if self._unread:
                data, self._unread = self._unread + data, b""
            self._read(data)

    # Reading.

    def _read(self, data: bytes) -> None:
        """Read a request from its beginning on; `data` is all that came of it and after it."""
        line = REQUEST_LINE.match(data)
        head_end = data.find(b"\r\n\r\n")
        if head_end < 0 and may_become_plain(data):
            self._unread = data
            return
        headers = (
            parse_headers(data[line.end() : head_end + 2])
            if line and 0 < head_end < HEAD_BYTES_MAX
            else None
        )
        if line is None or headers is None or headers.content_length > self._body_bytes_max:
            self._give_to_aiohttp(data)
            return
        self._target = line[1].decode("ascii")
        self._closes = headers.closes
        admitted = self._receiver.admit("POST", self._target)
        begin = head_end + 4
        end = begin + headers.content_length
        if end <= len(data):
            self._keep_for_later(data[end:])
            self._take(admitted, data[begin:end])
            return
        # Already admitted or refused, so that a peer that is not authentic fills no memory.
        self._admitted = admitted
        self._missing = end - begin
        self._traffic.idle.pop(self, None)
        self._traffic.pending[self] = self._loop.time()
        if begin < len(data):
            self._read_body(data[begin:])

    def _read_body(self, data: bytes) -> None:
        piece = data[: self._missing]
        self._keep_for_later(data[self._missing :])
        self._missing -= len(piece)
        if not isinstance(self._admitted, Answer | None):
            self._body += piece
        if self._missing:
            return
        self._traffic.pending.pop(self, None)
        admitted, self._admitted = self._admitted, None
        body, self._body = bytes(self._body), bytearray()
        if admitted is None:
            self.close()
        else:
            self._take(admitted, body)

    def _keep_for_later(self, unread: bytes) -> None:
        """Keep what came after a request, and take no more until that is answered."""
        self._unread = unread
        if unread and self._transport:
            self._is_paused = True
            self._transport.pause_reading()

    def _give_to_aiohttp(self, data: bytes) -> None:
        if self._transport:
            self._aiohttp = self._hand_over(self, self._transport)
            self._aiohttp.data_received(data)

    # Answering.

    def _take(self, admitted: Parameters | Answer, body: bytes) -> None:
        """Store the callback of an admitted request, or refuse it."""
        self._answering = True
        self._traffic.unanswered += 1
        self._traffic.idle.pop(self, None)
        if isinstance(admitted, Answer):
            self._answer(admitted, "")
            return
        try:
            self._receiver.store(admitted, body, self._answer)
        except Exception:
            log.exception("a bug kept a callback from being stored; answered 503")
            self._answer(answers.UNAVAILABLE, answers.INTERNAL_FAULT)

    def _answer(self, answer: Answer, detail: str) -> None:
        traffic = self._traffic
        self._answering = False
        traffic.unanswered -= 1
        transport = self._transport
        if transport is None:
            return
        if self._closes or traffic.closing:
            self.write_last(answer, detail, self._target)
            self.close()
            return
        if answer is answers.OK:
            traffic.uncounted_oks += 1
            transport.write(ok_bytes(int(time.time())))
        else:
            self._refusal_log.note(answer, detail, self.peer, self._target)
            transport.write(fail_bytes(answer, detail, int(time.time())))
        traffic.idle[self] = self._loop.time()
        if self._is_paused or self._ended:
            # Later: in this call, the stack would grow with each request that is answered.
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        """Read what came after the request that has been answered."""
        transport = self._transport
        if transport is None or transport.is_closing() or self._answering:
            return
        data, self._unread = self._unread, b""
        if data:
            self._read(data)
        if self._answering or (self._unread and self._unread is not data):
            return  # this is called again after the answer
        if self._ended and not self._aiohttp:
            self.close()
        elif self._is_paused:
            # Only now: uvloop might deliver newer bytes before the older ones are read.
            self._is_paused = False
            transport.resume_reading()

    # Called by the port, and by what handles a request that is not plain.

    @property
    def peer(self) -> object:
        """The peer's address, None once the connection is lost."""
        return self._transport and self._transport.get_extra_info("peername")

    def close(self) -> None:
        """Close the connection once the peer has read what was written."""
        self._traffic.idle.pop(self, None)
        if self._transport:
            self._traffic.pending[self] = self._loop.time()
            self._transport.close()

    def abort(self) -> None:
        """Close the connection at once."""
        self._traffic.idle.pop(self, None)
        self._traffic.pending.pop(self, None)
        if self._transport:
            self._transport.abort()

    def begin_request(self) -> None:
        """Note that a request that is not plain has begun: the connection is not idle."""
        self._traffic.idle.pop(self, None)

    def write_last(self, answer: Answer, detail: str, target: str) -> None:
        """Count, log and write an answer after which the connection is to be closed."""
        if self._transport is None:
            return
        second = int(time.time())
        if answer is answers.OK:
            self._traffic.uncounted_oks += 1
            self._transport.write(ok_bytes(second, closes=True))
        else:
            self._refusal_log.note(answer, detail, self.peer, target)
            self._transport.write(fail_bytes(answer, detail, second, closes=True))

    def time_out(self) -> None:
        """
        Answer a request whose body has not come in time, or abort what has not ended in time.

        After the answer, the rest of the body is read and dropped for as long again: to close the
        connection while bytes arrive would let the kernel discard the answer.
        """
        admitted, self._admitted = self._admitted, None
        if self._transport is None or admitted is None:
            self.abort()
            return
        refusal = admitted if isinstance(admitted, Answer) else answers.SLOW
        self.write_last(refusal, "", self._target)
        self._transport.write_eof()
        self._body = bytearray()
        self._traffic.pending.pop(self, None)
        self._traffic.pending[self] = self._loop.time()
