"""
Decode the content codings of a body (RFC 9110 §8.4).

The result of each coding is bounded: a few bytes of gzip can stand for a thousand times as many.
"""

import zlib
from collections.abc import Iterable

# The codings that are decoded, as the answer 415 lists them.
CODINGS = ("gzip", "deflate", "identity")
_ALIASES = {"x-gzip": "gzip"}
# A body may be encoded more than once, but not more often than this.
CODINGS_MAX = 4


class UnknownCoding(Exception):
    """The header names a coding that is not decoded; the text says which, and what to send."""


class Undecodable(Exception):
    """The body is not what its Content-Encoding says, or it ends early."""


class TooLong(Exception):
    """The body is longer than the bound, before or after one of its codings was decoded."""


def parse_codings(headers: Iterable[str]) -> tuple[str, ...]:
    """
    Return the codings to decode, in this order, from the values of all headers Content-Encoding.

    Raises:
        UnknownCoding: one of them is not in CODINGS, or there are more than CODINGS_MAX.
    """
    named = [name.strip(" \t") for header in headers for name in header.split(",")]
    codings = [_ALIASES.get(name.lower(), name.lower()) for name in named if name]
    for coding in codings:
        if coding not in CODINGS:
            raise UnknownCoding(f"it names {coding!r:.40}; send one of {', '.join(CODINGS)}")
    # Those that change nothing do not count.
    applied = tuple(coding for coding in reversed(codings) if coding != "identity")
    if len(applied) > CODINGS_MAX:
        raise UnknownCoding(f"it names {len(applied)} codings; send at most {CODINGS_MAX}")
    return applied


def decode(body: bytes, codings: Iterable[str], *, bytes_max: int) -> bytes:
    """
    Return the body without its codings, which are removed in their order; at most `bytes_max`.

    An empty body stays empty.

    Raises:
        Undecodable: a coding does not fit, ends early, or something follows its end.
        TooLong: the result of a coding is longer than `bytes_max`.
    """
    for coding in codings:
        if body:
            body = _decoded(body, coding, bytes_max)
    return body


def _decoded(body: bytes, coding: str, bytes_max: int) -> bytes:
    decompressor = zlib.decompressobj(_window_bits(coding, body[0]))
    try:
        decoded = decompressor.decompress(body, bytes_max + 1)
    except zlib.error as error:
        raise Undecodable(str(error)) from error
    if len(decoded) > bytes_max:
        raise TooLong
    if not decompressor.eof or decompressor.unused_data:
        raise Undecodable(f"{coding} ends early, or something follows its end")
    return decoded


def _window_bits(coding: str, first_byte: int) -> int:
    """Return what zlib needs to know; many clients send `deflate` without zlib's header."""
    if coding == "gzip":
        return 16 + zlib.MAX_WBITS
    has_zlib_header = first_byte & 0x0F == zlib.DEFLATED
    return zlib.MAX_WBITS if has_zlib_header else -zlib.MAX_WBITS
