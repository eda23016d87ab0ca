"""
One connection of the public port: plain requests are read, stored and answered here.

A plain request (ingress/http/head.py) costs no task and no request or response object. One request
of a connection is handled at a time; bytes after it wait. A request that is not plain is handed to
aiohttp (ingress/http/aiohttp_fallback.py), with all bytes from its beginning on, and its connection
is closed after the answer; see docs/decisions/0024-plain-requests.md.

The file has more than 250 lines: it is one state machine, and all of its methods share its state.
"""

import asyncio
from collections.abc import Callable
from typing import cast

from ingress.http import answers
from ingress.http.answer_sender import AnswerSender
from ingress.http.answers import Answer, DetailedAnswer
from ingress.http.head import may_become_plain, parse_head
from ingress.http.open_connections import OpenConnections
from ingress.http.partial_request import PartialRequest
from ingress.http.receiver import Parameters, Receiver

# Bytes that wait for the answer to the request before them, with reading paused. A peer that sends
# more of them gets that answer, then its connection is closed; HTTP gateways do not pipeline POST.
PIPELINED_BYTES_MAX = 64 << 10
# A peer that reads so slowly that more bytes of answers than this wait to be sent is disconnected.
UNSENT_BYTES_MAX = 64 << 10


class Connection(asyncio.Protocol):
    """The protocol of one connection."""

    __slots__ = (
        "_aiohttp_protocol",
        "_answer_sender",
        "_body_bytes_max",
        "_closes_after_answer",
        "_eof_received",
        "_forwarded_for",
        "_is_half_closed",
        "_is_handling",
        "_is_reading_paused",
        "_loop",
        "_open_aiohttp_protocol",
        "_open_connections",
        "_partial_request",
        "_receiver",
        "_target",
        "_transport",
        "_unparsed_bytes",
    )

    def __init__(
        self,
        receiver: Receiver,
        answer_sender: AnswerSender,
        open_connections: OpenConnections,
        open_aiohttp_protocol: Callable[["Connection", asyncio.Transport, bytes], asyncio.Protocol],
        *,
        body_bytes_max: int,
    ) -> None:
        self._receiver = receiver
        self._answer_sender = answer_sender
        self._open_connections = open_connections
        self._open_aiohttp_protocol = open_aiohttp_protocol
        self._body_bytes_max = body_bytes_max
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        # aiohttp's protocol, once a request was not plain.
        self._aiohttp_protocol: asyncio.Protocol | None = None
        # The beginning of a head; or, with reading paused, what came after a request.
        self._unparsed_bytes = b""
        self._is_reading_paused = False
        self._eof_received = False
        # The last answer was sent, and our side is closed: further bytes are dropped.
        self._is_half_closed = False
        # The present request: whether its answer is still due; its target and X-Forwarded-For;
        # whether the connection is closed after its answer.
        self._is_handling = False
        self._target = ""
        self._forwarded_for = ""
        self._closes_after_answer = False
        # The present request, while some bytes of its body are to come.
        self._partial_request: PartialRequest | None = None

    # Called by the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a request."""
        self._transport = transport = cast("asyncio.Transport", transport)
        transport.set_write_buffer_limits(high=UNSENT_BYTES_MAX)
        self._open_connections.add(self, self._loop.time())

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection; a callback that is being stored is stored all the same."""
        self._transport = None
        self._open_connections.remove(self)
        if self._aiohttp_protocol:
            self._aiohttp_protocol.connection_lost(exc)

    def pause_writing(self) -> None:
        """Disconnect a peer for whom more than UNSENT_BYTES_MAX of answers wait."""
        self.abort()

    def eof_received(self) -> bool:
        """Answer a request whose body has ended early; keep the connection for due answers."""
        self._eof_received = True
        if self._is_half_closed:
            return False
        if self._aiohttp_protocol:
            if self in self._open_connections.idle:
                self._open_connections.start_discarding(self, self._loop.time())
            return True
        self._give_up_body(answers.UNREADABLE)
        return self._is_handling or self._is_reading_paused

    def data_received(self, data: bytes) -> None:
        """Read the bytes, or keep them until the request before them is answered."""
        if self._partial_request:
            self._read_body(self._partial_request, data)
        elif self._is_handling or self._is_reading_paused:
            self._keep_for_later(self._unparsed_bytes + data)
        elif self._is_half_closed:
            return
        elif self._aiohttp_protocol:
            self._aiohttp_protocol.data_received(data)
        else:
            if self._unparsed_bytes:
                data, self._unparsed_bytes = self._unparsed_bytes + data, b""
            self._read_request(data)

    # Reading.

    def _read_request(self, data: bytes) -> None:
        """Read a request whose bytes begin with `data`; the next requests may follow in `data`."""
        head_end = data.find(b"\r\n\r\n")
        if head_end < 0 and may_become_plain(data):
            self._unparsed_bytes = data
            return
        head = parse_head(data, head_end)
        if head is None or head[1].content_length > self._body_bytes_max:
            self._give_to_aiohttp(data)
            return
        self._target, (content_length, self._closes_after_answer, self._forwarded_for) = head
        admission_result = self._receiver.admit("POST", self._target)
        body_begin = head_end + 4
        body_end = body_begin + content_length
        if body_end <= len(data):
            self._keep_for_later(data[body_end:])
            self._handle(admission_result, data[body_begin:body_end])
            return
        # Already admitted or refused, so that a peer that is not authentic fills no memory.
        self._partial_request = PartialRequest(admission_result, content_length)
        if isinstance(admission_result, DetailedAnswer):
            self._open_connections.start_discarding(self, self._loop.time())
        else:
            self._open_connections.start_waiting_for_body(self, self._loop.time())
        self._read_body(self._partial_request, data[body_begin:])

    def _read_body(self, request: PartialRequest, data: bytes) -> None:
        next_bytes = request.add(data)
        if request.missing_bytes:
            return
        self._partial_request = None
        self._keep_for_later(next_bytes)
        self._handle(request.admission_result, bytes(request.received))

    def _keep_for_later(self, unparsed: bytes) -> None:
        """Keep the bytes after a request, and pause reading until that request is answered."""
        if len(unparsed) > PIPELINED_BYTES_MAX:
            self._closes_after_answer = True
        self._unparsed_bytes = b"" if self._closes_after_answer else unparsed
        if unparsed and self._transport:
            self._is_reading_paused = True
            self._transport.pause_reading()

    def _give_to_aiohttp(self, data: bytes) -> None:
        if self._transport:
            self._aiohttp_protocol = self._open_aiohttp_protocol(self, self._transport, data)
            if self._is_reading_paused:
                # Before aiohttp gets bytes: it may pause reading itself.
                self._is_reading_paused = False
                self._transport.resume_reading()
            self._aiohttp_protocol.data_received(data)

    # Answering.

    def _handle(self, admission_result: Parameters | DetailedAnswer, body: bytes) -> None:
        """Store the callback of an admitted request, or refuse it."""
        self._is_handling = True
        self._open_connections.end_wait(self)
        if isinstance(admission_result, DetailedAnswer):
            self._answer(*admission_result)
        else:
            self._receiver.store(admission_result, body, self._answer)

    def _answer(self, answer: Answer, detail: str) -> None:
        open_connections = self._open_connections
        self._is_handling = False
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        closes = self._closes_after_answer or open_connections.is_draining
        self._send(answer, detail, closes=closes)
        if closes:
            self.half_close()
            return
        open_connections.start_waiting_for_request(self, self._loop.time())
        if self._is_reading_paused or self._eof_received:
            # Later: in this call, the stack would grow with each request that is answered.
            self._loop.call_soon(self._read_next)

    def _send(self, answer: Answer, detail: str, *, closes: bool) -> None:
        if self._transport:
            self._answer_sender.send(
                self._transport, answer, detail, self._target, self._forwarded_for, closes=closes
            )

    def _give_up_body(self, reason: Answer) -> bool:
        """
        Answer before all of the body is here; return False if no answer is due.

        The answer is the refusal of the request if there is one, otherwise `reason`.
        """
        request, self._partial_request = self._partial_request, None
        if self._transport is None or request is None:
            return False
        refusal = request.admission_result
        answer = refusal if isinstance(refusal, DetailedAnswer) else DetailedAnswer(reason)
        self._send(*answer, closes=True)
        return True

    def _read_next(self) -> None:
        """Read what came after the request that has been answered."""
        transport = self._transport
        if transport is None or transport.is_closing() or self._is_handling:
            return
        if self._closes_after_answer:
            self.half_close()
            return
        data, self._unparsed_bytes = self._unparsed_bytes, b""
        if data:
            self._read_request(data)
        if self._is_handling or (self._unparsed_bytes and self._unparsed_bytes is not data):
            return  # this is called again after the answer
        if self._eof_received and not self._aiohttp_protocol:
            self.close()
        elif self._is_reading_paused and not transport.is_closing():
            # Only now: uvloop might deliver newer bytes before the older ones are read.
            self._is_reading_paused = False
            transport.resume_reading()

    # Called by PublicServer, by AiohttpFallback, and after the last answer.

    def half_close(self) -> None:
        """
        Send no more; discard further bytes until the peer closes its side, or for INGRESS_BODY_S.

        If the connection was closed while the peer still sends, the kernel would reset it, and the
        peer might lose an answer that it has not read yet (RFC 9112 §9.6).
        """
        transport = self._transport
        if transport is None or transport.is_closing() or self._is_half_closed:
            return
        if self._eof_received:
            self.close()
            return
        self._is_half_closed = True
        self._is_reading_paused = False
        self._unparsed_bytes = b""
        self._open_connections.start_discarding(self, self._loop.time())
        try:
            transport.write_eof()
        except OSError:
            # The peer has reset the connection.
            self.abort()
        else:
            transport.resume_reading()

    def close(self) -> None:
        """Close the connection once the kernel has taken what was written."""
        if self._transport:
            self._open_connections.start_discarding(self, self._loop.time())
            self._transport.close()

    def abort(self) -> None:
        """Close the connection immediately."""
        self._open_connections.end_wait(self)
        if self._transport:
            self._transport.abort()

    def time_out(self) -> None:
        """Answer a request whose body has not come in time, or abort what has not ended in time."""
        if self._give_up_body(answers.SLOW):
            self.half_close()
        else:
            self.abort()
