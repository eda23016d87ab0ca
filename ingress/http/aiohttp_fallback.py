"""
Answer the requests that are not plain: aiohttp reads them, and does not write the answers.

aiohttp's server gets a transport that reads from the connection and does not write to it. So all
answers are written, counted and logged in one place, and look the same. The connection is closed
after the answer: the next request comes on a new one, and is read as a plain one again.
"""

import asyncio
import logging
from typing import Any

from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import HttpProcessingError

from ingress.http import answers, content_coding, not_http
from ingress.http.answer_sender import AnswerSender
from ingress.http.answers import Answer, DetailedAnswer
from ingress.http.connection import Connection
from ingress.http.content_coding import TooLong, Undecodable, UnknownCoding
from ingress.http.open_connections import OpenConnections
from ingress.http.receiver import Receiver
from ingress.settings import IngressSettings

# Errors of a body that ends early. The client may be gone already.
BODY_ERRORS = (ClientPayloadError, ConnectionError, web.RequestPayloadError)

log = logging.getLogger(__name__)


class ReadingTransport(asyncio.Transport):
    """
    The transport of a connection, as aiohttp gets it.

    Bytes that aiohttp writes are not sent. Before a request exists, aiohttp writes only to reject
    bytes that are not HTTP; the body of that answer is the reason.
    """

    def __init__(
        self,
        connection: Connection,
        transport: asyncio.Transport,
        answer_sender: AnswerSender,
        beginning: bytes,
    ) -> None:
        super().__init__()
        self.connection = connection
        self._beginning = beginning
        self._transport = transport
        self._answer_sender = answer_sender
        self._is_answered = False
        self._written = b""

    def answer(
        self,
        detailed_answer: DetailedAnswer,
        target: str,
        forwarded_for: str = "",
        *,
        has_body: bool = True,
    ) -> None:
        """Send the one answer of this connection, if the peer is still there."""
        if self._is_answered or self._transport.is_closing():
            return
        self._is_answered = True
        self._answer_sender.send(
            self._transport, *detailed_answer, target, forwarded_for, closes=True, has_body=has_body
        )

    def write_continue(self) -> None:
        """Let the peer send its body (RFC 9110 §10.1.1)."""
        self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    # What aiohttp calls.

    def write(self, data: Any) -> None:
        """Keep aiohttp's own answer."""
        if not self._is_answered:
            self._written += data

    def close(self) -> None:
        """Close the connection; before that, send the reason of aiohttp's own answer."""
        if self._written and not self._is_answered:
            aiohttp_reason = self._written.partition(b"\r\n\r\n")[2].decode("utf-8", "replace")
            self.answer(answers.not_http(not_http.reason(self._beginning, aiohttp_reason)), "")
        self.connection.half_close()

    def is_closing(self) -> bool:
        """Return whether the connection is being closed."""
        return self._transport.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what is known of the connection."""
        return self._transport.get_extra_info(name, default)

    def pause_reading(self) -> None:
        """Take no more bytes from the peer for now."""
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Take bytes from the peer again."""
        self._transport.resume_reading()


class AiohttpFallback:
    """Has aiohttp's server read the requests that are not plain; each comes back to `_receive`."""

    def __init__(
        self,
        receiver: Receiver,
        answer_sender: AnswerSender,
        open_connections: OpenConnections,
        settings: IngressSettings,
        *,
        body_bytes_max: int,
    ) -> None:
        self._receiver = receiver
        self._answer_sender = answer_sender
        self._open_connections = open_connections
        self._body_s = settings.body_s
        self._body_bytes_max = body_bytes_max
        self._loop = asyncio.get_running_loop()
        self._server = web.Server(
            self._receive,
            access_log=None,
            keepalive_timeout=settings.keepalive_s,
            # `Connection.half_close` reads what comes after the answer.
            lingering_time=0,
            # Bodies are decoded here, from all codings and within a bound.
            auto_decompress=False,
            logger=_filtered_server_log(),
        )

    def open_protocol(
        self, connection: Connection, transport: asyncio.Transport, data: bytes
    ) -> asyncio.Protocol:
        """
        Return aiohttp's protocol of a connection, which gets its further bytes and its loss.

        `data` is how the request begins; the protocol gets it from the connection.
        """
        beginning = data[: not_http.BEGINNING_BYTES_MAX]
        protocol = self._server()
        protocol.connection_made(
            ReadingTransport(connection, transport, self._answer_sender, beginning)
        )
        return protocol

    async def _receive(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request; return a response that is not sent and ends the connection."""
        transport = request.transport
        if isinstance(transport, ReadingTransport):
            # From here on, the request has its own bounds.
            self._open_connections.end_wait(transport.connection)
            try:
                detailed_answer = await self._admit_and_store(request, transport)
            except Exception:
                log.exception("a bug kept a request from being handled; answered 503")
                detailed_answer = DetailedAnswer(answers.UNAVAILABLE, answers.INTERNAL_FAULT)
            # The answer to HEAD has no body (RFC 9110 §9.3.2).
            has_body = request.method != "HEAD"
            forwarded_for = ",".join(request.headers.getall("X-Forwarded-For", ()))
            transport.answer(detailed_answer, request.raw_path, forwarded_for, has_body=has_body)
        response = web.Response()
        response.force_close()
        return response

    async def _admit_and_store(
        self, request: web.BaseRequest, transport: ReadingTransport
    ) -> DetailedAnswer:
        # The undecoded target: with the path form its parameters are in the path.
        admission_result = self._receiver.admit(request.method, request.raw_path)
        if isinstance(admission_result, DetailedAnswer):
            return admission_result
        body = await self._read_body(request, transport)
        if isinstance(body, DetailedAnswer):
            return body
        answer_due: asyncio.Future[DetailedAnswer] = self._loop.create_future()

        def send_answer(answer: Answer, detail: str) -> None:
            if not answer_due.done():  # cancelled, if the connection is gone
                answer_due.set_result(DetailedAnswer(answer, detail))

        self._receiver.store(admission_result, body, send_answer)
        return await answer_due

    async def _read_body(
        self, request: web.BaseRequest, transport: ReadingTransport
    ) -> bytes | DetailedAnswer:
        """Return the body without its content codings, or the answer if it cannot be had."""
        try:
            codings = content_coding.parse_codings(request.headers.getall("Content-Encoding", ()))
            if request.headers.get("Expect", "").lower() == "100-continue":
                transport.write_continue()
            async with asyncio.timeout(self._body_s):
                body = await self._read_encoded_body(request.content)
            if codings:
                # In a thread: other requests must not wait for a body that is slow to decode.
                body = await asyncio.to_thread(
                    content_coding.decode, body, codings, bytes_max=self._body_bytes_max
                )
        except UnknownCoding as unknown:
            return answers.unknown_coding(unknown)
        except Undecodable as undecodable:
            return answers.unreadable(undecodable)
        except TooLong:
            return answers.too_large(self._body_bytes_max)
        except TimeoutError:
            return DetailedAnswer(answers.SLOW)
        except BODY_ERRORS:
            return DetailedAnswer(answers.UNREADABLE)
        return body

    async def _read_encoded_body(self, content: Any) -> bytes:
        """
        Return the body as it is sent.

        Raises:
            TooLong: it is larger than the bound.
        """
        body = bytearray()
        async for piece in content.iter_any():
            body += piece
            if len(body) > self._body_bytes_max:
                raise TooLong
        return bytes(body)


def _filtered_server_log() -> logging.Logger:
    """
    Return aiohttp's log without requests that could not be parsed or not be read to their end.

    Any peer can send those at any rate, and their text may contain a Sign; the failure log
    (failure_log.py) has them.
    """
    server_log = logging.getLogger("aiohttp.server")
    server_log.addFilter(_is_bug)
    return server_log


def _is_bug(entry: logging.LogRecord) -> bool:
    faults_of_peers = (HttpProcessingError, *BODY_ERRORS)
    return not (entry.exc_info and isinstance(entry.exc_info[1], faults_of_peers))
