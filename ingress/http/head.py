"""
Read the head of a plain request, the form that nearly every callback has.

A head is plain if every HTTP parser reads the same request from it: POST, HTTP/1.1, a path, one
Host, one Content-Length, no name twice, and no header that changes how a request is read. Each byte
of a field is checked (RFC 9110 §5.5, RFC 9112 §2.2), because parsers differ in how they read a
bare LF, a NUL or an obsolete line folding. tests/property/test_smuggling.py compares this module
with two independent parsers.
"""

import functools
import re
from typing import NamedTuple

# The bytes of a plain head without its last CRLF CRLF. Its lines are shorter, so aiohttp, whose
# limit of a line is 8190, accepts each of them, too.
HEAD_BYTES_MAX = 8189
# Blocks of header lines that `parse_headers` remembers, each of at most HEAD_BYTES_MAX.
REMEMBERED_BLOCKS_MAX = 256

# Any visible ASCII but `#`: parsers differ in how they read a fragment.
_request_line = re.compile(rb'POST (/[!"$-~]*) HTTP/1\.1\r\n')
_HEADER_LINE = rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):([\t\x20-\x7e\x80-\xff]*)\r\n"
_header_line = re.compile(_HEADER_LINE)
_header_lines = re.compile(b"(?:" + _HEADER_LINE + b")*")
# The beginning of a plain head whose last line is incomplete.
_BEGINNING = re.compile(
    rb'(?:POST /[!"$-~]* HTTP/1\.1\r\n(?:' + _HEADER_LINE + rb")*)?[\t\x20-\x7e\x80-\xff]*\r?"
)
_CONTENT_LENGTH = re.compile(rb"[0-9]{1,12}")
# These change where a body ends, what it means, or what comes before or after it. llhttp takes
# Proxy-Connection for Connection; aiohttp refuses Sec-WebSocket-Key1.
_NOT_PLAIN = frozenset(
    {
        b"content-encoding",
        b"expect",
        b"http2-settings",
        b"proxy-connection",
        b"sec-websocket-key1",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
_CLOSES = {b"keep-alive": False, b"close": True}


class Headers(NamedTuple):
    """
    The headers of a plain request.

    The number of the body's bytes, whether to close after the answer, and X-Forwarded-For.
    """

    content_length: int
    closes: bool
    forwarded_for: str


def parse_head(data: bytes, end: int) -> tuple[str, Headers] | None:
    """Return target and headers of a head with its CRLF CRLF at `end`; None if it is not plain."""
    line = _request_line.match(data)
    if not line or not 0 < end <= HEAD_BYTES_MAX:
        return None
    headers = parse_headers(data[line.end() : end + 2])
    return (line[1].decode("ascii"), headers) if headers else None


@functools.lru_cache(maxsize=REMEMBERED_BLOCKS_MAX)
def parse_headers(block: bytes) -> Headers | None:
    """
    Return the headers in a block of header lines, None if it is not plain.

    A client repeats the same block, so it is remembered by its exact bytes; the one used least
    recently is forgotten first.
    """
    if not _header_lines.fullmatch(block):
        return None
    lines = _header_line.findall(block)
    fields = {name.lower(): value.strip(b" \t") for name, value in lines}
    content_length = fields.get(b"content-length", b"")
    closes = _CLOSES.get(fields.get(b"connection", b"keep-alive").lower())
    if (
        len(fields) != len(lines)
        or b"host" not in fields
        or not _CONTENT_LENGTH.fullmatch(content_length)
        or closes is None
        or not _NOT_PLAIN.isdisjoint(fields)
    ):
        return None
    forwarded_for = fields.get(b"x-forwarded-for", b"").decode("latin-1")
    return Headers(int(content_length), closes, forwarded_for)


def may_become_plain(beginning: bytes) -> bool:
    """Return whether an incomplete head can still become a plain one."""
    return (
        # Three bytes of CRLF CRLF, which do not count, may be here.
        len(beginning) <= HEAD_BYTES_MAX + len(b"\r\n\r")
        and b"POST /".startswith(beginning[:6])
        and _BEGINNING.fullmatch(beginning) is not None
    )
