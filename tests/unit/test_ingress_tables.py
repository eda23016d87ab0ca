"""The tokens and the failed requests of all replicas together, as `hookline status` shows them."""

import io
from typing import Any

from rich.console import Console
from support.pipeline_states import SILENT, an_ingress, measured
from support.reported import report_of

from consumers.stats.process_statuses import SenderFailures, TokenUse
from ops.status.ingress_tables import ReportTable, failure_table, token_table
from ops.status.report import Report


def lines(table: ReportTable, report: Report, *, width: int = 80) -> list[str]:
    """Return the lines of a table, with each sequence of spaces as one space."""
    written = io.StringIO()
    Console(file=written, width=width).print(table(report))
    return [" ".join(line.split()) for line in written.getvalue().splitlines()]


def a_use(fingerprint: str, place: int, app: str = "1400000001", **fields: Any) -> TokenUse:
    """Return the use of a token that was used never in the last hour, but for `fields`."""
    unused: dict[str, Any] = {"unused_for_s": 3600.0}
    return TokenUse(sdkappid=app, place=place, fingerprint=fingerprint, **unused | fields)


def used(s: float, uses: int) -> dict[str, Any]:
    """Return the fields of a token that was used so many seconds ago."""
    return {"uses": uses, "last_used_ago_s": s, "unused_for_s": s}


def failed(answer: str, address: str, s: float, count: int, reason: str = "x") -> SenderFailures:
    """Return the failures of a sender, of which the last one was so many seconds ago."""
    return SenderFailures(answer=answer, address=address, count=count, last_ago_s=s, reason=reason)


def test_a_token_is_unused_only_for_as_long_as_no_replica_has_used_it() -> None:
    """One replica alone says that the old token is unused, while another one has just used it."""
    first = an_ingress(tokens=(a_use("aa", 1, **used(20.0, 2)), a_use("bb", 2)))
    second = an_ingress(tokens=(a_use("aa", 1, **used(8.0, 3)), a_use("bb", 2, **used(1.5, 7))))
    report = report_of(measured([first, second]))
    assert [(row.uses, row.last_used_ago_s, row.unused_for_s) for row in report.tokens] == [
        (5, 8.0, 8.0),
        (7, 1.5, 1.5),
    ]
    assert lines(token_table, report) == [
        "app token place replicas uses last use unused for",
        "1400000001 aa 1 2 of 2 5 8.0 s ago 8.0 s",
        "1400000001 bb 2 2 of 2 7 1.5 s ago 1.5 s",
    ]


def test_a_replica_that_has_just_started_does_not_know_the_time_before() -> None:
    """Its predecessor may have used the token."""
    old = an_ingress(tokens=(a_use("aa", 1, **used(700.0, 3)),))
    new = an_ingress(tokens=(a_use("aa", 1, unused_for_s=12.0),))
    (row,) = report_of(measured([old, new])).tokens
    assert (row.last_used_ago_s, row.unused_for_s) == (700.0, 12.0)


def test_while_a_replica_does_not_answer_it_is_not_known_whether_a_token_is_unused() -> None:
    """It may have used the token a moment ago; an operator must not remove the token."""
    report = report_of(measured([an_ingress(tokens=(a_use("aa", 1, **used(700.0, 3)),)), SILENT]))
    (row,) = report.tokens
    assert (row.replicas, row.last_used_ago_s, row.unused_for_s) == (1, 700.0, None)
    assert lines(token_table, report)[1:] == [
        "1400000001 aa 1 1 of 2 3 11 min ago not known",
        "10.0.0.1:8081 does not answer: unused for is not known",
    ]
    earlier = an_ingress(tokens=(a_use("aa", 1, unused_for_s=None),))
    report = report_of(measured([earlier, an_ingress(tokens=(a_use("aa", 1),))]))
    assert report.tokens[0].unused_for_s is None
    assert lines(token_table, report)[-1].endswith("does not report it")


def test_a_token_that_not_every_replica_has_shows_how_many_have_it() -> None:
    """A replica reads the tokens file a second later; apps with several tokens come first."""
    first = an_ingress(tokens=(a_use("aa", 1), a_use("bb", 2), a_use("cc", 1, app="7")))
    second = an_ingress(tokens=(a_use("bb", 1), a_use("cc", 1, app="7")))
    tokens = report_of(measured([second, first])).tokens
    assert [(row.sdkappid, row.fingerprint, row.replicas) for row in tokens] == [
        ("1400000001", "bb", 2),
        ("1400000001", "aa", 1),
        ("7", "cc", 2),
    ]


def test_the_failures_of_a_sender_are_those_of_all_replicas() -> None:
    """The last one first, with its reason."""
    first = an_ingress(
        failures_by_sender=(
            failed("wrong_sign", "203.0.113.9", 60.0, 2, "before"),
            failed("not_here", "203.0.113.9", 90.0, 1),
        )
    )
    second = an_ingress(failures_by_sender=(failed("wrong_sign", "203.0.113.9", 3.0, 5, "last"),))
    report = report_of(measured([first, second, SILENT]))
    assert lines(failure_table, report) == [
        "answer address count last reason",
        "wrong_sign 203.0.113.9 7 3.0 s ago last",
        "not_here 203.0.113.9 1 90 s ago x",
        "10.0.0.2:8081 does not answer: its answers are not known",
    ]


def test_only_the_last_senders_are_on_the_screen() -> None:
    """JSON has all."""
    many = tuple(failed("not_here", f"192.0.2.{n}", n + 1.0, 1) for n in range(23))
    report = report_of(measured([an_ingress(failures_by_sender=many)]))
    assert len(report.failures_by_sender) == 23
    shown = lines(failure_table, report)
    assert len(shown) == 22
    assert "192.0.2.0" in shown[1]
    assert shown[-1] == "3 more: --json has all"


def test_without_tokens_or_failures_a_line_says_so() -> None:
    """Also that nothing is known if no ingress is asked."""
    report = report_of(measured([an_ingress()]))
    assert lines(token_table, report) == ["no replica that answers has a token"]
    assert lines(failure_table, report) == [
        "every answer of the replicas that answer was OK, since each one started"
    ]
    for table in (token_table, failure_table):
        assert lines(table, report_of(measured(None)))[0].startswith("the ingress is not asked:")


def test_texts_of_senders_control_no_terminal() -> None:
    """A reason has what a stranger sent."""
    hostile = "\x1b]0;x\x07[bold]\r\n\u202e"
    sender = failed(hostile, hostile, 1.0, 1, hostile)
    token = a_use(hostile, 1, app=hostile)
    report = report_of(measured([an_ingress(failures_by_sender=(sender,), tokens=(token,))]))
    for table in (token_table, failure_table):
        text = "".join(lines(table, report))
        assert not {"\x1b", "\x07", "\r", "\u202e"} & set(text)
