"""Three independent HTTP parsers, to compare with what the ingress reads."""

import asyncio
from typing import Any, NamedTuple

import h11
import httptools
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParserPy

# Above every head that the tests make, so that only the ingress's own bounds differ.
BOUND = 1 << 20


class Read(NamedTuple):
    """The first request of a stream: its target, its body, and the offset of its end."""

    target: bytes
    body: bytes
    end: int


class Differs(AssertionError):
    """A parser reads another request."""


def first_by_h11(data: bytes) -> Read | None:
    """
    Return the first request, None if it is incomplete.

    Raises:
        h11.RemoteProtocolError: it is not HTTP.
    """
    if not data:
        return None  # h11 takes no bytes for the end of the stream
    parser = h11.Connection(h11.SERVER, max_incomplete_event_size=BOUND)
    parser.receive_data(data)
    target, body = b"", b""
    while True:
        event = parser.next_event()
        if event in (h11.NEED_DATA, h11.PAUSED):
            return None
        if isinstance(event, h11.Request):
            target = event.target
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            return Read(target, body, len(data) - len(parser.trailing_data[0]))


class Llhttp:
    """llhttp's requests of a stream."""

    def __init__(self) -> None:
        self.requests = 0
        self.target = b""
        self.body = b""
        self.closes = False
        self.parser = httptools.HttpRequestParser(self)

    def on_url(self, piece: bytes) -> None:
        """Add a piece of the first request's target."""
        if not self.requests:
            self.target += piece

    def on_body(self, piece: bytes) -> None:
        """Add a piece of the first request's body."""
        if not self.requests:
            self.body += piece

    def on_message_complete(self) -> None:
        """Count a request, and note whether the connection is closed after it."""
        self.requests += 1
        self.closes = not self.parser.should_keep_alive()


def check_with_llhttp(data: bytes, read: Read, *, closes: bool) -> None:
    """
    Compare with llhttp's reading of `data`.

    Raises:
        Differs: it reads another first request, or the same with another end.
        httptools.HttpParserError: it refuses the request.
    """
    llhttp = Llhttp()
    llhttp.parser.feed_data(data[: read.end - 1])
    if llhttp.requests:
        raise Differs("llhttp: the request ends sooner")
    llhttp.parser.feed_data(data[read.end - 1 : read.end])
    if not llhttp.requests:
        raise Differs("llhttp: the request ends later")
    if (llhttp.target, llhttp.body) != (read.target, read.body):
        raise Differs(f"llhttp: {llhttp.target!r} {llhttp.body!r}")
    if llhttp.closes != closes:
        raise Differs(f"llhttp: close after it: {llhttp.closes}")


class PythonParser:
    """aiohttp's parser in pure Python, which shares no code with llhttp."""

    def __init__(self, loop: Any) -> None:
        self._loop: asyncio.AbstractEventLoop = loop
        self._protocol = BaseProtocol(self._loop)

    def fresh(self) -> HttpRequestParserPy:
        """Return a parser at the beginning of a stream."""
        return HttpRequestParserPy(
            self._protocol,
            self._loop,
            BOUND,
            max_line_size=BOUND,
            max_field_size=BOUND,
            max_headers=BOUND,
            auto_decompress=False,
        )

    def check(self, data: bytes, read: Read, *, closes: bool) -> None:
        """
        Compare with this parser's reading of `data`.

        Raises:
            Differs: it reads another first request, or the same with another end.
            HttpProcessingError: it refuses the request.
        """
        parser = self.fresh()
        messages, _, _ = parser.feed_data(data[: read.end - 1])
        if messages and messages[0][1].is_eof():
            raise Differs("aiohttp: the request ends sooner")
        messages = [*messages, *parser.feed_data(data[read.end - 1 : read.end])[0]]
        if len(messages) != 1 or not messages[0][1].is_eof():
            raise Differs("aiohttp: the request ends later")
        message, payload = messages[0]
        body = payload.read_nowait(-1)
        if (message.path.encode(), body) != (read.target, read.body):
            raise Differs(f"aiohttp: {message.path!r} {body!r}")
        if message.should_close != closes:
            raise Differs(f"aiohttp: close after it: {message.should_close}")

    def refuses(self, data: bytes) -> bool:
        """Return whether the first bytes that can be judged are not HTTP."""
        try:
            self.fresh().feed_data(data)
        except (HttpProcessingError, ValueError):
            return True
        return False


def llhttp_refuses(data: bytes) -> bool:
    """Return whether llhttp refuses the first request."""
    llhttp = Llhttp()
    try:
        llhttp.parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        return False
    except httptools.HttpParserError:
        return not llhttp.requests
    return False
