"""
Child processes that surely die with their parent.

`setpriv --pdeathsig KILL` has the kernel end the child when the thread that started it ends, so a
child must be started from the main thread. Each has a session of its own: Ctrl-C reaches the parent
alone, which then stops its children in order.
"""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

PORTS = (10_000, 32_768)


class Missing(Exception):
    """A program or package that an embedded part needs is not installed; the text says which."""


def start(
    command: Sequence[str | Path], *, log: Path, env: Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """
    Start `command`; its output is appended to `log`.

    Raises:
        Missing: this machine has no setpriv (util-linux).
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise Missing("setpriv is not installed; it comes with util-linux on every Linux")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603 - the callers' own commands
            [setpriv, "--pdeathsig", "KILL", "--", *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=None if env is None else dict(env),
            start_new_session=True,
        )


def stop(process: subprocess.Popen[bytes], *, timeout_s: float = 10.0) -> None:
    """Ask `process` to end, and end it for sure after `timeout_s`. Reaped on return."""
    process.terminate()
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def kill(process: subprocess.Popen[bytes]) -> None:
    """End `process` as a crash would (SIGKILL). Reaped on return."""
    process.send_signal(signal.SIGKILL)
    process.wait()


def free_port() -> int:
    """
    Return a TCP port of the loopback that was free just now.

    Not one of those that the kernel gives to outgoing connections (from 32768 on): such a
    connection could take it while a killed service is down.
    """
    while True:
        port = random.randrange(*PORTS)  # noqa: S311 - no secret
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def cache_directory() -> Path:
    """Return the folder that downloads are kept in across runs ($XDG_CACHE_HOME/hookline)."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "hookline"
