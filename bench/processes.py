"""Start processes of the product and of peers, and wait until a condition holds."""

import contextlib
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from ops.demo.embedded import child
from ops.demo.embedded.kafka import EmbeddedKafka
from ops.demo.embedded.postgres import EmbeddedPostgres
from ops.demo.embedded.valkey import EmbeddedValkey
from ops.demo.services import PREFIXES

PYTHON = (sys.executable, "-m")
READY_S_MAX = 180.0

Database = TypeVar("Database", EmbeddedPostgres, EmbeddedValkey)


def start(
    command: Sequence[str], variables: Mapping[str, str], log: Path
) -> subprocess.Popen[bytes]:
    """Start a Python module with its arguments; `variables` are its only Hookline settings."""
    return launch([*PYTHON, *command], variables, log)


def launch(
    command: Sequence[str], variables: Mapping[str, str], log: Path
) -> subprocess.Popen[bytes]:
    """Start a program with its arguments; `variables` are its only Hookline settings."""
    # Variables that the user's shell has set for other Hookline processes must not reach these.
    env = {name: value for name, value in os.environ.items() if not name.startswith(PREFIXES)}
    return child.start(command, log=log, env=env | dict(variables))


@contextlib.contextmanager
def stopping(server: Database) -> Iterator[Database]:
    """Yield a server that is up, and stop it on exit."""
    try:
        server.start()
        yield server
    finally:
        # A killed PostgreSQL would still write into its directory while that is removed.
        if server.process is not None:
            child.stop(server.process)


def until(
    holds: Callable[[], bool], what: str, timeout_s: float = READY_S_MAX, look_s: float = 0.05
) -> None:
    """
    Return when the condition holds; look every `look_s`.

    Raises:
        NotStarted: it does not hold within the time; the text names the condition.
    """
    deadline = time.monotonic() + timeout_s
    while not holds():
        if time.monotonic() > deadline:
            raise child.NotStarted(f"{what}: not within {timeout_s:g} s")
        time.sleep(look_s)


def broker_pids(kafka: EmbeddedKafka) -> list[int]:
    """Return the broker's process, if it runs."""
    broker = kafka.process
    return [broker.pid] if broker is not None and broker.poll() is None else []


def consumed(port: int) -> float:
    """Return the records that the consumer at an admin port has applied; 0 without an answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as response:
            metrics = response.read().decode()
    except OSError:
        return 0.0
    for line in metrics.splitlines():
        if line.startswith("consumer_records_total "):
            return float(line.split()[1])
    return 0.0
