"""
Child processes that cannot outlive their parent.

With `setpriv --pdeathsig KILL` the kernel kills a child when the thread that started it ends, so a
child must be started from the main thread. Each child has its own session: Ctrl-C reaches only the
parent, which then stops its children in order.
"""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from ops.failure import Failure

PORTS = (10_000, 32_768)
NOBODY = 65_534
START_TIMEOUT_S = 180.0


class ProgramMissing(Failure):
    """A program or package that an embedded part needs is not installed; the text says which."""


class NotStarted(Failure):
    """A server did not start; the text names its log."""


def start(
    command: Sequence[str | Path],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    options: Sequence[str] = (),
) -> subprocess.Popen[bytes]:
    """
    Start `command`; its output is appended to `log`. `options` are setpriv's.

    Raises:
        ProgramMissing: this machine has no setpriv (util-linux).
    """
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise ProgramMissing("setpriv is not installed; it comes with util-linux on every Linux")
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        return subprocess.Popen(  # noqa: S603 - the callers' own commands
            [setpriv, *options, "--pdeathsig", "KILL", "--", *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=None if env is None else dict(env),
            start_new_session=True,
        )


def stop(process: subprocess.Popen[bytes], *, timeout_s: float = 10.0) -> None:
    """Send SIGTERM to `process`, and SIGKILL after `timeout_s`. It is reaped on return."""
    process.terminate()
    try:
        process.wait(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def kill(process: subprocess.Popen[bytes]) -> None:
    """Kill `process` (SIGKILL). It is reaped on return."""
    process.send_signal(signal.SIGKILL)
    process.wait()


def until_up(
    launch: Callable[[], subprocess.Popen[bytes]], is_up: Callable[[], bool], *, log: Path
) -> None:
    """
    Launch a server and return when it is up.

    Raises:
        NotStarted: it ended, or is not up after START_TIMEOUT_S.
    """
    process = launch()
    deadline = time.monotonic() + START_TIMEOUT_S
    while not is_up():
        if process.poll() is not None:
            raise NotStarted(f"a server ended while it started; see {log}")
        if time.monotonic() > deadline:
            raise NotStarted(f"a server is not up after {START_TIMEOUT_S:g} s; see {log}")
        time.sleep(0.05)


class Server(Protocol):
    """An embedded server."""

    def start(self) -> None:
        """Start the server and return when it is up."""
        ...

    def kill(self) -> None:
        """Kill the server (SIGKILL)."""
        ...


Started = TypeVar("Started", bound=Server)


@contextlib.contextmanager
def running(server: Started) -> Iterator[Started]:
    """Yield a server that is up, and kill it on exit."""
    try:
        server.start()
        yield server
    finally:
        server.kill()


def listens(port: int) -> bool:
    """Return whether a server accepts connections at a port of the loopback."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def free_port() -> int:
    """
    Return a TCP port of the loopback on which no process listens, and reserve it.

    No other call of this function, in any process, returns it before this process ends. It is not
    one of those that the kernel gives to outgoing connections (from 32768 on): such a connection
    could take it while a killed service is down.
    """
    # Hypothesis gives the module's own generator the same seed in every process.
    chance = random.SystemRandom()
    while True:
        port = chance.randrange(*PORTS)
        reservation = socket.socket(socket.AF_UNIX)
        with socket.socket() as probe:
            try:
                # The kernel keeps names that begin with a zero byte until their socket is closed.
                reservation.bind(f"\0hookline-port-{port}")
                probe.bind(("127.0.0.1", port))
            except OSError:
                reservation.close()
                continue
        reservation.detach()  # open until this process ends
        return port


def cache_directory() -> Path:
    """Return the directory for downloads, which later runs use again ($XDG_CACHE_HOME/hookline)."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "hookline"
