"""The benchmark of sync and webhooks: what its receiver counts, and what is concluded."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import msgspec
import orjson
import pytest
from support.bench_machine import MACHINE

from bench.sync import version_1
from bench.sync.__main__ import Plan
from bench.sync.goals import Results, goals
from bench.sync.measure import Run
from bench.sync.tables import markdown
from bench.sync.webhook.callbacks import CONVERSATIONS, accounts, made
from bench.sync.webhook.deliveries import Deliveries
from bench.sync.webhook.receiver import FAILING, Connection, Report, Target
from bench.sync.webhook.senders import requests_max
from bench.sync.webhook.waits import Waits
from consumers.webhook.consumer import RETRY_REQUESTS_DIVISOR
from ops.demo.embedded.child import ProgramMissing

READING = {"seconds": 1.0, "kafka_s": 0.001, "others": 0.0, "rss_mib": 50.0}


def a_run(writer: str = "hookline", **changed: object) -> Run:
    """Return a run that wrote 1,000 records in a second."""
    has_receipts = writer in ("hookline", "version_1")
    usual = {
        "writer": writer,
        "round": 0,
        "records": 1000,
        "cpu_s": 0.02,
        "server_s": 0.04,
        "rows": 1000,
        "receipts": 1000 if has_receipts else None,
        **READING,
    }
    return Run(**(usual | changed))  # type: ignore[arg-type]  # as the class has them


def a_delivery(sender: str = "webhook", **changed: object) -> Deliveries:
    """Return a run that delivered 1,000 records in a second."""
    usual = {
        "sender": sender,
        "in_flight": 16,
        "round": 0,
        "records": 1000,
        "cpu_s": 0.2,
        "receiver_s": 0.02,
        "missing": 0,
        "repeated": 0,
        **READING,
    }
    return Deliveries(**(usual | changed))  # type: ignore[arg-type]  # as the class has them


def some_waits(p99_ms: float = 100, **changed: object) -> Waits:
    """Return a run whose 1,000 callbacks were all delivered."""
    report = Report(
        accepted=1000,
        others=1000,
        different=1000,
        failed=0,
        cpu_s=0.1,
        p50_ms=50,
        p99_ms=p99_ms,
        max_ms=200,
    )
    usual = {
        "round": 0,
        "failing": 0,
        "sent": 1000,
        "report": report,
        "cpu_us": 300.0,
        "others": 0.0,
    }
    return Waits(**(usual | changed))  # type: ignore[arg-type]  # as the class has them


def met(results: Results) -> dict[str, bool | None]:
    """Return whether each goal is met."""
    return {goal.what: goal.met for goal in goals(results)}


def test_goals_compare_runs_of_one_round() -> None:
    """The second round ran at a tenth of the speed, which changes no ratio."""
    results = Results(
        written=[
            a_run(writer, round=number, cpu_s=cpu_s * slow, seconds=seconds * slow)
            for number, slow in enumerate((1, 10, 1))
            for writer, cpu_s, seconds in (
                ("hookline", 0.02, 1.0),
                ("version_1", 0.03, 0.9),
                ("row_by_row", 0.2, 19.0),
            )
        ],
        delivered=[
            a_delivery(sender, round=number, seconds=seconds * slow)
            for number, slow in enumerate((1, 10))
            for sender, seconds in (("webhook", 1.0), ("bare_client", 0.75))
        ],
        waits=[
            some_waits(p99_ms * slow, round=number, failing=failing)
            for number, slow in enumerate((1, 10))
            for failing, p99_ms in ((0, 100), (1, 119))
        ],
    )
    assert met(results) == {
        "rows/s / `row_by_row`": False,
        "rows/s / `version_1`": True,
        "CPU of sync a row / `version_1`": False,
        "deliveries/s / `bare_client`, 16 in flight": True,
        "p99 of the others, one conversation failing / none": True,
    }
    by_name = {goal.what: goal for goal in goals(results)}
    assert by_name["CPU of sync a row / `version_1`"].rounds == pytest.approx([2 / 3] * 3)
    assert by_name["p99 of the others, one conversation failing / none"].rounds == pytest.approx(
        [1.19] * 2
    )


def test_goals_without_a_peer_are_not_measured() -> None:
    """Its name is still in the table."""
    assert set(met(Results(written=[a_run()], waits=[some_waits()])).values()) == {None}
    assert len(met(Results(written=[a_run()]))) == 4


@pytest.mark.parametrize(
    "changed", [{"rows": 999}, {"rows": 1001}, {"receipts": 999}, {"rows": 0, "receipts": 0}]
)
def test_a_row_that_is_missing_or_surplus_is_wrong(changed: dict[str, int]) -> None:
    """It fails the command, and the table names it."""
    assert a_run().wrong == a_run("executemany").wrong == 0
    results = Results(written=[replace(a_run(), **changed)])  # type: ignore[arg-type]  # numbers
    assert results.wrong > 0
    assert "**" in next(line for line in page(results) if line.startswith("| `hookline`"))


def test_a_callback_that_is_not_delivered_is_wrong() -> None:
    """A repeat is none: deliveries are at least once."""
    assert Results(delivered=[a_delivery(repeated=3)], waits=[some_waits()]).wrong == 0
    assert Results(delivered=[a_delivery(missing=2)]).wrong == 2
    lost = some_waits(sent=1003)
    assert Results(waits=[lost]).wrong == 3
    assert any("**3 missing**" in line for line in page(Results(waits=[lost])))


def page(results: Results) -> list[str]:
    """Return the lines of the page."""
    return markdown(results, MACHINE, rounds=1, rate=500, seconds=20).splitlines()


def test_the_page_shows_only_what_was_measured_and_what_was_left_out() -> None:
    """A row for each writer, for each sender by requests in flight, and for each number failing."""
    lines = page(Results(written=[a_run()], left_out="version_1 is left out"))
    assert "**version_1 is left out.**" in lines
    assert "| `hookline` | 1,000 | 20.0 | 40.0 | 50 | 1,000 | 1.0 | 0 |" in lines
    assert not any("in flight" in line or "failing |" in line for line in lines[8:])
    lines = page(
        Results(delivered=[a_delivery(), a_delivery(in_flight=1)], waits=[some_waits(failing=1)])
    )
    assert "| 1 | `webhook` | 1,000 | 200 | 50 | 0 | 20 | 0 |" in lines
    assert "| 1 | 50 | 100 | 200 | 1,000 | 0 | 300 | 0 |" in lines
    assert not any("PostgreSQL?" in line for line in lines)


def test_senders_that_are_compared_are_measured_one_after_the_other() -> None:
    """With each number of requests in flight."""
    plan = Plan(
        only=("row_by_row", "webhook", "bare_client"),
        rounds=1,
        records=1,
        deliveries=1,
        in_flight=(1, 16),
        rate=1,
        seconds=1,
    )
    assert plan.writers == ["row_by_row"]
    assert plan.senders == [
        ("webhook", 1),
        ("bare_client", 1),
        ("webhook", 16),
        ("bare_client", 16),
    ]


@pytest.mark.parametrize("in_flight", [1, 2, 16, 64, 100])
def test_first_deliveries_have_the_requests_that_are_compared(in_flight: int) -> None:
    """The setting counts the requests for retries, too."""
    asked = requests_max(in_flight)
    assert asked - max(1, asked // RETRY_REQUESTS_DIVISOR) == in_flight


def test_one_conversation_of_ten_thousand_fails_at_a_steady_rate() -> None:
    """All others take turns, and each account is a conversation of its own."""
    names = Counter(accounts(500, 30_000))
    assert len(names) == CONVERSATIONS
    assert names[FAILING] == 60
    assert set(names.values()) - {60} <= {2, 3, 4}
    keys = {made(number, name, 1.5).key for number, name in enumerate(names)}
    assert len(keys) == CONVERSATIONS


class Written:
    """The transport of one connection, as far as the receiver uses it."""

    def __init__(self) -> None:
        self.answers: list[bytes] = []

    def write(self, answer: bytes) -> None:
        """Keep the answer."""
        self.answers.append(answer)


def a_request(account: str, number: int) -> bytes:
    """Return a delivery as aiohttp sends it, of a callback that was received in 1970."""
    body = orjson.dumps({"From_Account": account})
    return (
        b"POST /hook HTTP/1.1\r\nHost: x\r\nwebhook-id: %d\r\nce-time: 1970-01-01T00:00:00.000Z\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (number, len(body), body)
    )


def a_connection(*, fails: bool) -> tuple[Connection, list[bytes]]:
    """Return a connection and the answers that it gives."""
    connection, written = Connection(Target(fails=fails)), Written()
    connection._transport = written  # type: ignore[assignment]  # noqa: SLF001 - without a socket
    return connection, written.answers


def test_the_receiver_answers_requests_however_they_are_cut() -> None:
    """Several in one piece, or one in many."""
    connection, answers = a_connection(fails=True)
    connection.data_received(a_request("ann", 1) + a_request(FAILING, 2) + a_request("ann", 1)[:-3])
    assert [answer[9:12] for answer in answers] == [b"204", b"500"]
    connection.data_received(a_request("ann", 1)[-3:])
    for byte in a_request("bob", 3):
        connection.data_received(bytes((byte,)))
    assert [answer[9:12] for answer in answers[2:]] == [b"204", b"204"]


@pytest.mark.parametrize(("fails", "accepted", "failed"), [(True, 3, 1), (False, 4, 0)])
def test_the_receiver_reports_ids_and_the_waits_of_the_others(
    *, fails: bool, accepted: int, failed: int
) -> None:
    """A delivery of an id that was accepted is no different one; `/begin` counts again."""
    connection, answers = a_connection(fails=fails)
    for account, number in (("ann", 1), ("ann", 1), ("bob", 2), (FAILING, 3)):
        connection.data_received(a_request(account, number))
    answers.clear()
    for path in (b"/", b"/begin", b"/"):
        connection.data_received(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path)
    reports = [msgspec.json.decode(each.partition(b"\r\n\r\n")[2], type=Report) for each in answers]
    for report in reports[:2]:
        assert (report.accepted, report.failed, report.others) == (accepted, failed, 3)
        assert report.different == accepted - 1
        assert report.p50_ms > 1e12
    assert (reports[2].accepted, reports[2].others, reports[2].p99_ms) == (0, 0, 0)


def test_without_the_history_version_1_is_left_out_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A source archive has no history, and a machine may have no git."""
    monkeypatch.setattr(version_1, "_ROOT", tmp_path)
    with pytest.raises(
        ProgramMissing, match=r"version_1 is left out: .* a full `git clone` has it"
    ):
        version_1.check_out(tmp_path / "programs")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ProgramMissing, match="left out"):
        version_1.check_out(tmp_path / "programs")
