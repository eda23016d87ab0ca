"""Content codings of bodies: what is decoded, within which bound, and how the rest is refused."""

import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingress.http.content_coding import (
    CODINGS_MAX,
    TooLong,
    Undecodable,
    UnknownCoding,
    decode,
    parse_codings,
)

BYTES_MAX = 5000
Encode = Callable[[bytes], bytes]


def raw_deflate(body: bytes) -> bytes:
    """Compress as clients do that take `deflate` for the format without zlib's header."""
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(body) + compressor.flush()


ENCODERS: list[tuple[str, Encode]] = [
    ("gzip", gzip.compress),
    ("x-gzip", gzip.compress),
    ("GZip", gzip.compress),
    ("deflate", zlib.compress),
    ("deflate", raw_deflate),
    ("identity", bytes),
    ("Identity ", bytes),
]


@given(
    body=st.binary(max_size=300),
    applied=st.lists(st.sampled_from(ENCODERS), max_size=CODINGS_MAX),
    cut=st.integers(0, CODINGS_MAX),
)
def test_any_codings_are_removed_in_the_opposite_order(
    body: bytes, applied: list[tuple[str, Encode]], cut: int
) -> None:
    """Whether the names come in one header or in two."""
    encoded = body
    for _, encode in applied:
        encoded = encode(encoded)
    names = [name for name, _ in applied]
    headers = [", ".join(part) for part in (names[:cut], names[cut:]) if part]
    assert decode(encoded, parse_codings(headers), bytes_max=BYTES_MAX) == body


@given(
    body=st.binary(max_size=200) | st.binary(max_size=100).map(gzip.compress),
    codings=st.lists(st.sampled_from(["gzip", "deflate"]), max_size=CODINGS_MAX),
)
def test_any_bytes_are_decoded_or_refused(body: bytes, codings: list[str]) -> None:
    """A sender of other bytes raises no other exception."""
    try:
        decoded = decode(body, codings, bytes_max=BYTES_MAX)
    except (Undecodable, TooLong):
        return
    assert len(decoded) <= BYTES_MAX


@pytest.mark.parametrize("encode", [gzip.compress, zlib.compress, raw_deflate])
def test_the_bound_is_exact_for_each_coding(encode: Encode) -> None:
    """A few bytes that stand for a megabyte are refused, also inside another coding."""
    name = "gzip" if encode is gzip.compress else "deflate"
    at_bound = b"x" * BYTES_MAX
    assert decode(encode(at_bound), [name], bytes_max=BYTES_MAX) == at_bound
    for length in (BYTES_MAX + 1, 1 << 20):
        bomb = encode(b"x" * length)
        for body, codings in ((bomb, [name]), (gzip.compress(bomb), ["gzip", name])):
            with pytest.raises(TooLong):
                decode(body, codings, bytes_max=BYTES_MAX)


@pytest.mark.parametrize("encode", [gzip.compress, zlib.compress])
def test_a_bomb_is_not_expanded_before_it_is_refused(encode: Encode) -> None:
    """Of 32 MiB in 32 KiB, no more than the bound comes into memory."""
    bomb = encode(bytes(32 << 20))
    tracemalloc.start()
    with pytest.raises(TooLong):
        decode(bomb, ["gzip" if encode is gzip.compress else "deflate"], bytes_max=BYTES_MAX)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


@given(headers=st.lists(st.text("gzipdeflatx-,; \t", max_size=20) | st.text(max_size=20)))
def test_any_headers_name_known_codings_or_are_refused(headers: list[str]) -> None:
    """Nothing else is ever decoded."""
    try:
        codings = parse_codings(headers)
    except UnknownCoding:
        return
    assert set(codings) <= {"gzip", "deflate"}
    assert len(codings) <= CODINGS_MAX


@given(body=st.binary(min_size=1, max_size=100), encoder=st.sampled_from(ENCODERS[:5]))
def test_a_body_that_ends_early_or_late_is_refused(
    body: bytes, encoder: tuple[str, Encode]
) -> None:
    """A callback is stored only as a whole."""
    name, encode = encoder
    encoded = encode(body)
    for wrong in (encoded[:-1], encoded + b"{}"):
        with pytest.raises(Undecodable):
            decode(wrong, parse_codings([name]), bytes_max=BYTES_MAX)


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        (["br"], "'br'; send one of gzip, deflate, identity"),
        (["gzip, zstd"], "'zstd'"),
        (["gzip;q=1"], "'gzip;q=1'"),
        (["gzip", "x" * 100], "xxx"),
        (["gzip, " * 5], "5 codings; send at most 4"),
    ],
)
def test_other_codings_are_named(headers: list[str], words: str) -> None:
    """The text says what to send."""
    with pytest.raises(UnknownCoding) as refused:
        parse_codings(headers)
    assert words in str(refused.value)
    assert len(str(refused.value)) < 100


def test_empty_names_do_not_count() -> None:
    """RFC 9110 §5.6.1 has receivers ignore empty elements of lists."""
    assert parse_codings([]) == parse_codings(["", ", ,identity"]) == ()
    assert decode(b"", ["gzip"], bytes_max=1) == b""
