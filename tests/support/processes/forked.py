"""
Run programs in processes that are forked from one that has imported them.

Imports alone take 0.5 s of CPU time per command and 0.3 s per service, and the tests start some
hundreds of both. `hookline demo`, tests/docker, tests/unit and others start the installed programs.
"""

import ctypes
import gc
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerProcess
from multiprocessing.forkserver import ensure_running
from pathlib import Path

import pytest
from support.python_path import PYTHON_PATH

# A test process has one server that forks all of its processes.
_PRELOADED = (
    "support.processes.forked_services",
    "support.processes.killed_command",
    "support.processes.command_imports",
)
_PR_SET_PDEATHSIG = 1
# Only one thread may read the exit code from the pipe on which it comes. A start reads those of
# other processes, too.
_EXIT_CODES = threading.Lock()


def forked(target: Callable[..., None], arguments: Sequence[object]) -> ForkServerProcess:
    """Call `target` in a new process, which ends at the latest with this one."""
    context = multiprocessing.get_context("forkserver")
    with _EXIT_CODES, pytest.MonkeyPatch.context() as patched:
        context.set_forkserver_preload([*_PRELOADED])
        # Python 3.11 does not give it this process's sys.path, and ignores what it cannot import.
        patched.setenv("PYTHONPATH", PYTHON_PATH)
        ensure_running()
        process = context.Process(target=_checked, args=(target, *arguments), daemon=True)
        process.start()
    return process


def _checked(target: Callable[..., None], *arguments: object) -> None:
    missing = [name for name in _PRELOADED if name not in sys.modules]
    assert not missing, f"{missing} could not be imported before the fork"
    # A collection would copy the memory of all imported objects.
    gc.freeze()
    target(*arguments)


class ForkedProcess:
    """A process that behaves to its user like `subprocess.Popen`, as far as tests need it."""

    def __init__(
        self,
        function: str,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        stdout: Path,
        stderr: Path,
    ) -> None:
        """
        Call `function`, MODULE:NAME, in a new process, which ends at the latest with this one.

        Like a started program, it is in a session of its own, and `env` is all of its environment.
        """
        for output in (stdout, stderr):
            output.parent.mkdir(parents=True, exist_ok=True)
            output.touch()
        arguments = (function, [*argv], dict(env), Path.cwd(), (stdout, stderr))
        self._process = forked(_run, arguments)
        pid = self._process.pid
        assert pid is not None
        self.pid: int = pid

    @property
    def returncode(self) -> int | None:
        """The exit code, None while the process runs."""
        with _EXIT_CODES:
            return self._process.exitcode

    def poll(self) -> int | None:
        """Return the exit code, None while the process runs."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """
        Return the exit code when the process has ended.

        Raises:
            subprocess.TimeoutExpired: it runs after `timeout` seconds.
        """
        wait([self._process.sentinel], timeout)
        code = self.returncode
        if code is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(str(self._process), timeout)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


def _run(
    function: str,
    argv: list[str],
    env: dict[str, str],
    directory: Path,
    outputs: tuple[Path, Path],
) -> None:
    """Do in the new process what the start of a program would have done, and call `function`."""
    os.setsid()
    # The process that forks ends with that of the tests, and the kernel then kills this one.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.environ.clear()
    os.environ.update(env)
    os.chdir(directory)
    for number, path in enumerate(outputs, start=1):
        file = os.open(path, os.O_WRONLY | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    sys.argv = argv
    module, _, name = function.partition(":")
    getattr(import_module(module), name)()
