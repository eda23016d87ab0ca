"""`hookline simulate` against a real HTTP server: replay, signing, latency, and its errors."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from support.builders import APP, P0, SAMPLES, a_body, a_stored_record, headers_of

from consumers.archive.lines import to_lines
from ingress.authenticator import Authenticator
from ops.simulate import ledger, recording
from ops.simulate.command import simulate as simulate_command
from ops.simulate.output import rate, traffic_table
from ops.simulate.recording import Order, Recording, UnusableRecording, read_recording
from ops.simulate.result import OTHER_REASONS, REASONS_MAX, TrafficResult
from ops.simulate.sender import TrafficPlan, simulate
from ops.simulate.signer import NoTokens, Signer, signer_of_file
from ops.terminal import _out
from schemas.outgoing_record import ReceivedCallback, main_topic_record

OK = {"ActionStatus": "OK", "ErrorInfo": "", "ErrorCode": 0}


class Receiver:
    """An HTTP server that keeps the requests; `delays_s` are those of the first answers."""

    def __init__(self) -> None:
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.delays_s: list[float] = []
        self.url = ""

    async def receive(self, request: web.BaseRequest) -> web.Response:
        """Answer OK."""
        self.requests.append((dict(request.query), await request.read()))
        if self.delays_s:
            await asyncio.sleep(self.delays_s.pop(0))
        return web.json_response(OK)


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """Yield a receiver that listens."""
    receiver = Receiver()
    runner = web.ServerRunner(web.Server(receiver.receive))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    receiver.url = f"http://{host}:{port}/"
    try:
        yield receiver
    finally:
        await runner.cleanup()


def lines_of(*bodies: bytes, **fields: Any) -> bytes:
    """Return the lines that the archive has of callbacks, one second after the other."""
    records = [
        a_stored_record(
            offset, body, **{"received_at_ms": 1_700_000_000_000 + 1000 * offset, **fields}
        )
        for offset, body in enumerate(bodies)
    ]
    return to_lines(P0, records).text


def recorded(
    path: Path,
    content: bytes,
    app: str = "",
    *,
    as_app: bool = False,
    order: Order = "file",
    needs_times: bool = False,
    seed: int = 1,
) -> Recording:
    """Return the recording of a file with this content."""
    path.write_bytes(content)
    return read_recording(path, app, as_app=as_app, order=order, needs_times=needs_times, seed=seed)


def run(*arguments: object) -> Result:
    """Return the result of `hookline simulate`."""
    return CliRunner().invoke(simulate_command, [*map(str, arguments)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that all examples of a property use."""
    return tmp_path_factory.mktemp("recordings")


BODIES = st.builds(
    lambda text, seq, blank: (
        json.dumps(
            {"CallbackCommand": "C2C.CallbackAfterSendMsg", "EventTime": 1_700_000_000_000 + seq}
            | {"Text": text},
            ensure_ascii=blank != "\n",
            indent=1 if blank == "\n" else None,
        ).encode("utf-8", "surrogatepass" if blank == "\n" else "strict")
        + blank.encode()
    ),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    st.integers(0, 10**6),
    st.sampled_from(["", " ", "\n"]),
)


@given(bodies=st.lists(BODIES, min_size=1, max_size=5), ip=st.ip_addresses().map(str))
def test_records_of_the_archive_are_sent_again_byte_for_byte(
    folder: Path, bodies: list[bytes], ip: str
) -> None:
    """With the parameters of their URL, and the `ce_id` that they have."""
    lines = lines_of(*bodies, client_ip=ip, opt_platform="New & old")
    requests = list(recorded(folder / "a", lines).requests())
    assert [callback.body for callback in requests] == bodies
    for callback, line in zip(requests, lines.splitlines(), strict=True):
        assert callback.id == json.loads(line)["headers"]["ce_id"]
        assert f"SdkAppid={APP}&" in callback.query
        assert callback.query.endswith("OptPlatform=New+%26+old")
    (renamed, *_) = recorded(folder / "a", lines, "77", as_app=True).requests()
    assert (renamed.sdkappid, renamed.id) != (requests[0].sdkappid, requests[0].id)
    assert "SdkAppid=77&" in renamed.query


@given(bodies=st.lists(st.sampled_from(SAMPLES), min_size=1, max_size=4))
def test_bodies_are_sent_again_byte_for_byte(folder: Path, bodies: list[Path]) -> None:
    """Each with the command that it names, for the app that is given; empty lines do not count."""
    contents = [json.dumps(json.loads(path.read_bytes())).encode() for path in bodies]
    requests = list(recorded(folder / "b", b"\n\r\n".join(contents), APP).requests())
    assert [callback.body for callback in requests] == contents
    for callback in requests:
        sent = ReceivedCallback(
            sdkappid=APP,
            url_command=callback.command,
            client_ip="",
            opt_platform="",
            received_at_ms=0,
            body=callback.body,
        )
        assert callback.id == headers_of(main_topic_record(sent)).get("ce_id", "")


@given(content=st.binary(max_size=100) | st.text(max_size=50).map(str.encode))
def test_any_other_line_is_refused_with_its_number(folder: Path, content: bytes) -> None:
    """It never ends in another exception."""
    with pytest.raises(UnusableRecording, match=r"line [1-9]|has no callbacks"):
        recorded(folder / "c", content, APP)


@pytest.mark.parametrize(
    ("line", "app", "words"),
    [
        (b"{}", APP, "CallbackCommand is missing"),
        (b"[1]", APP, "not a JSON object"),
        (a_body(), "", "a body does not name its app; name it with one --sdkappid"),
        (b'{"headers":{},"body":{}}', "", "the record has no header ce_sdkappid"),
        (b'{"headers":[],"body":{}}', "", "the record cannot be read"),
        (b'{"headers":{"ce_sdkappid":"1"},"body_base64":"%"}', "", "the record cannot be read"),
        (b'{"headers":{"ce_sdkappid":"1"},"body":7}', "", "the body is not a JSON object"),
    ],
)
def test_a_wrong_line_is_named_and_explained(
    tmp_path: Path, line: bytes, app: str, words: str
) -> None:
    """Nothing is sent."""
    content = lines_of(a_body()) + b"\n" + line + b"\n"
    with pytest.raises(UnusableRecording) as fault:
        recorded(tmp_path / "file.jsonl", content, app)
    assert str(fault.value).startswith(f"{tmp_path}/file.jsonl, line 3: ")
    assert words in str(fault.value)


def test_the_bounds_of_a_recording_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of one endless line does not fill the memory."""
    monkeypatch.setattr(recording, "LINE_BYTES_MAX", 1000)
    monkeypatch.setattr(recording, "LINES_MAX", 2)
    with pytest.raises(UnusableRecording, match="line 1: longer than 1000 bytes"):
        recorded(tmp_path / "a", b"x" * 5000)
    with pytest.raises(UnusableRecording, match="more than 2 callbacks; split it"):
        recorded(tmp_path / "a", (a_body() + b"\n") * 3, APP)


def test_recorded_callbacks_are_sent_in_the_order_that_is_asked_for(tmp_path: Path) -> None:
    """A body that has no time cannot be placed in time; a shuffle depends on the seed only."""
    bodies = [a_body(MsgKey=f"{number}") for number in (3, 1, 2)]
    lines = lines_of(*bodies).splitlines(keepends=True)
    content = b"".join([lines[2], lines[0], lines[1]])

    def keys(**options: Any) -> list[str]:
        requests = recorded(tmp_path / "a", content, **options).requests()
        return [json.loads(callback.body)["MsgKey"] for callback in requests]

    assert keys() == ["2", "3", "1"]
    assert keys(order="time", needs_times=True) == ["3", "1", "2"]
    shuffled = [keys(order="random", seed=seed) for seed in range(20)]
    assert shuffled == [keys(order="random", seed=seed) for seed in range(20)]
    assert {tuple(each) for each in shuffled} == {
        *(("1", "2", "3"), ("1", "3", "2"), ("2", "1", "3")),
        *(("2", "3", "1"), ("3", "1", "2"), ("3", "2", "1")),
    }
    with pytest.raises(UnusableRecording, match="line 1: the callback has no time"):
        recorded(tmp_path / "a", a_body(), APP, needs_times=True)
    (at_s,) = recorded(
        tmp_path / "a", a_body(EventTime="1700000000500"), APP, needs_times=True
    ).times_s
    assert at_s == 1_700_000_000.5


async def test_recorded_times_are_kept_at_a_speed(tmp_path: Path) -> None:
    """Three callbacks of three seconds, ten times as fast."""
    recording_ = recorded(
        tmp_path / "a", lines_of(*[a_body(MsgKey=f"{n}") for n in range(3)]), needs_times=True
    )
    async with receiving() as receiver:
        plan = TrafficPlan(
            urls=(receiver.url,), sdkappids=(), rate=100, recording=recording_, speed=10
        )
        result = await simulate(plan, None, lambda _: None)
    assert [json.loads(body)["MsgKey"] for _, body in receiver.requests] == ["0", "1", "2"]
    assert result.answers == {"ok": 3}
    assert result.took_s >= 0.2
    assert "recorded times planned" in str(rate(result))


async def test_the_latency_of_a_callback_counts_from_when_it_was_due() -> None:
    """A target that hangs once delays all callbacks that were due meanwhile (open loop)."""
    async with receiving() as receiver:
        receiver.delays_s = [0.6]
        plan = TrafficPlan(
            urls=(receiver.url,), sdkappids=(APP,), rate=100, count=20, connections=1
        )
        result = await simulate(plan, None, lambda _: None)
    assert result.answers == {"ok": 20}
    # Measured from when they were sent, 19 of the 20 would take a millisecond.
    assert sum(latency > 300 for latency in result.latencies_ms) >= 15
    assert not result.kept_rate
    assert 0.3 < result.late_s_max < result.took_s
    assert "/s reached; some were sent up to" in str(rate(result))
    assert "every connection waited for an answer" in str(rate(result))


async def test_callbacks_that_were_not_sent_in_the_time_are_counted() -> None:
    """Otherwise fewer callbacks than planned would look like some that were lost."""
    async with receiving() as receiver:
        receiver.delays_s = [1.0]
        plan = TrafficPlan(
            urls=(receiver.url,), sdkappids=(APP,), rate=100, seconds=0.5, connections=1
        )
        result = await simulate(plan, None, lambda _: None)
    assert result.sent < result.sent + result.unsent == 50
    assert f"; {result.unsent} of 50 were not sent in the time" in str(rate(result))


async def test_requests_are_signed_with_the_token_of_their_app(tmp_path: Path) -> None:
    """The ingress's own check accepts the Sign."""
    file = tmp_path / "tokens.toml"
    file.write_text('1 = ["new", "old"]\n2 = []')
    authenticator = Authenticator((), file, sign_window_s=3600)
    async with receiving() as receiver:
        signers = [Signer(token=token) for token in ("old", "x", "")]
        for signer in (signer_of_file(file), *signers):
            plan = TrafficPlan(
                urls=(receiver.url,), sdkappids=("1",), rate=1000, count=2, signer=signer
            )
            await simulate(plan, None, lambda _: None)
    refusals = [
        authenticator.check_and_count_use(query, time.time()) for query, _ in receiver.requests
    ]
    assert [refusal.name if refusal else "" for refusal in refusals] == [
        *("", "", "", ""),
        *("wrong_sign", "wrong_sign", "unsigned", "unsigned"),
    ]
    assert [row["uses"] for row in authenticator.token_uses(0)] == [2, 2]
    assert signer_of_file(file).sign("2", "a=1", 0) == "a=1"


def test_an_unusable_tokens_file_is_named_without_its_content(tmp_path: Path) -> None:
    """A token never comes into an error."""
    file = tmp_path / "tokens.toml"
    file.write_text('1 = "secret"')
    with pytest.raises(NoTokens, match=r"tokens\.toml: 1 must have a list") as fault:
        signer_of_file(file)
    assert "secret" not in str(fault.value)
    with pytest.raises(NoTokens, match="cannot be read"):
        signer_of_file(tmp_path / "absent")


def entry(
    number: int, outcome: ledger.Outcome = ledger.Outcome.OK, **fields: Any
) -> ledger.LedgerEntry:
    """Return an entry of a ledger."""
    values: dict[str, Any] = {
        "id": f"{number}",
        "sdkappid": APP,
        "command": "C",
        "sha256": "",
        "outcome": outcome,
        "status": 0,
        "latency_ms": 1.0,
    }
    return ledger.LedgerEntry(**values | fields)


def test_answers_are_counted_by_name_and_reason() -> None:
    """In bounded memory: a reason may quote the request."""
    result = TrafficResult(planned_rate=1.0)
    result.add(entry(1, answer="ok", failed_tries=("answered 503: full",)))
    for number in range(REASONS_MAX + 50):
        reason = f"answered 400: reason {number}"
        result.add(
            entry(2, ledger.Outcome.OTHER_ANSWER, answer="malformed", failed_tries=(reason,))
        )
    result.add(
        entry(
            3,
            ledger.Outcome.OTHER_ANSWER,
            answer="status 429",
            failed_tries=("answered 429: many",),
        )
    )
    assert result.by_reason["ok", ""] == 1
    assert result.by_reason["malformed", "answered 400: reason 7"] == 1
    assert result.by_reason["malformed", OTHER_REASONS] == 51
    assert result.by_reason.total() == result.sent
    assert len(result.not_ok) <= REASONS_MAX + 1
    with _out.capture() as captured:
        _out.print(traffic_table(result))
    assert "answered 400: reason 7" in captured.get()
    assert {"answer": "ok", "reason": "", "count": 1} in result.as_dict()["answers"]  # type: ignore[operator]


def test_ledgers_of_several_runs_are_read_as_one(tmp_path: Path) -> None:
    """The same file twice is a mistake, and a wrong line is named with its file."""
    paths = [tmp_path / "a", tmp_path / "b"]
    for number, path in enumerate(paths):
        with path.open("wb") as file:
            ledger.write(file, entry(number))
    assert [each.id for each in ledger.read_all(paths)] == ["0", "1"]
    link = tmp_path / "link"
    link.symlink_to(paths[0])
    with pytest.raises(ledger.NoLedger, match=r"a and .*link are the same ledger"):
        list(ledger.read_all([*paths, link]))
    paths[1].write_bytes(paths[1].read_bytes() + b"{\n")
    with pytest.raises(ledger.NoLedger, match="b, line 2: "):
        list(ledger.read_all(paths))


def test_the_former_variable_of_the_tokens_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ignored, it would let simulate send requests that are not signed."""
    tokens = tmp_path / "tokens.toml"
    tokens.write_text(f'{APP} = ["a-token"]\n')
    arguments = ("--url", "http://127.0.0.1:9/", "--sdkappid", APP, "--count", "1")
    monkeypatch.setenv("OPS_SECRETS_FILE", str(tokens))
    refused = run(*arguments)
    assert refused.exit_code == 2
    assert "OPS_SECRETS_FILE is called OPS_TOKENS_FILE now" in refused.output
    monkeypatch.setenv("OPS_TOKENS_FILE", str(tokens))
    # Nothing listens there.
    assert run(*arguments).exit_code == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "name the app of the made-up callbacks: --sdkappid"),
        (("--sdkappid", "x"), "must be a decimal number without leading zeros, not 'x'"),
        (("--sdkappid", "1", "--speed", "1"), "give --replay FILE"),
        (("--sdkappid", "1", "--order", "time"), "give --replay FILE"),
        (("--sdkappid", "1,2", "--replay", "FILE"), "give one --sdkappid or none"),
        (("--replay", "FILE", "--users", "5"), "--users is for made-up callbacks"),
        (("--replay", "FILE", "--rate", "5", "--speed", "1"), "give --rate or --speed"),
        (("--replay", "FILE", "--order", "random", "--speed", "1"), "in the order of time"),
        (("--replay", "FILE", "--speed", "0"), "--speed"),
        (("--replay", "absent"), "does not exist"),
        (("--sdkappid", "1", "--token", "a", "--tokens-file", "FILE"), "not both"),
        (("--sdkappid", "1", "--seconds", "-1"), "--seconds"),
        (("--sdkappid", "1", "--url", "http://127.0.0.1:9/?SdkAppid=1"), "must have no query (?…)"),
        (("--sdkappid", "1", "--url", "127.0.0.1:9/"), "must begin with http://"),
    ],
)
def test_options_that_do_not_fit_are_refused(
    tmp_path: Path, arguments: tuple[str, ...], words: str
) -> None:
    """With the exit code of a wrong command line; nothing is sent."""
    file = tmp_path / "file.jsonl"
    file.write_bytes(lines_of(a_body()))
    given = [str(file) if each == "FILE" else each for each in arguments]
    result = run("--url", "http://127.0.0.1:9/", *given)
    assert result.exit_code == 2
    assert words in " ".join(result.output.replace("│", " ").split())


def test_a_ledger_of_0_1_is_read(tmp_path: Path) -> None:
    """There, every answer other than OK is "refused". An outcome of no release is a fault."""
    path = tmp_path / "ledger.jsonl"
    former = (
        '{"id":"1","sdkappid":"1","command":"C","sums":{},"people":[],"sha256":"","outcome":"refused","status":503,'
        '"answer":"unavailable","failed_tries":["answered 503: full"],"latency_ms":1.0}\n'
    )
    path.write_text(former)
    (read,) = ledger.read(path)
    assert read.outcome is ledger.Outcome.OTHER_ANSWER
    with path.open("wb") as file:
        ledger.write(file, read)
    assert path.read_text() == former.replace("refused", "other_answer")
    path.write_text(former.replace("refused", "denied"))
    with pytest.raises(ledger.NoLedger, match="line 1: Invalid enum value 'denied'"):
        list(ledger.read(path))


def test_the_json_of_0_1_keeps_its_key() -> None:
    """Programs that read `refused` get the same number as those that read `other_answer`."""
    result = TrafficResult()
    result.add(entry(1, ledger.Outcome.OTHER_ANSWER, failed_tries=("answered 403: why",)))
    result.add(entry(2, ledger.Outcome.UNANSWERED, failed_tries=("no answer in time",)))
    as_dict = result.as_dict()
    assert (as_dict["other_answer"], as_dict["refused"], as_dict["unanswered"]) == (1, 1, 1)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:port/", "http://", "http://a:70000/", "http://a:0/"]
)
def test_a_url_without_a_host_or_with_another_port_is_refused(url: str) -> None:
    """Otherwise every callback would be one whose connection was cut."""
    run = CliRunner().invoke(simulate_command, ["--url", url, "--sdkappid", APP])
    assert run.exit_code == 2
    assert "--url: must have a host, and a port from 1 to 65535 or none" in run.output
