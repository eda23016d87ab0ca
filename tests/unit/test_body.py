"""Malformed bodies, and routing fields as text."""

import pytest
from support.builders import a_body

from schemas.body import DEPTH_MAX, Malformed, parse, to_text


@pytest.mark.parametrize(
    "body",
    [
        b'\xef\xbb\xbf{"CallbackCommand":"X"}',
        b'{"CallbackCommand":"X","Text":"\\ud800"}',
        b' {"CallbackCommand":"X"}\r\n',
        b'{"CallbackCommand":"X","Text":"\\u0000"}',
    ],
    ids=["byte order mark", "lone surrogate", "white space", "NUL"],
)
def test_unusual_but_real_bodies_are_parsed(body: bytes) -> None:
    """A body that a real sender sends is not malformed."""
    assert parse(body)["CallbackCommand"] == "X"


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"", "is not JSON"),
        (b"{", "is not JSON"),
        (b"[]", "an array"),
        (b"null", "null"),
        (b"true", "a boolean"),
        (b"1.5", "a number"),
        (b'"x"', "a string"),
        (b'{"a":NaN}', "NaN"),
        (b'{"a":-Infinity}', "-Infinity"),
        (b'{"a":"\xff"}', "not UTF-8 at byte 6"),
        (b"[" * 100_000, "too deeply"),
        (b'{"a":' + b"9" * 5000 + b"}x", "is not JSON"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_the_error_of_a_malformed_body_says_what_is_wrong(body: bytes, fault: str) -> None:
    """The dead letter contains this text."""
    with pytest.raises(Malformed, match=fault):
        parse(body)


@pytest.mark.parametrize(
    "integer",
    [
        *("0", "-0", "9223372036854775807", "-9223372036854775808", "18446744073709551615"),
        *("-9223372036854775809", "18446744073709551616", "1" + "0" * 29, "-" + "9" * 300),
    ],
    ids=lambda value: value[:20],
)
def test_both_parsers_return_the_same_number(integer: str) -> None:
    """A byte order mark decides which parser is used; above 64 bits the number is a float."""
    plain, marked = (
        parse(mark + b'{"From_Account":' + integer.encode() + b"}")["From_Account"]
        for mark in (b"", b"\xef\xbb\xbf")
    )
    assert (plain, type(plain), to_text(plain)) == (marked, type(marked), to_text(marked))


@pytest.mark.parametrize("digits", [400, 4301, 200_000])
def test_a_body_may_have_an_integer_of_any_length(digits: int) -> None:
    """JSON does not have Python's limit of 4300 digits."""
    assert parse(b'{"a":-' + b"9" * digits + b"}") == {"a": float("-inf")}


def test_routing_fields_become_text() -> None:
    """Accounts may be numbers; any other type counts as absent."""
    assert (to_text("a"), to_text(7)) == ("a", "7")
    assert not any(map(to_text, ("", None, True, 1.5, [], {})))


def test_a_lone_surrogate_in_a_routing_field_is_escaped() -> None:
    """Keys and headers are always UTF-8."""
    assert to_text("a\ud800") == "a\\ud800"
    assert to_text("\N{GRINNING FACE}") == "\N{GRINNING FACE}"


def test_the_default_body_of_tests_is_well_formed() -> None:
    """Otherwise tests would prove less than they say."""
    assert parse(a_body())["From_Account"] == "jared"


def test_the_bound_of_nesting_does_not_depend_on_the_depth_of_the_stack() -> None:
    """The ingress must not accept a body that a consumer then refuses."""

    def nested(depth: int) -> bytes:
        return b'\xef\xbb\xbf{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"

    def deep(frames: int) -> None:
        if frames:
            deep(frames - 1)
            return
        parse(nested(DEPTH_MAX))
        with pytest.raises(Malformed, match="too deeply"):
            parse(nested(DEPTH_MAX + 1))

    deep(0)
    deep(200)
