"""What counts as malformed, and how routing fields become text."""

import pytest
from support.builders import a_body

from schemas.body import SECOND_LOOK_DEPTH_MAX, Malformed, parse, text


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
def test_bodies_that_are_unusual_but_real_are_read(body: bytes) -> None:
    """A body that some real sender writes is not malformed."""
    assert parse(body)["CallbackCommand"] == "X"


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        (b"", "no JSON"),
        (b"{", "no JSON"),
        (b"[]", "an array"),
        (b"null", "null"),
        (b"true", "a boolean"),
        (b"1.5", "a number"),
        (b'"x"', "a string"),
        (b'{"a":NaN}', "NaN"),
        (b'{"a":-Infinity}', "-Infinity"),
        (b'{"a":"\xff"}', "not UTF-8 at byte 6"),
        (b"[" * 100_000, "too deeply"),
        (b'{"a":' + b"9" * 5000 + b"}x", "no JSON"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_a_malformed_body_is_named_with_its_fault(body: bytes, fault: str) -> None:
    """Whoever reads the dead letter learns what is wrong with it."""
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
def test_both_parsers_read_an_integer_alike(integer: str) -> None:
    """A byte order mark decides which of them reads it; above 64 bits it is a float."""
    plain, marked = (
        parse(mark + b'{"From_Account":' + integer.encode() + b"}")["From_Account"]
        for mark in (b"", b"\xef\xbb\xbf")
    )
    assert (plain, type(plain), text(plain)) == (marked, type(marked), text(marked))


@pytest.mark.parametrize("digits", [400, 4301, 200_000])
def test_an_integer_of_any_length_is_no_fault_of_a_body(digits: int) -> None:
    """The interpreter's own bound of 4300 digits is not JSON's."""
    assert parse(b'{"a":-' + b"9" * digits + b"}") == {"a": float("-inf")}


def test_routing_fields_are_text_whatever_their_type() -> None:
    """Accounts may come as numbers; what is neither text nor a number routes nothing."""
    assert (text("a"), text(7)) == ("a", "7")
    assert not any(map(text, ("", None, True, 1.5, [], {})))


def test_a_lone_surrogate_in_a_routing_field_is_spelled_out() -> None:
    """Keys and headers are always UTF-8."""
    assert text("a\ud800") == "a\\ud800"
    assert text("\N{GRINNING FACE}") == "\N{GRINNING FACE}"


def test_the_builders_body_is_one() -> None:
    """The body that tests use by default is well-formed."""
    assert parse(a_body())["From_Account"] == "jared"


def test_the_second_looks_bound_of_nesting_is_the_same_however_deep_the_caller_is() -> None:
    """The ingress must not take what a consumer then refuses."""

    def nested(depth: int) -> bytes:
        return b'\xef\xbb\xbf{"a":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"

    def deep(frames: int) -> None:
        if frames:
            deep(frames - 1)
            return
        parse(nested(SECOND_LOOK_DEPTH_MAX))
        with pytest.raises(Malformed, match="too deeply"):
            parse(nested(SECOND_LOOK_DEPTH_MAX + 1))

    deep(0)
    deep(200)
