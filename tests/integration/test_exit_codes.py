"""Only a result of the audit ends with the exit code of a loss, a failure of the program never."""

import asyncio
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from support.processes.blackbox import HOOKLINE, INTERRUPTIBLE
from support.reports import report_with

from ops import cli
from ops.audit import command as audit_command
from ops.audit.report import Report
from ops.failure import ExitCode


def a_report(**faults: int) -> Report:
    """Return a report with these numbers of faults."""
    doubts = {"o": "why"} if faults.get("doubts") else {}
    return report_with(different=faults.get("different", 0), doubts=doubts)


def ended(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int | str | None:
    """Return the exit code of the command line."""
    monkeypatch.setattr(sys, "argv", ["hookline", *arguments])
    with pytest.raises(SystemExit) as end:
        cli.command()
    return end.value.code


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (a_report(), 0),
        (a_report(different=1), ExitCode.FAULT),
        (a_report(doubts=1), ExitCode.INCOMPLETE),
        (a_report(different=1, doubts=1), ExitCode.FAULT),
        (KeyError("a bug"), ExitCode.BUG),
        (MemoryError(), ExitCode.BUG),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED),
        (asyncio.CancelledError(), ExitCode.INTERRUPTED),
    ],
)
def test_each_result_of_an_audit_has_its_exit_code(
    outcome: Report | BaseException,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Neither a bug nor Ctrl-C looks like a loss."""

    async def audited(*_: object, **__: object) -> Report:
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    monkeypatch.setattr(audit_command, "_audit", audited)
    arguments = ("audit", "--archive", str(tmp_path), "--ingress", "http://127.0.0.1:1", "--json")
    assert ended(monkeypatch, *arguments) == code


def test_the_exit_codes_stay_as_they_are() -> None:
    """They are public: docs/audit.md lists them."""
    assert {code.name: code.value for code in ExitCode} == {
        "OK": 0,
        "FAULT": 1,
        "UNREADABLE": 2,
        "INCOMPLETE": 3,
        "DEAD_LETTERED": 4,
        "WARNING": 5,
        "WRONG": 6,
        "BUG": 70,
        "INTERRUPTED": 130,
    }


@pytest.mark.parametrize(
    "arguments",
    [
        ["audit"],
        ["audit", "--archive", "."],
        ["audit", "--archive", ".", "--ingress", "127.0.0.1:8081"],
        ["audit", "--archive", ".", "--ingress", "http://127.0.0.1:8081", "--stats", "there"],
        ["audit", "--archive", ".", "--spool", "."],
        ["what"],
    ],
)
def test_a_wrong_command_line_is_not_a_loss(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A directory without spools counts as a wrong command line, too."""
    monkeypatch.chdir(tmp_path)
    assert ended(monkeypatch, *arguments) == ExitCode.UNREADABLE


def test_help_is_a_success(monkeypatch: pytest.MonkeyPatch) -> None:
    """`--version` is a success, too."""
    assert ended(monkeypatch, "audit", "--help") == 0
    assert ended(monkeypatch, "--version") == 0


UNPROVEN_AUDIT = """
import sys
from ops import cli
from ops.audit import command
from ops.audit.report import Report

async def audit(*_, **__):
    return Report(
        origins=[], ledger=None, statistics={}, days=None, repeats=0, foreign=0,
        different=0, different_listed=[], doubts={"o": "why"}, quarantined={}, not_audited=[],
    )

command._audit = audit
sys.argv[1:] = ["audit", "--archive", ".", "--ingress", "http://x"]
cli.command()
"""


def test_a_closed_pipe_does_not_change_the_exit_code(tmp_path: Path) -> None:
    """`hookline audit | head` ends as `hookline audit` does; here it is incomplete."""
    process = subprocess.Popen(
        [sys.executable, "-c", UNPROVEN_AUDIT],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()
    _, said = process.communicate(timeout=180)
    assert process.returncode == ExitCode.INCOMPLETE, said


def test_an_interrupted_command_ends_as_interrupted() -> None:
    """It is interrupted while it waits for an answer."""
    with socket.create_server(("127.0.0.1", 0)) as ingress:
        url = f"http://127.0.0.1:{ingress.getsockname()[1]}/"
        process = subprocess.Popen(
            [*INTERRUPTIBLE, HOOKLINE, "simulate", "--url", url, "--sdkappid", "1"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        ingress.settimeout(180)
        connection, _ = ingress.accept()
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=180)
        connection.close()
    assert process.returncode == ExitCode.INTERRUPTED
