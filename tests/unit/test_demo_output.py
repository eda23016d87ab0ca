"""The demo's table: shares are rounded down, and every callback without an OK has its reason."""

import io
import subprocess
from collections import Counter
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from support.reports import report_with

from ops import terminal
from ops.audit.ledger_report import LedgerReport
from ops.demo.demo import DemoResult
from ops.demo.output import (
    address_lines,
    archive_line,
    demo_table,
    export_lines,
    status_line,
    variables,
)
from ops.demo.services import StackAddresses
from ops.simulate.ledger import Outcome
from ops.simulate.output import traffic_table
from ops.simulate.result import TrafficResult

ADDRESSES = [field.name for field in fields(StackAddresses)]
REFUSED, CUT = "connection refused", "connection cut before the answer"


def printed(*, ok: int, not_ok: dict[str, int], stored: int, repeats: int, late: int = 0) -> str:
    """Return the demo's table as text."""
    unanswered = sum(not_ok.values())
    traffic = TrafficResult(
        planned_rate=300,
        answers=Counter({Outcome.OK: ok, Outcome.UNANSWERED: unanswered}),
        not_ok=Counter(not_ok),
        second_tries=Counter({REFUSED: 7}),
        latencies_ms=[4.0] * (ok - late) + [2001.0] * late,
        sending_s=(ok + unanswered) / 300,
    )
    ledger = LedgerReport(
        sent=ok + unanswered,
        ok=ok,
        other_answer=0,
        other_answer_but_stored=0,
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
    assert f"not answered OK: 1 ({CUT}, then {REFUSED} 1); stored nevertheless: 1" in text
    assert f"retried on the other replica: 7 ({REFUSED} 7)" in text
    assert "stored by both replicas: 2; each is one message, counted once" in text
    assert "300/s planned, 300.0/s reached\n" in text


def test_nothing_is_explained_if_all_are_answered_ok() -> None:
    """The table has only the shares then."""
    text = printed(ok=10, not_ok={}, stored=0, repeats=0)
    assert "10 (100 %)" in text
    assert "not answered OK" not in text
    assert "stored by both" not in text


def test_an_ok_that_came_too_late_for_the_vendor_is_not_an_answer() -> None:
    """The share has only those in time, and a line says how many were late."""
    text = printed(ok=10, not_ok={}, stored=0, repeats=0, late=3)
    assert "7 (70 %)" in text
    assert "answered OK too late: 3 waited longer than 2000 ms; the vendor would have given" in text
    late = TrafficResult(answers=Counter([Outcome.OK]), latencies_ms=[2001.0])
    console = Console(width=200)
    with console.capture() as capture:
        console.print(traffic_table(late))
    assert "answered OK too late: 1 waited" in capture.get()
    assert late.as_dict()["ok_in_time"] == 0


def test_a_demo_that_sent_nothing_proves_nothing() -> None:
    """An empty pipeline has no fault, and that is not a proof."""
    text = printed(ok=0, not_ok={}, stored=0, repeats=0)
    assert "nothing to prove: no callback was stored" in text
    assert "%" not in text
    assert "proven" not in text.replace("nothing to prove", "")


def test_addresses_and_commands_are_whole_on_a_narrow_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """People copy them: nothing is cut or broken at 80 columns, piped or not."""
    written = io.StringIO()
    monkeypatch.setattr(terminal, "_err", Console(file=written, width=80))
    long = "a" * 100
    made: dict[str, Any] = dict.fromkeys(ADDRESSES, long)
    made |= dict.fromkeys(("ingresses", "admins", "consumers"), (long, long))
    addresses = StackAddresses(**made)
    lines = [*address_lines(addresses), *export_lines(addresses)]
    lines += [archive_line(addresses), status_line(addresses)]
    terminal.say_whole(lines)
    assert written.getvalue().splitlines() == lines
    assert f"status --ingress {long},{long} --consumers {long},{long} --stats {long}" in lines[-1]


def test_every_server_is_named_with_the_variables_that_lead_to_it(tmp_path: Path) -> None:
    """A shell that runs the lines has the values; blanks and quotes in a path do no harm."""
    made: dict[str, Any] = {name: f"the {name}'s $address" for name in ADDRESSES}
    made |= {name: (f"{name}1", f"{name}2") for name in ("ingresses", "admins")}
    made |= {"consumers": ("archive=a", "sync=s", "counters=c")}
    addresses = StackAddresses(**made)
    listed = "\n".join(address_lines(addresses))
    for server in ("kafka", "archive", "postgres", "valkey", "stats", "spool", "ledger", "logs"):
        assert made[server] in listed
    for admin in ("a/status", "s/status", "c/status", "admins1/status", "admins2/status"):
        assert admin in listed
    commands = [line for line in export_lines(addresses) if line.startswith("  export ")]
    script = "\n".join(
        [*commands, 'printf "%s\\0" ' + " ".join(f'"${n}"' for n in variables(addresses))]
    )
    shell = subprocess.run(
        ["/bin/bash", "-euc", script], capture_output=True, check=True, text=True, cwd=tmp_path
    )
    assert shell.stdout.split("\0")[:-1] == list(variables(addresses).values())
