r"""
Search bytes for a text as JSON may write it, before they are parsed.

A sender may write every character of a string as itself or as an escape: `1` is `\u0031`, too. The
search never misses a text. It may report one that parsing then does not find.
"""

import itertools
import re
from collections.abc import Iterator
from typing import Protocol

import orjson

# A value in the archive that is in base64, so its text is not to be seen.
BASE64 = b'"body_base64":"'
_SHORT_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "\b": "b", "\f": "f", "\n": "n", "\r": "r"}
_SHORT_ESCAPES["\t"] = "t"
_ESCAPE = re.compile(rb'(?:\\u[0-9a-fA-F]{4})+|\\["\\/bfnrt]')
_SHORT_MEANT = {f"\\{escape}".encode(): each.encode() for each, escape in _SHORT_ESCAPES.items()}


class LineSearch(Protocol):
    """Selects the lines that are worth parsing."""

    def lines(self, block: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield where each line of a block begins that may be wanted, once each, and the line."""
        ...


class Needle:
    """One text to search for, which is not empty."""

    def __init__(self, text: str) -> None:
        self._raw = text.encode("utf-8", "surrogatepass")
        self.length = len(self._raw)
        self._word = re.compile(rb"(?<!\w)%b(?!\w)" % re.escape(self._raw))
        self._escapes = _escapes(text)

    def is_in(self, value: bytes) -> bool:
        """Return whether `value`, which is JSON or not, may contain the text."""
        return self._raw in value or self._escapes.search(value) is not None

    def is_written_in(self, text: bytes) -> bool:
        """Return whether `text`, which is not JSON, has the whole word as it is or with escapes."""
        return bool(self._word.search(text) or self._word.search(_ESCAPE.sub(_unescaped, text)))

    def lines(self, block: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield the lines of a block of the archive that may contain the text, in any order."""
        seen: set[int] = set()
        escaped = (found.start() for found in self._escapes.finditer(block))
        for at in itertools.chain(_each(self._raw, block), _each(BASE64, block), escaped):
            start = block.rfind(b"\n", 0, at) + 1
            if start not in seen:
                seen.add(start)
                yield start, block[start : block.index(b"\n", at) + 1]


class PlainNeedle:
    """Bytes that lines have only as they are, such as the header of an id."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def lines(self, block: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield the lines of a block that contain the bytes."""
        end = 0
        while (at := block.find(self._raw, end)) >= 0:
            start = block.rfind(b"\n", 0, at) + 1
            end = block.index(b"\n", at) + 1
            yield start, block[start:end]


def header_needle(name: str, value: str) -> PlainNeedle:
    """Return what a line of the archive has for a header."""
    return PlainNeedle(orjson.dumps(name) + b":" + orjson.dumps(value))


def header_beginning(name: str, beginning: str) -> PlainNeedle:
    """Return what a line of the archive has for a header that begins with a text."""
    return PlainNeedle((orjson.dumps(name) + b":" + orjson.dumps(beginning)).removesuffix(b'"'))


def _each(part: bytes, text: bytes) -> Iterator[int]:
    at = text.find(part)
    while at >= 0:
        yield at
        at = text.find(part, at + 1)


def _escapes(text: str) -> re.Pattern[bytes]:
    """Return an expression for the escapes of the text's characters; it begins with a backslash."""
    units = set()
    for character in text:
        pair = character.encode("utf-16-be", "surrogatepass")
        units |= {pair[at : at + 2].hex() for at in range(0, len(pair), 2)}
    short = {_SHORT_ESCAPES[each] for each in text if each in _SHORT_ESCAPES}
    alternatives = [f"u{_any_case(unit)}" for unit in sorted(units)]
    alternatives += [re.escape(each) for each in sorted(short)]
    if "\\" in text:
        # A lone surrogate is, as text, the six characters of its escape.
        alternatives.append("u[dD][89a-fA-F][0-9a-fA-F]{2}")
    return re.compile(f"\\\\(?:{'|'.join(alternatives)})".encode())


def _unescaped(escapes: re.Match[bytes]) -> bytes:
    if escapes[0] in _SHORT_MEANT:
        return _SHORT_MEANT[escapes[0]]
    units = bytes.fromhex(escapes[0].replace(b"\\u", b"").decode())
    # As in `schemas.body.to_text`, a lone surrogate is the text of its escape.
    text = units.decode("utf-16-be", "surrogatepass")
    return text.encode("utf-8", "backslashreplace")


def _any_case(digits: str) -> str:
    return "".join(f"[{d}{d.upper()}]" if d.isalpha() else d for d in digits)
