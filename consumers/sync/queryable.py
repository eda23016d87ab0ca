r"""
A callback's body as text that PostgreSQL can hold as `jsonb`, and can always query.

PostgreSQL refuses `\u0000`, lone surrogates and numbers of too many digits, in `jsonb` when a body
is written, in `json` when a query reads it. What it cannot hold is replaced here, always in the
same way: a character by U+FFFD, a number by null. docs/decisions/0023-queryable-bodies.md.
"""

import math
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from schemas.body import SecondLook

# Digits after the decimal point in a PostgreSQL number.
FRACTION_DIGITS_MAX = 16383
REPLACED_CHARACTER = "\\ufffd"
REPLACED_NUMBER = "null"
# In place of a zero with an exponent, which has the same value: PostgreSQL refuses some of these.
ZERO = "0"

# Below this size no number has more than FRACTION_DIGITS_MAX digits.
_SHORT_BYTES = FRACTION_DIGITS_MAX
# So many zeros follow the point of a number without an exponent that a double rounds to zero.
_ZEROS = b"0" * 320
# Numbers that may be too small for a double, or a zero whose exponent PostgreSQL refuses.
_EXPONENT = re.compile(rb"[0-9][eE]-[0-9]|0[eE]\+?[0-9]{5}")

# The next string with an escape, or number with an exponent or many digits. All else is passed over
# without a step in Python. The pattern is for valid JSON alone, and never backtracks.
_TOKEN = re.compile(
    r'(?:[^"0-9-]++|"[^"\\]*+"|-?[0-9]{1,99}+(?:\.[0-9]{1,99}+)?+(?![0-9.eE]))*+'
    r'("(?:[^"\\]++|\\.)*+"|-?[0-9][0-9.eE+-]*+)'
)
_ESCAPE = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    r"|(?P<refused>u(?:0000|[dD][89a-fA-F][0-9a-fA-F]{2}))|.)"
)


class Queryable(NamedTuple):
    """A body for `jsonb`, and whether a part of it had to be replaced."""

    text: str
    altered: bool


def queryable(body: bytes, document: Mapping[str, Any]) -> Queryable:
    """Return `body`, which was parsed as `document`, in a form that PostgreSQL can always query."""
    if isinstance(document, SecondLook):
        return _replaced(body.decode("utf-8-sig"))
    if _suspicious(body):
        return _replaced(body.decode())
    return Queryable(body.decode(), altered=False)


def _suspicious(body: bytes) -> bool:
    """
    Tell whether a body that orjson reads may hold what PostgreSQL refuses.

    orjson refuses lone surrogates and numbers too large for a double. Searching each body for
    numbers by a regular expression would take longer than all the rest.
    """
    return (
        b"\\u0000" in body
        or len(body) > _SHORT_BYTES
        or _ZEROS in body
        or (
            (b"e-" in body or b"E-" in body or b"0e" in body or b"0E" in body)
            and _EXPONENT.search(body) is not None
        )
    )


def _replaced(text: str) -> Queryable:
    pieces: list[str] = []
    copied = at = 0
    altered = False
    while found := _TOKEN.match(text, at):
        at = found.end()
        token = found[1]
        new = _string(token) if token[0] == '"' else _number(token)
        if new != token:
            pieces += (text[copied : found.start(1)], new)
            copied = at
            altered = altered or new != ZERO
    if not pieces:
        return Queryable(text, altered=False)
    return Queryable("".join((*pieces, text[copied:])), altered)


def _string(token: str) -> str:
    return _ESCAPE.sub(
        lambda escape: escape[0] if escape["refused"] is None else REPLACED_CHARACTER, token
    )


def _number(token: str) -> str:
    digits, _, exponent = token.lower().partition("e")
    _, _, fraction = digits.partition(".")
    value = float(token)
    if not digits.strip("-0."):
        return ZERO if exponent or len(fraction) > FRACTION_DIGITS_MAX else token
    if value == 0 or math.isinf(value):
        return REPLACED_NUMBER
    # As a float: an exponent may have more leading zeros than int() reads.
    scale = len(fraction) - float(exponent or 0)
    return token if scale <= FRACTION_DIGITS_MAX else REPLACED_NUMBER
