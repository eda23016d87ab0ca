"""One request of a webhook: its headers, its signatures, what each answer means, its bounds."""

import asyncio
import contextlib
import re
import time
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError
from support.builders import a_record, a_stored_record
from support.webhook.receiver import SECRET, Arrival, receiving
from support.webhook.sending import Serve, raw_server, sender_to

from consumers.webhook.outcome import RETRY_AFTER_S_MAX, Outcome, OutcomeKind, by_answer
from consumers.webhook.request import escaped
from consumers.webhook.secrets_file import SecretsFile, parse
from schemas.tokens_file import UnusableFile

OTHER_SECRET = "whsec_" + "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
PAGE = Path(__file__).parents[2] / "docs" / "webhooks.md"
NOW = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)


async def outcome_of(serve: Serve, directory: Path, timeout_s: float = 5) -> Outcome:
    """Return the outcome of one request to such a server."""
    async with raw_server(serve) as url, sender_to(url, directory, timeout_s) as sender:
        return await sender.send(a_stored_record(3))


async def test_the_body_arrives_unchanged_with_the_headers_of_both_standards(
    tmp_path: Path,
) -> None:
    """The receiver has verified the signature by the library of Standard Webhooks."""
    body = b'\xef\xbb\xbf{ "From_Account":"ann","To_Account":"b","MsgKey":"k","n":1.50 ,"n":2}'
    record = a_stored_record(7, body, command="C2C.CallbackAfterSendMsg")
    async with receiving() as receiver, sender_to(receiver.url, tmp_path) as sender:
        assert await sender.send(record) == Outcome(OutcomeKind.DELIVERED)
    (arrival,) = receiver.arrivals
    ce = {name: value.decode() for name, value in record.headers}
    assert arrival.body == body
    assert arrival.headers["webhook-id"] == ce["ce_id"]
    assert arrival.headers["Content-Type"] == "application/json"
    assert {name: value for name, value in arrival.headers.items() if name.startswith("ce-")} == {
        name.replace("_", "-"): value for name, value in ce.items() if name.startswith("ce_")
    }


@pytest.mark.parametrize(
    ("value", "header"),
    [
        (b"plain-1.0/:;,", "plain-1.0/:;,"),
        (b'a b"c%d', "a%20b%22c%25d"),
        ("€\r\nX: y".encode(), "%E2%82%AC%0D%0AX:%20y"),
        (b"\xff\0", "%FF%00"),
        (None, ""),
    ],
)
def test_no_byte_of_a_record_can_end_a_header(value: bytes | None, header: str) -> None:
    """As CloudEvents' HTTP binding escapes them."""
    assert escaped(value) == header


@given(st.one_of(st.binary(), st.from_regex(rb"\A[!-~]*\Z")))
def test_a_header_has_only_what_http_can_send_and_means_the_same(value: bytes) -> None:
    """Most values need no escape."""
    header = escaped(value)
    assert re.fullmatch(r"[!#$%&-~]*", header)
    assert unquote_to_bytes(header) == value


async def test_while_a_secret_is_replaced_both_sign(tmp_path: Path) -> None:
    """The file is read again when it changes; an unusable content changes nothing."""
    file = tmp_path / "secrets"
    file.write_text(f"# the target's\n{SECRET}\n")
    secrets = SecretsFile(file)
    now_s = int(time.time())

    def verifies(secret: str) -> bool:
        headers = {
            "webhook-id": "id",
            "webhook-timestamp": str(now_s),
            "webhook-signature": secrets.signatures("id", now_s, b'{"a": "\xc3\xa9"}'),
        }
        try:
            Webhook(secret).verify(b'{"a": "\xc3\xa9"}', headers)
        except WebhookVerificationError:
            return False
        return True

    async def changed(text: str) -> None:
        file.write_text(text)
        for _ in range(2):
            await secrets.file.reread()

    assert (verifies(SECRET), verifies(OTHER_SECRET)) == (True, False)
    await changed(f"{OTHER_SECRET}\n{SECRET}\n")
    assert (verifies(SECRET), verifies(OTHER_SECRET)) == (True, True)
    await changed("")
    assert "has 0 secrets" in secrets.file.fault
    assert (verifies(SECRET), verifies(OTHER_SECRET)) == (True, True)
    await changed(OTHER_SECRET)
    assert (verifies(SECRET), verifies(OTHER_SECRET)) == (False, True)


@pytest.mark.parametrize(
    "content",
    [
        *("", "secret", "whsec_", "whsec_AAAA", "whsec_%%%", "whsec_é", 3 * f"{SECRET}\n"),
        # A byte order mark is refused, as in the ingress' tokens file.
        f"\ufeff{SECRET}",
    ],
)
def test_an_unusable_secret_is_refused_and_not_shown(content: str, tmp_path: Path) -> None:
    """The error names the file and the line."""
    file = tmp_path / "secrets"
    file.write_text(content)
    with pytest.raises(UnusableFile, match=re.escape(str(file))) as raised:
        SecretsFile(file)
    assert SECRET not in str(raised.value)
    assert "%%%" not in str(raised.value)


@given(st.one_of(st.binary(), st.text().map(lambda text: f"whsec_{text}".encode())))
def test_any_content_is_secrets_or_unusable(content: bytes) -> None:
    """Nothing else is raised, so the watch of the file goes on."""
    with contextlib.suppress(UnusableFile):
        assert 1 <= len(parse(content, "file")) <= 2


@pytest.mark.parametrize(
    ("statuses", "kind"),
    [
        ((200, 201, 202, 204, 299), OutcomeKind.DELIVERED),
        ((408, 425, 429, 500, 502, 503, 504, 599), OutcomeKind.FAILED),
        ((410,), OutcomeKind.GONE),
        ((300, 301, 302, 303, 304, 307, 308), OutcomeKind.REFUSED),
        ((400, 401, 403, 404, 405, 409, 411, 413, 422, 451, 499), OutcomeKind.REFUSED),
    ],
)
def test_each_status_means_what_the_docs_say(statuses: tuple[int, ...], kind: OutcomeKind) -> None:
    """The table is in docs/webhooks.md."""
    for status in statuses:
        assert by_answer(status, None, "", NOW).kind is kind
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    row = {
        OutcomeKind.DELIVERED: "| 2xx |",
        OutcomeKind.FAILED: "| 408, 425, 429, 5xx, no answer within `WEBHOOK_TIMEOUT_S`, ",
        OutcomeKind.GONE: "| 410 |",
        OutcomeKind.REFUSED: "| 3xx, all other 4xx |",
    }[kind]
    assert [line for line in rows if line.startswith(row)]


@pytest.mark.parametrize(
    ("status", "header", "seconds"),
    [
        (429, "7", 7),
        (503, " 120 ", 120),
        (503, "99999999999999999999", 3600),
        (503, "Sat, 28 Nov 2026 12:00:30 GMT", 30),
        (503, "Sat, 28 Nov 2020 12:00:30 GMT", 0),
        (503, "soon", 0),
        (503, "-1", 0),
        (503, "Mon, 01 Jan 2026 00:00:00 +99999999999999", 0),
        (503, "Mon, 01 Jan 0001 00:00:00 +2359", 0),
        (429, "Fri, 31 Dec 9999 23:59:59 -2359", 3600),
        (503, "Mon, 01 Jan 99999999999999999999 00:00:00 GMT", 0),
        (503, "", 0),
        (500, "7", 0),
    ],
)
def test_retry_after_is_respected_up_to_an_hour(status: int, header: str, seconds: float) -> None:
    """In seconds or as a date, of 429 and 503 only."""
    assert by_answer(status, header, "", NOW) == Outcome(
        OutcomeKind.FAILED, f"the target answered {status}", seconds
    )


@given(
    text=st.one_of(
        st.text(),
        st.from_regex(r"\w{0,3},? ?\d{0,3} Jan \d{0,12} \d+:\d+(:\d+)? ?[-+]?\d{0,20}"),
    ),
    status=st.integers(0, 999),
)
def test_any_retry_after_gives_an_outcome(text: str, status: int) -> None:
    """The target chooses every character of it."""
    assert 0 <= by_answer(status, text, text, NOW).retry_after_s <= RETRY_AFTER_S_MAX


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 503 \xff\xfe\r\nRetry-After: \xff\xfe\r\nContent-Length: 0",
        b"HTTP/1.1 503 x\r\nRetry-After: Mon, 01 Jan 2026 00:00:00 +99999999999999",
        b"HTTP/1.1 500 x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 500 x\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nabc",
        b"HTTP/1.1 500 x\r\nContent-Length: -1",
        b"HTTP/1.1 500 x\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 500 x\r\nContent-Type: text/plain; charset=\xff\r\nSet-Cookie: \xff=\xff;;",
        b"HTTP/1.1 500 x\r\nLocation: http://[\r\nLink: <http://[>; rel=\xff",
        b"HTTP/9.9 999 x",
        b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: upgrade",
        b"\0\0\0\0",
        b"SSH-2.0-x",
    ],
)
async def test_no_bytes_of_an_answer_raise(
    answer: bytes, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A target cannot end the process; each of these is an outcome that the sender expects."""

    async def hostile(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer + b"\r\n\r\n")

    outcome = await outcome_of(hostile, tmp_path)
    assert outcome.kind in (OutcomeKind.FAILED, OutcomeKind.REFUSED)
    assert "cannot be handled" not in caplog.text


async def test_a_record_that_is_no_callback_is_refused_without_a_request(tmp_path: Path) -> None:
    """No ingress writes one."""
    async with receiving() as receiver, sender_to(receiver.url, tmp_path) as sender:
        outcome = await sender.send(a_record(3))
    assert outcome.kind is OutcomeKind.REFUSED
    assert "ce_sdkappid" in outcome.reason
    assert receiver.arrivals == []


async def test_an_answer_that_comes_too_late_is_a_failure(tmp_path: Path) -> None:
    """A target that answers after 60 s is not waited for."""

    async def late(_: Arrival) -> int:
        await asyncio.sleep(60)
        return 200

    async with receiving() as receiver, sender_to(receiver.url, tmp_path, 0.3) as sender:
        receiver.answer = late
        assert await sender.send(a_stored_record(3)) == Outcome(
            OutcomeKind.FAILED, "the target did not answer within WEBHOOK_TIMEOUT_S"
        )


async def test_a_connection_that_is_closed_before_the_answer_is_a_failure(tmp_path: Path) -> None:
    """Also in the middle of the head, and by a half-close without an answer."""

    async def half_closed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-")
        writer.write_eof()
        await reader.read()

    async def closed(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    for serve in (half_closed, closed):
        outcome = await outcome_of(serve, tmp_path)
        assert outcome.kind is OutcomeKind.FAILED
        assert outcome.reason.startswith("the target gave no answer: ")


@pytest.mark.parametrize("status", [b"200 OK", b"400 Bad Request"])
async def test_of_a_huge_answer_only_the_beginning_is_read(status: bytes, tmp_path: Path) -> None:
    """1 GB or without an end: the connection is closed after a few KB."""
    written = 0

    async def endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal written
        writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 1073741824\r\n\r\n")
        while written < 1 << 30:
            writer.write((1 << 16) * b"x")
            written += 1 << 16
            await writer.drain()

    outcome = await outcome_of(endless, tmp_path)
    assert outcome.kind is (OutcomeKind.DELIVERED if status == b"200 OK" else OutcomeKind.REFUSED)
    assert len(outcome.reason) < 1100
    assert written < 64 << 20


async def test_a_success_counts_even_if_its_body_is_cut_off(tmp_path: Path) -> None:
    """The target has accepted the callback, so it is not sent again."""

    async def cut_off(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")

    assert await outcome_of(cut_off, tmp_path) == Outcome(OutcomeKind.DELIVERED)


async def test_a_head_without_an_end_is_a_failure(tmp_path: Path) -> None:
    """Its size is bounded."""

    async def endless(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nX: ")
        for _number in range(10_000):
            writer.write(4096 * b"x")
            await writer.drain()

    assert (await outcome_of(endless, tmp_path)).kind is OutcomeKind.FAILED


async def test_redirects_are_not_followed(tmp_path: Path) -> None:
    """Also not to a cloud's metadata."""

    async def redirect(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(
            b"HTTP/1.1 307 Temporary Redirect\r\nContent-Length: 0\r\n"
            b"Location: http://169.254.169.254/latest/meta-data/\r\n\r\n"
        )

    outcome = await outcome_of(redirect, tmp_path)
    assert outcome == Outcome(OutcomeKind.REFUSED, "the target answered 307")


async def test_an_address_that_is_not_allowed_is_a_failure_that_names_the_setting(
    tmp_path: Path,
) -> None:
    """Nothing is sent there."""
    async with sender_to("http://10.255.255.1/", tmp_path) as sender:
        outcome = await sender.send(a_stored_record(3))
    assert outcome.kind is OutcomeKind.FAILED
    assert "WEBHOOK_ALLOW_CIDRS" in outcome.reason
