"""Values in bodies that PostgreSQL cannot query are replaced; all others stay unchanged."""

import pytest

from consumers.sync.queryable import Queryable, queryable
from schemas.body import parse


def made(members: str, mark: str = "") -> Queryable:
    """Return the queryable form of an object of these members."""
    body = f"{mark}{{{members}}}".encode()
    form = queryable(body, parse(body))
    assert form == queryable(body, parse(body))
    assert (form.text[0], form.text[-1]) == ("{", "}")
    return form._replace(text=form.text[1:-1])


@pytest.mark.parametrize(
    ("sent", "wanted"),
    [
        (r'"a":"\u0000"', r'"a":"\ufffd"'),
        (r'"a":"abc\u0000\u0001"', r'"a":"abc\ufffd\u0001"'),
        (r'"a\u0000b":1', r'"a\ufffdb":1'),
        (r'"a":"\\\u0000"', r'"a":"\\\ufffd"'),
        (r'"a":"\ud83d"', r'"a":"\ufffd"'),
        (r'"a":"\uDe00\uD83d"', r'"a":"\ufffd\ufffd"'),
        (r'"a":"\ud83d\ud83d\ude00"', r'"a":"\ufffd\ud83d\ude00"'),
        (r'"a":"\ud83d\ude00\ude00"', r'"a":"\ud83d\ude00\ufffd"'),
        (r'"a":"\ud83d\\ude00"', r'"a":"\ufffd\\ude00"'),
        ('"a":1e400,"b":-1E+999', '"a":null,"b":null'),
        ('"a":1e-400', '"a":null'),
        ('"a":' + "9" * 400, '"a":null'),
        ('"a":' + "9" * 5000 + ',"b":-1' + "0" * 200_000, '"a":null,"b":null'),
        ('"a":0.' + "0" * 400 + "1", '"a":null'),
        ('"a":1.' + "3" * 16384, '"a":null'),
        ('"a":1' + "0" * 16384 + "e-16384", '"a":null'),
        (r'"a":1e999,"a":2,"b":"\udc00 1e999"', r'"a":null,"a":2,"b":"\ufffd 1e999"'),
    ],
)
def test_values_that_postgresql_cannot_hold_are_replaced(sent: str, wanted: str) -> None:
    """Characters become U+FFFD, numbers become null, and the row is marked as altered."""
    assert made(sent) == (wanted, True)


@pytest.mark.parametrize(
    "sent",
    [
        r'"a":"\\u0000 \\ud800"',
        r'"a":"\\\\u0000"',
        r'"a":"\ud83d\ude00 \uD83D\uDE00"',
        r'"a":"\uffff \ufffe \ufffd \u0001 \u007f"',
        '"a":"\ufffe \uffff \u2028 \x7f 1e400 0e99999999999 7e-400"',
        '"a":18446744073709551616,"b":-123456789012345678901234567890',
        '"a":1.7976931348623157e308,"b":5e-324,"c":-0,"d":-0.0,"e":1E5',
        '"a":0.' + "1" * 16383,
        '"a":1e' + "0" * 5000 + "5",
        '"a":0.' + "0" * 20000 + "1e20000",
        '"a":1,"a":2',
        '"a":"7d1e-4bce-9a1e-7d3f"',
    ],
)
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_values_that_postgresql_can_hold_stay_unchanged(sent: str, mark: str) -> None:
    """Examples are escaped escapes, surrogate pairs and long numbers. A byte order mark goes."""
    assert made(sent, mark) == (sent, False)


@pytest.mark.parametrize(
    "zero", ["0e99999999999", "-0E+99999", "0.00e-16384", "0." + "0" * 20000, "0e-9999"]
)
def test_a_zero_with_an_exponent_becomes_a_plain_zero(zero: str) -> None:
    """The value is the same, so the row does not count as altered."""
    assert made(f'"a":{zero},"b":"{zero}"') == (f'"a":0,"b":"{zero}"', False)
