"""Thousands of hostile requests: no crash, no unknown answer, no OK without a stored row."""

import asyncio
import contextlib
import gzip
import logging
import re
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.builders import APP, PublicPort, a_body, public_port

from ingress.http.answers import ANSWERS
from schemas.topics import CALLBACKS

BATCH = 50
BODY_BYTES_MAX = 4096

good_body = st.integers(0, 1 << 62).map(lambda number: a_body(MsgKey=f"hostile-{number}"))
bad_bodies = st.one_of(
    st.binary(max_size=200),
    st.text(max_size=50).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.sampled_from(
        [
            b"",
            b"[" * 4000,
            b'{"a":' * 600 + b"1" + b"}" * 600,
            b'{"CallbackCommand":"\\ud800","From_Account":"\\u0000"}',
            b'\xef\xbb\xbf{"CallbackCommand":"X"}',
            b'{"CallbackCommand":' + b"9" * 5000 + b"}",
            b'{"CallbackCommand":"X","MsgSeq":NaN}',
            b'{"CallbackCommand":{"a":1},"From_Account":[],"Info":"x"}',
            b"x" * (BODY_BYTES_MAX + 1),
        ]
    ),
)


@st.composite
def cut(draw: st.DrawFn, of: st.SearchStrategy[bytes]) -> bytes:
    """Draw bytes and cut, change or repeat a piece of them."""
    data = draw(of)
    at = draw(st.integers(0, len(data)))
    return data[:at] + draw(st.binary(max_size=8)) + data[at + draw(st.integers(0, 8)) :]


bodies = st.one_of(good_body, good_body, bad_bodies, cut(good_body))
targets = st.one_of(
    st.just(f"/callback?SdkAppid={APP}"),
    st.just(f"/callback?SdkAppid={APP}&ClientIP=%3A%3A1"),
    st.just(f"/callback/SdkAppid={APP}&CallbackCommand=C2C.CallbackAfterSendMsg"),
    st.text(st.characters(min_codepoint=33, max_codepoint=255), max_size=60).map(
        lambda text: f"/callback?SdkAppid={APP}&{text}"
    ),
    st.sampled_from(
        [
            "*",
            "/",
            "//callback",
            "/%",
            "/callback?SdkAppid=%31400000001%",
            f"http://x/callback?SdkAppid={APP}",
            f"http://[::1/callback?SdkAppid={APP}",
            f"/callback?SdkAppid={APP}&ClientIP={'9' * 7000}",
            f"/callback?SdkAppid={APP}&CallbackCommand={'C' * 7000}",
            f"/callback?SdkAppid={APP}&ClientIP=%ED%A0%80&OptPlatform=%00%0d%0a",
            f"/callback?SdkAppid={APP}" + "&a=" * 2000,
        ]
    ),
)
methods = st.sampled_from(["POST"] * 30 + ["GET", "PUT", "CONNECT", "OPTIONS", "post", "P\x00ST"])
extra_headers = st.lists(
    st.sampled_from(
        [
            "Connection: close",
            "Connection: keep-alive, Upgrade\r\nUpgrade: websocket",
            "Expect: 100-continue",
            "Content-Encoding: gzip",
            "Content-Encoding: deflate",
            "Content-Encoding: br",
            "Content-Encoding: zstd",
            "Content-Encoding: nonsense",
            "Transfer-Encoding: chunked",
            "Transfer-Encoding: gzip, chunked",
            "Content-Length: 5",
            "Content-Length: -1",
            "Content-Type: \x01",
            "X: " + "x" * 9000,
            "\r\n",
            "Host: other",
            ": empty",
        ]
    ),
    max_size=3,
)


seldom = st.sampled_from([True, False, False, False])


@st.composite
def requests(draw: st.DrawFn) -> tuple[bytes, int]:
    """Draw what goes over one connection, one to three requests, whole or not, and their number."""
    stream, count = b"", draw(st.sampled_from([1, 1, 1, 2, 3]))
    for _ in range(count):
        body = draw(bodies)
        squeeze = draw(st.sampled_from([None, None, None, gzip.compress, zlib.compress]))
        if squeeze:
            body = squeeze(body * draw(st.sampled_from([1, 1, 5000])))
        version = draw(st.sampled_from(["1.1"] * 20 + ["1.0", "0.9", "2.0", "x"]))
        lines = [
            f"{draw(methods)} {draw(targets)} HTTP/{version}",
            "Host: hookline",
            f"Content-Length: {draw(st.sampled_from([len(body)] * 20 + [0, len(body) + 1]))}",
            *(["Content-Encoding: gzip"] if squeeze is gzip.compress else []),
            *(draw(extra_headers) if draw(seldom) else []),
        ]
        stream += "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + body
    return (stream[: draw(st.integers(0, len(stream)))] if draw(seldom) else stream), count


async def exchange(port: PublicPort, stream: bytes, pieces: int) -> bytes:
    """Send the bytes in some pieces and return all that comes until the server closes."""
    reader, writer = await asyncio.open_connection(port.host, port.port)
    step = max(1, -(-len(stream) // pieces))
    received = b""
    with contextlib.suppress(ConnectionError):
        for at in range(0, len(stream), step):
            writer.write(stream[at : at + step])
            await asyncio.sleep(0)
        async with asyncio.timeout(180):
            while piece := await reader.read(1 << 16):
                received += piece
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return received


class Observed:
    """The answers so far."""

    def __init__(self) -> None:
        self.answers: Counter[int] = Counter()
        self.requests = 0

    def note(self, received: bytes) -> None:
        """Count the answers; each status must be in the table of answers."""
        known = {answer.status for answer in ANSWERS} | {100}
        for status in re.findall(rb"HTTP/1\.[01] (\d{3}) ", received):
            assert int(status) in known, received
            self.answers[int(status)] += 1


@pytest.mark.timeout(600)
def test_hostile_requests_harm_nobody(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    scaled: Callable[..., int],
    say: Callable[[str], None],
) -> None:
    """Every OK has a row, and nothing else has, but a malformed body that was answered 400."""
    observed = Observed()
    with asyncio.Runner() as runner:
        loop_faults: list[object] = []
        runner.get_loop().set_exception_handler(lambda _, context: loop_faults.append(context))
        opening = public_port(
            tmp_path,
            body_bytes_max=BODY_BYTES_MAX,
            spool_bytes_max=256 << 20,
            keepalive_s=0.15,
            body_s=0.1,
        )
        port = runner.run(opening.__aenter__())

        async def batch(streams: list[tuple[tuple[bytes, int], int]]) -> None:
            before, oks = port.spool.last_sequence, observed.answers[200]
            for received in await asyncio.gather(
                *(exchange(port, stream, pieces) for (stream, _), pieces in streams)
            ):
                observed.note(received)
            rows = port.spool.rows_after(before, rows_max=10_000, bytes_max=1 << 30)
            kept = [row for row in rows if row.record.topic == CALLBACKS.name]
            assert observed.answers[200] - oks <= len(kept)
            assert not loop_faults
            observed.requests += sum(count for (_, count), _ in streams)

        @settings(max_examples=scaled(16, at_most=120))
        @given(
            streams=st.lists(
                st.tuples(requests(), st.integers(1, 4)), min_size=BATCH, max_size=BATCH
            )
        )
        def hostile(streams: list[tuple[tuple[bytes, int], int]]) -> None:
            runner.run(batch(streams))

        hostile()
        runner.run(opening.__aexit__(None, None, None))
    assert not [entry for entry in caplog.records if entry.levelno >= logging.ERROR]
    say(f"{observed.requests} hostile requests: {dict(sorted(observed.answers.items()))}")
    assert {200, 400, 403, 404, 405, 408, 413} <= set(observed.answers)
