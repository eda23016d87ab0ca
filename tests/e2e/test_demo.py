"""`hookline demo`: its output, its exit code, and Ctrl-C at any moment."""

import json
import os
import shlex
import signal
import time
import uuid
from pathlib import Path
from typing import Any

import pytest
from support.processes.blackbox import ANSWER_S_MAX, alive, hookline, start, until
from support.processes.command import run_hookline


@pytest.mark.timeout(600)
def test_the_demo_with_faults_proves_that_nothing_is_lost() -> None:
    """Exit 0, and two lines of JSON on stdout: addresses, result."""
    lines = hookline("demo", "--json", "--seconds", "8", "--rate", "100").splitlines()
    addresses, result = map(json.loads, lines)
    named = {"ingress", "admin", "kafka", "archive", "postgres", "stats", "spool", "sdkappid"}
    assert set(addresses) >= named | {"ingresses", "admins"}
    assert isinstance(addresses["sdkappid"], int)
    assert (result["ok"], result["missing"], result["doubled"]) == (True, 0, 0)
    assert result["answered_ok"] > 0
    assert share_but_for_slowness(result["traffic"]) >= 0.999, result["traffic"]["not_ok"]
    assert result["in_kafka"] >= result["answered_ok"]
    for sink in ("archived", "in_postgres", "counted"):
        assert result[sink] == result["in_kafka"]


def share_but_for_slowness(traffic: dict[str, Any]) -> float:
    """
    Return the share answered OK, or too late: kills cost no answer, a slow machine may.

    A callback with one reason was not sent to the other replica: its time was over.
    """
    late = sum(
        count
        for reason, count in traffic["not_ok"].items()
        if any(late in reason for late in ("no answer in time", "the disk takes longer"))
        or ", then " not in reason
    )
    return float((traffic["ok"] + late) / traffic["sent"])


@pytest.mark.timeout(600)
@pytest.mark.parametrize("after_s", [0.2, 1.0, 3.0, 7.0])
def test_ctrl_c_at_any_moment_leaves_no_process_behind(after_s: float) -> None:
    """Interrupt it while it imports, formats, starts, or sends; it says how to remove its files."""
    mark = uuid.uuid4().hex
    process = start(mark, "--seconds", "20")
    time.sleep(after_s)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=180)
    until(lambda: not alive(mark), "no process is left")
    assert process.returncode != 0
    assert ("starting Kafka" in said) == ("remove their files:  rm -r /tmp/hookline-demo-" in said)


@pytest.mark.timeout(600)
def test_a_demo_that_is_killed_takes_its_processes_with_it() -> None:
    """The kernel ends its child processes, even after SIGKILL."""
    mark = uuid.uuid4().hex
    process = start(mark, "--json", "--keep", "--no-faults", "--seconds", "0")
    try:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())
        # The demo itself, three servers, six services; PostgreSQL has children of its own.
        until(lambda: len(alive(mark)) >= 10, "all processes run")
    finally:
        process.kill()
        process.communicate()
    until(lambda: not alive(mark), "no process is left")


@pytest.mark.timeout(600)
def test_the_variables_that_the_demo_prints_lead_commands_to_it(tmp_path: Path) -> None:
    """No command needs an option that names a part."""
    mark, ledger = uuid.uuid4().hex, str(tmp_path / "ledger.jsonl")
    process = start(mark, "--keep", "--no-faults", "--seconds", "1")
    try:
        assert process.stderr is not None
        said = list(iter(process.stderr.readline, "Everything keeps running until Ctrl-C.\n"))
        exports = [line.split(maxsplit=1)[1] for line in said if line.startswith("  export ")]
        env = dict(shlex.split(line)[0].split("=", 1) for line in exports if "$PATH" not in line)
        patiently = ("--timeout", str(ANSWER_S_MAX))
        hookline("simulate", "--count", "20", "--ledger", ledger, *patiently, env=env)
        audited = hookline("audit", "--ledger", ledger, "--wait", "180", env=env)
        assert "ledger: 20 answered OK" in audited
        assert "proven: every callback is exactly once in Kafka, archive, PostgreSQL" in audited

        def all_answer() -> bool:
            state = json.loads(run_hookline("status", "--json", env=os.environ | env).stdout)
            parts = [*state["ingress"], *(p for c in state["consumers"] for p in c["processes"])]
            measured = [store["size_bytes"] for store in state["stores"]]
            return len(parts) == 5 and all(p["answers"] for p in parts) and None not in measured

        until(all_answer, "every part answers `hookline status`")
    finally:
        process.kill()
        process.communicate()
    until(lambda: not alive(mark), "no process is left")
