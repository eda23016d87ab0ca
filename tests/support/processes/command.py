"""
Run `hookline` in processes that are forked from one that has imported all commands.

The start of a command of its own takes half a second of CPU time, for imports alone.
tests/unit/test_mistakes.py and others start the installed program.
"""

import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path


def run_hookline(
    *arguments: str, env: Mapping[str, str], timeout_s: float = 300, is_merged: bool = False
) -> subprocess.CompletedProcess[str]:
    """
    Run a command with `env` as all of its environment; return its exit code and its output.

    If `is_merged`, stdout has stderr's lines, too, as a terminal shows them.

    Raises:
        subprocess.TimeoutExpired: it was killed after `timeout_s`.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__, "support.processes.command_imports"])
    with tempfile.TemporaryDirectory() as directory:
        stdout = Path(directory, "stdout")
        stderr = stdout if is_merged else Path(directory, "stderr")
        process = context.Process(
            target=_run, args=(arguments, dict(env), Path.cwd(), stdout, stderr)
        )
        process.start()
        process.join(timeout_s)
        code = process.exitcode
        if code is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired(["hookline", *arguments], timeout_s)
        process.close()
        return subprocess.CompletedProcess(
            ["hookline", *arguments],
            code,
            stdout.read_text(),
            "" if is_merged else stderr.read_text(),
        )


def _run(
    arguments: tuple[str, ...], env: dict[str, str], directory: Path, stdout: Path, stderr: Path
) -> None:
    os.environ.clear()
    os.environ.update(env)
    os.chdir(directory)
    for number, path in ((1, stdout), (2, stderr)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(file, number)
        os.close(file)
    sys.argv = ["hookline", *arguments]
    from ops.cli import command  # noqa: PLC0415 - so the tests' own processes import no commands

    command()
