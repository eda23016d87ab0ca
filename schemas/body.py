"""Parse the body of a callback, as far as routing and identity need it."""

import json
from typing import Any

import orjson

# The standard library's own bound depends on the depth of the caller's stack, so the ingress might
# accept a body that a consumer refuses. This bound is the same everywhere, and far below that one.
DEPTH_MAX = 500
# Every sink can hold an integer of this length in 64 bits.
INTEGER_DIGITS_MAX = 18
# The integers that orjson reads as integers; it reads all others as floats.
_INTEGER_MIN, _INTEGER_MAX = -(1 << 63), (1 << 64) - 1
_INTEGER_LENGTH_MAX = 20


class Malformed(Exception):
    """
    A callback that consumers cannot read, or whose parts contradict each other.

    The ingress stores an authentic one as a dead letter.
    """


class LenientObject(dict[str, Any]):
    """A JSON object that orjson refuses and the standard library reads."""


def parse(body: bytes) -> dict[str, Any]:
    """
    Return the JSON object in `body`.

    A body that orjson refuses is parsed by the standard library, because real bodies have byte
    order marks and lone surrogates; such an object is a LenientObject. NaN and Infinity stay
    refused, because they are not JSON.

    Raises:
        Malformed: neither parser accepts the body, or it is not an object.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        document = _parse_leniently(body)
        if isinstance(document, dict):
            document = LenientObject(document)
    if not isinstance(document, dict):
        raise Malformed(f"the body is not a JSON object but {_json_type(document)}")
    return document


def to_text(value: Any) -> str:
    r"""
    Return a routing field as text; "" if it is absent, or neither a string nor an integer.

    Accounts may be JSON numbers. A lone surrogate becomes the six characters `\ud800`, so that keys
    and headers are always UTF-8.
    """
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    return ""


def is_shallow(document: Any) -> bool:
    """Return whether `document` has at most DEPTH_MAX levels; this does not recurse."""
    level = [document]
    for _ in range(DEPTH_MAX):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
        ]
        if not level:
            return True
    return False


def _parse_leniently(body: bytes) -> Any:
    try:
        document = json.loads(body.decode("utf-8-sig"), parse_int=_integer, parse_constant=_refuse)
    except UnicodeDecodeError as error:
        raise Malformed(f"the body is not UTF-8 at byte {error.start}") from error
    except json.JSONDecodeError as error:
        raise Malformed(
            f"the body is not JSON: {error.msg} at character {error.pos} of {len(body)} bytes"
        ) from error
    except RecursionError as error:
        raise Malformed("the body is nested too deeply") from error
    if not is_shallow(document):
        raise Malformed("the body is nested too deeply")
    return document


def _integer(digits: str) -> int | float:
    """Return an integer as orjson reads it; Python's `int` refuses more than 4300 digits."""
    if (
        len(digits) <= _INTEGER_LENGTH_MAX
        and _INTEGER_MIN <= (number := int(digits)) <= _INTEGER_MAX
    ):
        return number
    return float(digits)


def _refuse(constant: str) -> None:
    raise Malformed(f"the body is not JSON: {constant} is not a JSON value")


def _json_type(document: Any) -> str:
    match document:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case _:
            return "an array"
