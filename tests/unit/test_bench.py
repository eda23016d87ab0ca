"""The benchmark's tools: distinct callbacks, kinds of answers, and goals."""

import asyncio
import contextlib
import itertools
import json
import re
from pathlib import Path

import pytest

from bench.ingress import load
from bench.ingress.callbacks import requests
from bench.ingress.connection import outcome_of
from bench.ingress.goals import Results, goals
from bench.ingress.load import Load, Report
from bench.ingress.measure import Cost, Figures
from bench.markdown import write
from schemas.record import ReceivedCallback, callback_record

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
        kept = callback_record(
            ReceivedCallback(
                sdkappid="1400000001",
                command="C2C.CallbackAfterSendMsg",
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
    ],
)
def test_only_the_protocols_complete_answer_is_an_ok(answer: bytes, outcome: str) -> None:
    """HTTP status 200 alone is not an OK, and neither is half of an answer."""
    assert outcome_of(answer) == outcome


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
        sending = [Load((port,), connections=2, rate=rate) for rate in (0.0, 50.0)]
        for report in await asyncio.gather(*(one.run(0.7, asyncio.Event()) for one in sending)):
            assert report.ok > 0
            assert report.others["HTTP 503"] > 0
            assert report.unanswered > 0
            assert set(report.others) == {"HTTP 503"}
            assert report.p50_ms >= 10


def figures(server: str, *, ok_per_s: float, cpu_us: float, different: int = 100) -> Figures:
    """Return a run at 64 connections with 100 OKs."""
    return Figures(
        server=server,
        connections=64,
        report=Report(
            ok=100,
            others={},
            unanswered=0,
            seconds=100 / ok_per_s,
            p50_ms=1,
            p99_ms=2,
            max_ms=3,
            cpu_s=0.01,
        ),
        cost=Cost(server_us=cpu_us, load_us=1, kafka_us=1, others=0),
        rss_mib=50,
        records=different,
        different=different,
    )


def test_goals_compare_medians_of_this_run() -> None:
    """One bad round does not decide; a goal that was not measured is neither met nor missed."""
    results = Results(
        closed=[
            figures("bare_aiohttp", ok_per_s=1000, cpu_us=100),
            *(
                figures("hookline", ok_per_s=rate, cpu_us=cpu)
                for rate, cpu in ((1, 900), (800, 130), (900, 120))
            ),
            figures("aiohttp_awaiting", ok_per_s=700, cpu_us=100),
        ]
    )
    met = {goal.what: goal.met for goal in goals(results)}
    assert met.pop("CPU a callback, forwarding to Kafka included / bare aiohttp's") is True
    assert met.pop("OK/s of hookline / bare_aiohttp") is True
    assert met.pop("OK/s of hookline / aiohttp_awaiting") is False
    assert set(met.values()) == {None}


def test_an_ok_of_ours_that_is_not_in_kafka_is_missing() -> None:
    """A missing OK of a peer is shown and fails nothing: fire and forget may lose some."""
    lost = {"ok_per_s": 1000.0, "cpu_us": 100.0, "different": 99}
    assert Results(closed=[figures("hookline", **lost)]).missing == 1  # type: ignore[arg-type]
    assert Results(closed=[figures("fastapi_awaiting", **lost)]).missing == 0  # type: ignore[arg-type]


def test_new_results_replace_old_ones(tmp_path: Path) -> None:
    """The rest of the page stays unchanged, including another benchmark's results."""
    page = tmp_path / "README.md"
    page.write_text("a\n<!-- x -->\nold\n<!-- /x -->\nb\n<!-- y -->\nold\n<!-- /y -->\n")
    for text in ("first \\1", "second"):
        write(page, "x", text)
    assert page.read_text() == (
        "a\n<!-- x -->\n\nsecond\n<!-- /x -->\nb\n<!-- y -->\nold\n<!-- /y -->\n"
    )
