"""The benchmark's tools: distinct requests, kinds of answers, and the peer that cargo builds."""

import asyncio
import contextlib
import itertools
import json
import re
import time
from pathlib import Path

import pytest

from bench.ingress import durable_streams, load
from bench.ingress.callbacks import Shape, requests
from bench.ingress.connection import outcome_of
from bench.ingress.load import Load
from bench.markdown import write
from ops.demo.embedded.child import ProgramMissing
from schemas.outgoing_record import ReceivedCallback, main_topic_record

GOOD = (
    b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n"
    b'{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}'
)
SOME = list(itertools.islice(requests(1), 2500))


def test_all_callbacks_differ() -> None:
    """They differ even if two generators have the same seed, so bodies identify records."""
    bodies = {request.partition(b"\r\n\r\n")[2] for request in SOME}
    again = {request.partition(b"\r\n\r\n")[2] for request in itertools.islice(requests(1), 2500)}
    assert len(bodies | again) == 5000


def test_callbacks_have_the_length_of_their_header_and_can_be_parsed() -> None:
    """Content-Length is computed before the numbers are filled in."""
    for request in SOME:
        head, _, body = request.partition(b"\r\n\r\n")
        assert b"Content-Length: %d" % len(body) in head
        document = json.loads(body)
        assert document["MsgKey"] == "{MsgSeq}_{MsgRandom}_{MsgTime}".format(**document)
        kept = main_topic_record(
            ReceivedCallback(
                sdkappid="1400000001",
                url_command="C2C.CallbackAfterSendMsg",
                client_ip="",
                opt_platform="",
                received_at_ms=0,
                body=body,
            )
        )
        assert kept.key is not None


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (GOOD, "OK"),
        (GOOD[:-1], ""),
        (GOOD[:30], ""),
        (GOOD.replace(b'"OK"', b'"NO"'), "not OK"),
        (GOOD.replace(b"{", b"["), "not OK"),
        (GOOD.replace(b"200 OK", b"503 No"), "HTTP 503"),
        (GOOD.replace(b"200 OK", b"204 No Content"), "HTTP 204"),
    ],
)
def test_only_the_protocols_complete_answer_is_an_ok(answer: bytes, outcome: str) -> None:
    """HTTP status 200 alone is not an OK, and neither is half of an answer."""
    assert outcome_of(answer) == outcome


def test_a_server_that_answers_204_has_that_for_its_ok() -> None:
    """Such an answer has no body and no length; half of it is no answer, and 200 is not its OK."""
    answer = b"HTTP/1.1 204 No Content\r\nstream-next-offset: 16\r\n\r\n"
    assert outcome_of(answer, 204) == "OK"
    assert outcome_of(answer[:-1], 204) == ""
    assert outcome_of(answer) == "HTTP 204"
    assert outcome_of(GOOD, 204) == "HTTP 200"
    assert outcome_of(GOOD[:-1], 204) == ""


def test_requests_have_the_method_and_target_that_a_server_needs() -> None:
    """Otherwise they are the vendor's."""
    shape = Shape(method="PUT", target="/t/1")
    assert next(requests(1, shape)).startswith(b"PUT /t/1 HTTP/1.1\r\n")
    assert SOME[0].startswith(b"POST /?SdkAppid=1400000001&CallbackCommand=C2C.")


def test_ids_differ_in_every_request() -> None:
    """A parser that remembers the lines of a head finds none of these again."""
    for name, form in (
        (b"X-Request-Id", rb"[0-9a-f]{32}"),
        (b"traceparent", rb"00-[0-9a-f]{32}-[0-9a-f]{16}-01"),
    ):
        some = itertools.islice(requests(1, Shape(ids=True)), 2000)
        matches = [re.search(rb"\r\n%b: (%b)\r\n" % (name, form), request) for request in some]
        assert len({match[1] for match in matches if match}) == 2000
        assert name not in SOME[0]


async def test_split_answers_refusals_and_missing_answers_are_counted_separately(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A request without an answer is given up after 2 s, and the connection is opened again."""
    monkeypatch.setattr(load, "ANSWER_S_MAX", 0.2)
    answers = itertools.cycle((GOOD, GOOD.replace(b"200 OK", b"503 No"), b""))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = re.search(rb"Content-Length: (\d+)", head)
                assert length is not None
                await reader.readexactly(int(length[1]))
                answer = next(answers)
                for part in (answer[:60], answer[60:]):
                    writer.write(part)
                    await writer.drain()
                    await asyncio.sleep(0.01)
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        for rate in (0.0, 50.0):
            # On a busy machine all answers of a run may be late.
            seen: set[str] = set()
            for _ in range(20):
                later = time.perf_counter() + 0.1
                load_of_rate = Load((port,), connections=2, rate=rate)
                report = await load_of_rate.run(0.5, asyncio.Event(), start_at=later)
                assert report.began_at >= later
                assert not report.ok or report.p50_ms >= 10
                seen |= {"OK"} if report.ok else set()
                seen |= {"no answer"} if report.unanswered else set()
                seen |= set(report.others)
                if len(seen) == 3:
                    break
            assert seen == {"OK", "HTTP 503", "no answer"}


@pytest.fixture
def cargo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the path of a cargo that does not exist yet, the only one that can be found."""
    for name in ("HOME", "PATH", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / name))
    (tmp_path / "PATH").mkdir()
    return tmp_path / "PATH" / "cargo"


def test_without_cargo_the_rust_peer_is_left_out_with_the_reason(cargo: Path) -> None:
    """There is no cargo, or it fails: the run goes on without that peer."""
    with pytest.raises(
        ProgramMissing, match=r"durable_streams is left out: cargo .* is not installed"
    ):
        durable_streams.build(print)
    cargo.write_text("#!/bin/sh\necho first >&2; echo 'error: no network' >&2; exit 1\n")
    cargo.chmod(0o755)
    with pytest.raises(ProgramMissing, match=r"left out: cargo cannot build it: error: no network"):
        durable_streams.build(print)


def test_the_rust_peer_is_built_once_in_its_pinned_version(cargo: Path) -> None:
    """Later runs find its program."""
    cargo.write_text(
        '#!/bin/sh\necho "$@" > "$0.args"; /bin/mkdir -p "$7/bin"\n: > "$7/bin/$2-server"\n'
    )
    cargo.chmod(0o755)
    said: list[str] = []
    for _ in range(2):
        durable_streams.build(said.append)
    assert len(said) == 1
    assert "durable-streams --version 0.1.5 --locked" in Path(f"{cargo}.args").read_text()


def test_new_results_replace_old_ones(tmp_path: Path) -> None:
    """The rest of the page stays unchanged, including another benchmark's results."""
    page = tmp_path / "README.md"
    page.write_text("a\n<!-- x -->\nold\n<!-- /x -->\nb\n<!-- y -->\nold\n<!-- /y -->\n")
    for text in ("first \\1", "second"):
        write(page, "x", text)
    assert page.read_text() == (
        "a\n<!-- x -->\n\nsecond\n<!-- /x -->\nb\n<!-- y -->\nold\n<!-- /y -->\n"
    )
