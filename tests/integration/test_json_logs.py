"""Every line that a service writes is a JSON object, also if it cannot start or has a bug."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from support.processes.blackbox import until

from ops.demo.embedded import child

SECRET = "whsec_" + 43 * "A" + "="
PASSWORD = "a-password-of-the-test"  # noqa: S105 - it must not be logged
SERVICES = {
    "ingress": ["ingress"],
    "archive": ["consumers", "archive"],
    "sync": ["consumers", "sync"],
    "counters": ["consumers", "counters"],
    "webhook": ["consumers", "webhook"],
    "stats": ["consumers.stats"],
}
# What each of them logs when it has noticed that nothing can be reached.
UNREACHABLE = dict.fromkeys(SERVICES, "waits for Kafka") | {
    "ingress": "callbacks wait on disk",
    "stats": "the API listens",
}


def environment(folder: Path, ports: Mapping[str, int]) -> dict[str, str]:
    """Return the settings of all services; no server listens where Kafka and the sinks should."""
    (folder / "secret").write_text(SECRET)
    inherited = {
        name: os.environ[name] for name in ("PATH", "PYTHONPYCACHEPREFIX") if name in os.environ
    }
    return inherited | {
        "HOOKLINE_LOG_FORMAT": "json",
        "HOOKLINE_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "INGRESS_SPOOL_DIR": str(folder / "spool"),
        "INGRESS_SDKAPPIDS": "1400000001",
        "INGRESS_PORT": str(ports["ingress"]),
        "INGRESS_ADMIN_PORT": str(ports["admin"]),
        "INGRESS_UNREADY_S": "0",
        "ARCHIVE_URL": str(folder / "archive"),
        "SYNC_POSTGRES": f"postgresql://hookline:{PASSWORD}@127.0.0.1:1/hookline",
        "COUNTERS_VALKEY": f"valkey://user:{PASSWORD}@127.0.0.1:1/0",
        "WEBHOOK_NAME": "crm",
        "WEBHOOK_URL": "http://127.0.0.1:1/",
        "WEBHOOK_SECRETS_FILE": str(folder / "secret"),
        "STATS_VALKEY": f"valkey://user:{PASSWORD}@127.0.0.1:1/0",
        "STATS_PORT": str(ports["stats"]),
    }


class Runs:
    """One process of each service, all at once, with what they write."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self.logs = {name: folder / f"{name}.log" for name in SERVICES}
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        for name, module in SERVICES.items():
            own = {"CONSUMER_ADMIN_PORT": env.get("TAKEN") or str(child.free_port())}
            with self.logs[name].open("wb") as output:
                self.processes[name] = subprocess.Popen(
                    [sys.executable, "-m", *module],
                    stdout=output,
                    stderr=output,
                    env={**env, **own},
                )

    def ended(self) -> dict[str, int]:
        """Return the exit codes, once all have ended."""
        return {name: process.wait(180) for name, process in self.processes.items()}

    def entries(self, name: str) -> list[dict[str, Any]]:
        """Return the entries of a log, which has nothing else."""
        entries = [json.loads(line) for line in self.logs[name].read_text().splitlines()]
        assert entries, name
        for entry in entries:
            assert {"time", "level", "logger", "message"} <= entry.keys()
        return entries


@contextmanager
def running(folder: Path, **changes: str) -> Iterator[Runs]:
    """Run all services; none of them is left on exit."""
    ports = {name: child.free_port() for name in ("ingress", "admin", "stats")}
    runs = Runs(folder, environment(folder, ports) | changes)
    try:
        yield runs
    finally:
        for process in runs.processes.values():
            process.kill()
            process.wait()


@pytest.mark.timeout(600)
def test_faults_of_the_settings_are_entries(tmp_path: Path) -> None:
    """Also if the fault is in the setting of the log itself."""
    with running(tmp_path, HOOKLINE_LOG_LEVEL="LOUD", HOOKLINE_LOG_FORMAT="xml") as runs:
        assert set(runs.ended().values()) == {1}
        for name in SERVICES:
            (entry,) = runs.entries(name)
            assert "cannot start" in entry["message"]
            assert "HOOKLINE_LOG_LEVEL must be DEBUG" in entry["message"]
            assert entry["level"] == "CRITICAL"


@pytest.mark.timeout(600)
def test_a_port_that_is_in_use_is_an_entry(tmp_path: Path) -> None:
    """The settings are the entry before it; they are an object, without secrets."""
    with ExitStack() as opened:
        taken = opened.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = str(taken.getsockname()[1])
        changes = {"INGRESS_ADMIN_PORT": port, "STATS_PORT": port, "TAKEN": port}
        runs = opened.enter_context(running(tmp_path, **changes))
        assert set(runs.ended().values()) == {1}
        for name in SERVICES:
            first, *_, last = runs.entries(name)
            assert first["settings"]["HOOKLINE_BOOTSTRAP_SERVERS"] == "127.0.0.1:1"
            assert f"_PORT: another process uses 127.0.0.1:{port}; stop it" in last["message"], last
            assert PASSWORD not in runs.logs[name].read_text()
        assert runs.entries("sync")[0]["settings"]["SYNC_POSTGRES"] == "***"
        assert runs.entries("ingress")[0]["settings"]["INGRESS_SDKAPPIDS"] == ["1400000001"]


@pytest.mark.timeout(600)
def test_an_outage_of_everything_is_logged_as_entries(tmp_path: Path) -> None:
    """Until the end by SIGTERM."""
    with running(tmp_path) as runs:
        for name, text in UNREACHABLE.items():
            log = runs.logs[name]
            until(lambda log=log, text=text: text in log.read_text(), f"{name} logs {text!r}")  # type: ignore[misc]
        for process in runs.processes.values():
            process.send_signal(signal.SIGTERM)
        assert set(runs.ended().values()) == {0}
        for name in SERVICES:
            runs.entries(name)


BUGS = """
import asyncio, logging, threading, warnings
from schemas.process import run_process

class Unraisable:
    def __del__(self):
        raise ValueError("unraisable")

async def fail():
    raise LookupError("never retrieved")

def in_thread():
    raise KeyError("in a thread")

async def run():
    warnings.warn("a warning", UserWarning)
    Unraisable()
    thread = threading.Thread(target=in_thread)
    thread.start()
    thread.join()
    logging.getLogger("aiohttp.server").error("%d", "not a number")
    failed = asyncio.create_task(fail())
    await asyncio.sleep(0.01)
    del failed
    asyncio.sleep(0)
    raise RuntimeError("a bug")

def start(shared, kafka):
    return run()

run_process("The service", "Runs.", {}, start)
"""


def test_bugs_and_warnings_are_entries() -> None:
    """In the main task, in others, in threads, in finalizers, and in calls of the log itself."""
    ran = subprocess.run(
        [sys.executable, "-c", BUGS],
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
        env={},
    )
    assert (ran.returncode, ran.stdout) == (1, "")
    entries = [json.loads(line) for line in ran.stderr.splitlines()]
    logged = "\n".join(f"{entry['message']} {entry.get('traceback')}" for entry in entries)
    for text in (
        "a warning",
        "unraisable",
        "in a thread",
        "not a number",
        "never retrieved",
        "was never awaited",
        "RuntimeError: a bug",
    ):
        assert text in logged, text
