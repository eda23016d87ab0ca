"""
Run `hookline` in processes that are forked from one with all imports, and kill them at a call.

A process that starts and imports by itself takes more than a second of CPU time. A kill point is a
number of calls of functions, in Python and in C: the process kills itself at the beginning of that
call. So a point may be between any two effects of the command.
"""

import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

from support.processes.forked import forked

from ops.cli import main

_COUNT = "calls counted: "


def run_forked(
    arguments: Sequence[str],
    env: Mapping[str, str],
    log: Path,
    *,
    counted_from: Sequence[str],
    kill_at: int = 0,
) -> int:
    """
    Run the command; return its exit code, -SIGKILL after a kill. Its output is in `log`.

    Calls are counted from the first one of a function in `counted_from` on, each MODULE:NAME; if
    `kill_at` is 0, they are only counted.
    """
    process = forked(_run, (arguments, dict(env), log, counted_from, kill_at))
    process.join()
    code = process.exitcode
    process.close()
    assert code is not None
    return code


def calls_counted(log: Path) -> int:
    """Return the number of calls of a run that was not killed."""
    (line,) = [line for line in log.read_text().splitlines() if line.startswith(_COUNT)]
    return int(line.removeprefix(_COUNT))


def _run(
    arguments: Sequence[str], env: dict[str, str], log: Path, names: Sequence[str], kill_at: int
) -> None:
    os.environ.update(env)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    counter = _Counter(frozenset(names), kill_at)
    sys.setprofile(counter.on_call)
    try:
        code = main(list(arguments), standalone_mode=False)
    finally:
        sys.setprofile(None)
        os.write(1, f"{_COUNT}{counter.count}\n".encode())
    sys.exit(code)


class _Counter:
    """Counts calls; kills the process at number `kill_at`."""

    def __init__(self, names: frozenset[str], kill_at: int) -> None:
        self.count = 0
        self._names = names
        self._functions = frozenset(name.rpartition(":")[2] for name in names)
        self._kill_at = kill_at

    def on_call(self, frame: FrameType, event: str, _argument: Any) -> None:
        """Count a call of a function in Python or in C."""
        if event not in ("call", "c_call"):
            return
        # The name alone first: before the first of them, this is all the work.
        name = frame.f_code.co_name
        if self.count or (name in self._functions and _name(frame) in self._names):
            self.count += 1
            if self.count == self._kill_at:
                os.kill(os.getpid(), signal.SIGKILL)


def _name(frame: FrameType) -> str:
    return f"{frame.f_globals.get('__name__')}:{frame.f_code.co_name}"
