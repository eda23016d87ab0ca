"""The demo's table: shares are rounded down, and every callback without an OK has its reason."""

from collections import Counter

from rich.console import Console
from support.reports import report_with

from ops.audit.report import LedgerReport
from ops.demo.demo import DemoResult
from ops.demo.output import demo_table
from ops.simulate.result import TrafficResult

REFUSED, CUT = "connection refused", "connection cut before the answer"


def printed(*, ok: int, not_ok: dict[str, int], stored: int, repeats: int) -> str:
    """Return the demo's table as text."""
    unanswered = sum(not_ok.values())
    traffic = TrafficResult(
        planned_rate=300,
        answers=Counter(ok=ok, unanswered=unanswered),
        not_ok=Counter(not_ok),
        second_tries=Counter({REFUSED: 7}),
        latencies_ms=[4.0] * ok,
        sending_s=(ok + unanswered) / 300,
    )
    ledger = LedgerReport(
        sent=ok + unanswered,
        ok=ok,
        refused=0,
        unanswered=unanswered,
        unanswered_but_stored=stored,
        missing={},
        changed=0,
        listed=[],
    )
    report = report_with(ledger=ledger, repeats=repeats)
    console = Console(width=120)
    with console.capture() as capture:
        console.print(demo_table(DemoResult(traffic, report)))
    return capture.get()


def test_the_table_explains_every_callback_that_was_not_answered_ok() -> None:
    """It shows the reason and whether the callback is stored; "100 %" means all of them."""
    text = printed(ok=99_999, not_ok={f"{CUT}, then {REFUSED}": 1}, stored=1, repeats=2)
    assert "99999 (99.99 %)" in text
    assert f"not answered OK: 1 ({CUT}, then {REFUSED} 1); stored although unanswered: 1" in text
    assert f"retried on the other replica: 7 ({REFUSED} 7)" in text
    assert "stored by both replicas: 2; each is one message, counted once" in text
    assert "300/s planned, 300.0/s reached\n" in text


def test_nothing_is_explained_if_all_are_answered_ok() -> None:
    """The table has only the shares then."""
    text = printed(ok=10, not_ok={}, stored=0, repeats=0)
    assert "10 (100 %)" in text
    assert "not answered OK" not in text
    assert "stored by both" not in text
