"""The product from outside: a command, processes, ports, files. Imports nothing of the product."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

from support.processes.command import run_hookline
from support.python_path import PYTHON_PATH

# The places in which every callback answered OK must be, as `hookline audit --json` names them.
SINKS = ("kafka", "archive", "postgres", "counts")
# The kinds of messages that the statistics count separately.
KINDS = (
    "one_to_one_messages",
    "group_messages",
    "online_only",
    "undelivered",
    "by_app",
    "by_robots",
)
# The roles of people who count as active.
ACTIVE_ROLES = ("one_to_one_senders", "group_senders", "recipients")
# How long a simulated callback waits for its answer.
ANSWER_S_MAX = 60
HOOKLINE = str(Path(sys.executable).with_name("hookline"))
# Runs a command that Ctrl-C (SIGINT) ends even if the tests run in the background of a shell
# (`make test &`), where processes inherit that SIGINT is ignored.
INTERRUPTIBLE = ("env", "--default-signal=INT")


class Demo:
    """A running `hookline demo --json --keep` without traffic of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, f"the demo did not start: {process.communicate()[1]}"
        self.addresses: dict[str, Any] = json.loads(line)
        assert json.loads(process.stdout.readline())["ok"]
        self.logs = Path(self.addresses["logs"])
        # With what commands reach the demo's Kafka, beside its address.
        self.env: Mapping[str, str] = {}

    def pid(self, service: str) -> int:
        """Return the present process of a service."""
        return int((Path(self.addresses["pids"]) / service).read_text())

    def kill(self, service: str) -> None:
        """Kill a service with SIGKILL and return when the demo has started it again."""
        before = self.pid(service)
        os.kill(before, signal.SIGKILL)
        until(lambda: self.pid(service) != before, f"{service} is started again")

    def until_replicas_ready(self) -> None:
        """Return when every replica of the ingress takes callbacks."""
        for admin in self.addresses["admins"]:
            until(lambda url=f"{admin}/readyz": got(url) is not None, f"{admin} is ready")  # type: ignore[misc]

    def until_forwarding(self) -> None:
        """Return when every replica of the ingress forwards to Kafka."""

        def forwards(admin: str) -> bool:
            return bool(json.loads(got(f"{admin}/status") or b"{}").get("forwarding"))

        for admin in self.addresses["admins"]:
            until(lambda admin=admin: forwards(admin), f"{admin} forwards")  # type: ignore[misc]

    @contextlib.contextmanager
    def frozen(self, service: str) -> Iterator[None]:
        """Stop a service's process, and continue it on exit."""
        pid = self.pid(service)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def simulate(
        self, ledger: Path, *, rate: int, seconds: int, replicas: int = 2
    ) -> subprocess.Popen[str]:
        """
        Start traffic that no other test sends; its result is JSON on stdout.

        Each callback waits for its answer for longer than the vendor would, for a busy machine.
        """
        urls = self.addresses["ingresses"][:replicas]
        return subprocess.Popen(
            [
                *(HOOKLINE, "simulate", "--json", *_each("--url", urls)),
                *("--sdkappid", str(self.addresses["sdkappid"]), "--rate", str(rate)),
                *("--seconds", str(seconds), "--ledger", str(ledger)),
                *("--timeout", str(ANSWER_S_MAX)),
                *("--seed", str(time.time_ns())),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def audit(self, *options: str, expect: int = 0) -> dict[str, Any]:
        """Return the report of `hookline audit`."""
        printed = hookline(
            "audit",
            "--json",
            "--kafka",
            self.addresses["kafka"],
            *_each("--ingress", self.addresses["admins"]),
            "--archive",
            self.addresses["archive"],
            "--postgres",
            self.addresses["postgres"],
            "--stats",
            self.addresses["stats"],
            *options,
            expect=expect,
            env=self.env,
        )
        return dict(json.loads(printed))

    def verify(self) -> dict[str, Any]:
        """Return the report of `hookline archive verify`, which may miss malformed callbacks."""
        options = ("--json", "--archive", self.addresses["archive"])
        done = run_hookline("archive", "verify", *options, env=os.environ)
        assert done.returncode in (0, 3), done.stdout + done.stderr
        return dict(json.loads(done.stdout))


def got(url: str) -> bytes | None:
    """Return the body of an answer 200, None if there is none."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310 - our own URL
            return bytes(answer.read()) if answer.status == 200 else None
    except OSError:
        return None


def _each(option: str, values: list[str]) -> list[str]:
    return [argument for value in values for argument in (option, value)]


def hookline(
    *arguments: str,
    expect: int = 0,
    timeout_s: float = 300,
    env: Mapping[str, str] = MappingProxyType({}),
) -> str:
    """Run the command and return its stdout; another exit code than `expect` is an error."""
    done = run_hookline(*arguments, env=os.environ | env, timeout_s=timeout_s)
    assert done.returncode == expect, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


@contextlib.contextmanager
def demo() -> Iterator[Demo]:
    """Yield a running demo; on exit all its processes have ended."""
    with _running((sys.executable, "-m", "support.processes.patient_demo")) as running:
        yield running


@contextlib.contextmanager
def secured_demo(directory: Path) -> Iterator[Demo]:
    """Yield a running demo like `demo`, whose services use Kafka by SCRAM over TLS, with ACLs."""
    module = ("-m", "support.processes.secured_demo")
    with _running((sys.executable, *module, str(directory))) as running:
        running.env = json.loads((directory / "env.json").read_text())
        yield running


@contextlib.contextmanager
def _running(command: Sequence[str]) -> Iterator[Demo]:
    mark = uuid.uuid4().hex
    options = ("--json", "--keep", "--no-faults", "--seconds", "0")
    process = start(mark, *options, command=command)
    try:
        yield Demo(process)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=180)
    until(lambda: not alive(mark), "no process is left")


def start(
    mark: str, *options: str, command: Sequence[str] = (HOOKLINE, "demo")
) -> subprocess.Popen[str]:
    """Start a demo whose processes can be found by `mark`; it ends when the test process does."""
    return subprocess.Popen(
        [*INTERRUPTIBLE, "setpriv", "--pdeathsig", "KILL", "--", *command, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"MARKED_BY_TEST": mark, "PYTHONPATH": PYTHON_PATH},
    )


def alive(mark: str) -> list[int]:
    """Return the processes that inherited `mark`."""
    pids = []
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if mark.encode() in environment.read_bytes():
                pids.append(int(environment.parent.name))
    return pids


def shown_and_sent(
    totals: dict[str, Any], entries: list[dict[str, Any]]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the numbers of the statistics, and the same by the sender's ledger, all OK."""
    assert {entry["outcome"] for entry in entries} == {"ok"}
    by_command = Counter(entry["command"] for entry in entries)
    by_kind: Counter[str] = Counter()
    for entry in entries:
        by_kind.update(entry["sums"])
    people = {
        (entry["sdkappid"], account)
        for entry in entries
        for role, account in entry["people"]
        if role in ACTIVE_ROLES
    }
    sent = {
        **{kind: by_kind[kind] for kind in KINDS},
        "people": len(people),
        "people_error": 0.0,
        "repeats": 0,
        "by_command": dict(by_command),
    }
    return {name: totals[name] for name in sent}, sent


def until(holds: Callable[[], bool], what: str, seconds: float = 180) -> None:
    """Return when `holds`; after `seconds` fail with `what`."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"after {seconds:g} s it does not hold that {what}"
        time.sleep(0.05)
