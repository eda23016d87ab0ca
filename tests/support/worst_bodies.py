"""Generate bodies that are valid JSON but hard to read, and the values that readers should see."""

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

COMMANDS = ("C2C.CallbackAfterSendMsg", "Group.CallbackAfterSendMsg", "C2C.CallbackAfterMsgReport")
REPLACEMENT = "\ufffd"
FRACTION_DIGITS_MAX = 16383

# Pieces of strings as JSON text. Some join to surrogate pairs, or to escaped escapes.
PIECES = (
    *(r"\u0000", r"\ud800", r"\uD83D", r"\ude00", r"\uDFFF", r"\ud83d\ude00", r"\u0001"),
    *(r"\\", r"\\u0000", r"\"", r"\/", r"\n", r"\uffff", r"\ufffd", r"\u0022", r"\u005c"),
    *("u0000", "ud800", "a", "e-5", "-", "0e-9", "1e400", ":", ",", "{", "]", " "),
    *("é", "😀", "\ufffe", "\uffff", "\ufeff", "\u2028", "\x7f", "紅包"),
)
digits = st.text("0123456789", max_size=5) | st.integers(300, 420).map(lambda n: "9" * n)
zeros = st.integers(0, 340).map(lambda n: "0" * n)
signs = st.sampled_from(("", "-"))


def number(sign: str, whole: str, fraction: str, exponent: str) -> str:
    """Return a JSON number of these parts."""
    return sign + (whole.lstrip("0") or "0") + (f".{fraction}" if fraction else "") + exponent


exponents = st.builds(
    lambda e, sign, size: f"{e}{sign}{size}",
    st.sampled_from("eE"),
    st.sampled_from(("", "+", "-")),
    st.integers(0, 420) | st.integers(0, 140_000) | st.just("0" * 5000 + "7") | st.just(10**12),
)
numbers = st.one_of(
    st.builds(number, signs, digits, st.just(""), st.just("") | exponents),
    st.builds(number, signs, digits, digits, st.just("") | exponents),
    st.builds(number, signs, st.just("0"), st.builds(str.__add__, zeros, digits), exponents),
    st.builds(number, signs, st.just("0"), st.builds(str.__add__, zeros, digits), st.just("")),
    st.sampled_from(
        (
            *("-0", "-0.0", "0e0", "-0E-16384", "0e99999999999", "0E+99999", "0.000e-16381"),
            *("1e308", "1.8e308", "-1e309", "4.9e-324", "1e-400", "1e131071", "1E-16384"),
            *(str(2**53 + 1), str(2**63), str(-(2**63) - 1), str(2**64), "1" + "0" * 308),
            *(
                "1" + "0" * 400,
                "9" * 5000,
                "-1" + "0" * 200_000,
                "0." + "0" * 322 + "9",
                "0." + "0" * 400 + "9",
            ),
            *("1." + "0" * 16383, "1." + "3" * 16384, "1" + "0" * 16384 + "e-16384"),
            *("0." + "0" * 20000 + "1e20000", "7." + "0" * 20000),
        )
    ),
)
texts = st.lists(st.sampled_from(PIECES), max_size=6).map(lambda parts: f'"{"".join(parts)}"')
keys = texts | st.sampled_from(
    ('"From_Account"', '"CloudCustomData"', '"MsgSeq"', r'"k\u0000"', r'"k\ud800"', '"k\ufffd"')
)
blanks = st.sampled_from(("", " ", "\n", "\t", "\r\n"))


def _object(pairs: Sequence[tuple[str, str]], blank: str) -> str:
    return "{" + blank + ",".join(f"{key}{blank}:{value}" for key, value in pairs) + "}"


def _deep(depth: int, inner: str) -> str:
    return "[" * depth + inner + "]" * depth


values = st.recursive(
    texts | numbers | st.sampled_from(("true", "false", "null", "{}", "[]")),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4).map(lambda each: f"[{','.join(each)}]"),
        st.builds(_object, st.lists(st.tuples(keys, inner), max_size=5), blanks),
        st.builds(_deep, st.sampled_from((10, 400)), inner),
    ),
    max_leaves=12,
)


def body(command: str, pairs: list[tuple[str, str]], blank: str, mark: str) -> bytes:
    """Return a body with these keys and values, also where readers look for elements."""
    return (mark + _object([('"CallbackCommand"', f'"{command}"'), *pairs], blank)).encode()


known = st.sampled_from(("MsgBody", "MsgKey", "CloudCustomData", "From_Account", "MsgTime", "Info"))
bodies = st.builds(
    body,
    st.sampled_from(COMMANDS),
    st.lists(st.tuples(keys | known.map(lambda name: f'"{name}"'), values), max_size=8),
    blanks,
    st.sampled_from(("", "", "", "\ufeff")),
)


def wanted(body: bytes) -> Any:
    """
    Return the values that a reader of the queryable form should see.

    They are computed from the parsed body, while the product replaces parts of the text.
    """
    return json.loads(
        body.decode("utf-8-sig"),
        object_pairs_hook=lambda pairs: {_text(key): _value(value) for key, value in pairs},
        parse_float=_number,
        parse_int=_number,
    )


def exact(body: bytes | str) -> Any:
    """Return a parsed body whose numbers keep all their digits."""
    text = body if isinstance(body, str) else body.decode("utf-8-sig")
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


def _value(value: Any) -> Any:
    """Return a value of a parsed object with its strings replaced; arrays may be 1,000 deep."""
    if isinstance(value, str):
        return _text(value)
    arrays = [value] if isinstance(value, list) else []
    while arrays:
        array = arrays.pop()
        arrays += [item for item in array if isinstance(item, list)]
        array[:] = [_text(item) if isinstance(item, str) else item for item in array]
    return value


def _text(text: str) -> str:
    return "".join(
        REPLACEMENT if each == "\0" or "\ud800" <= each <= "\udfff" else each for each in text
    )


def _number(token: str) -> Decimal | None:
    number = Decimal(token)
    if not number:
        return Decimal(0)
    if float(token) in (0, float("inf"), float("-inf")):
        return None
    exponent = number.as_tuple().exponent
    return number if isinstance(exponent, int) and exponent >= -FRACTION_DIGITS_MAX else None
