r"""
Turn a callback's body into text that PostgreSQL can store as `jsonb` and always query.

PostgreSQL refuses `\u0000`, lone surrogates and numbers of too many digits: in `jsonb` when a body
is written, in `json` when a query reads it. Such a part is replaced here, always in the same way: a
character by U+FFFD, a number by null. See docs/decisions/0022-queryable-bodies.md. In the
texts of other columns, which have no lone surrogates, `column_text` replaces NUL.
"""

import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from schemas.body import LenientObject

# Digits after the decimal point in a PostgreSQL number.
FRACTION_DIGITS_MAX = 16383
REPLACED_CHARACTER = "\\ufffd"
REPLACED_NUMBER = "null"
# Replaces a zero with an exponent, which has the same value: PostgreSQL refuses some of these.
ZERO = "0"

# Below this size no number has more than FRACTION_DIGITS_MAX digits.
_SHORT_BYTES = FRACTION_DIGITS_MAX
# Each pattern begins with one character, which makes the search fast: a search for any number, or
# by `in`, takes several times as long.
_NUL = re.compile(rb"\\u0000")
_SMALL = re.compile(rb"-(?<=[0-9][eE]-)[0-9]")
# A zero whose exponent PostgreSQL refuses, or so many zeros that a double may be zero without one.
_ZEROS = re.compile(rb"0(?:[eE]\+?[0-9]{5}|0{319})")

# The patterns below are for valid JSON only: there, a backslash is always inside a string.
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|(?P<refused>u(?:0000|[dD][89a-fA-F][0-9a-fA-F]{2}))|.)"
)
# Matches up to the next number with a large exponent or many digits, in one step of Python and
# without backtracking.
_NUMBER = re.compile(
    r'(?:[^"0-9-]++|"(?:[^"\\]++|\\.)*+"'
    r"|-?[0-9]{1,99}+(?:\.[0-9]{1,99}+)?+(?:[eE][+-]?[0-9]{1,2}+)?+(?![0-9.eE]))*+"
    r"(-?[0-9][0-9.eE+-]*+)"
)


class Queryable(NamedTuple):
    """A body for `jsonb`, and whether a part of it had to be replaced."""

    text: str
    altered: bool


def queryable(body: bytes, document: Mapping[str, Any]) -> Queryable:
    """
    Return `body`, which was parsed as `document`, in a form that PostgreSQL can always query.

    Most bodies need no replacement. orjson refuses lone surrogates and numbers too large for a
    double, so only a LenientObject can contain them.
    """
    lenient = isinstance(document, LenientObject)
    text = body.decode("utf-8-sig" if lenient else "utf-8")
    altered = False
    if lenient or _NUL.search(body):
        sent, text = text, _ESCAPE.sub(_character, text)
        altered = text != sent
    if lenient or len(body) > _SHORT_BYTES or _SMALL.search(body) or _ZEROS.search(body):
        text, number_altered = _with_numbers_replaced(text)
        altered = altered or number_altered
    return Queryable(text, altered)


def column_text(value: str) -> str | None:
    r"""Return `value` as PostgreSQL can hold it: NUL as six characters, `\u0000`; None for ""."""
    return value.replace("\0", "\\u0000") or None


def _character(escape: re.Match[str]) -> str:
    return escape[0] if escape["refused"] is None else REPLACED_CHARACTER


def _with_numbers_replaced(text: str) -> Queryable:
    pieces: list[str] = []
    copied = at = 0
    altered = False
    while number := _NUMBER.match(text, at):
        at = number.end()
        new = _number(number[1])
        if new != number[1]:
            pieces += (text[copied : number.start(1)], new)
            copied = at
            altered = altered or new != ZERO
    return Queryable("".join((*pieces, text[copied:])), altered)


def _number(token: str) -> str:
    digits, _, exponent = token.lower().partition("e")
    _, _, fraction = digits.partition(".")
    if not digits.strip("-0."):
        return ZERO if exponent or len(fraction) > FRACTION_DIGITS_MAX else token
    value = float(token)
    if value == 0 or math.isinf(value):
        return REPLACED_NUMBER
    # As a float: an exponent may have more leading zeros than int() reads.
    scale = len(fraction) - float(exponent or 0)
    return token if scale <= FRACTION_DIGITS_MAX else REPLACED_NUMBER
