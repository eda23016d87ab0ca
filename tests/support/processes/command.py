"""Run `hookline` in processes that are forked from one that has imported all commands."""

import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

from support.processes.forked import ForkedProcess


def run_hookline(
    *arguments: str, env: Mapping[str, str], timeout_s: float = 300, is_merged: bool = False
) -> subprocess.CompletedProcess[str]:
    """
    Run a command with `env` as all of its environment; return its exit code and its output.

    If `is_merged`, stdout has stderr's lines, too, as a terminal shows them.

    Raises:
        subprocess.TimeoutExpired: it was killed after `timeout_s`.
    """
    command = ["hookline", *arguments]
    with tempfile.TemporaryDirectory() as directory:
        stdout = Path(directory, "stdout")
        stderr = stdout if is_merged else Path(directory, "stderr")
        process = ForkedProcess("ops.cli:command", command, env=env, stdout=stdout, stderr=stderr)
        try:
            code = process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        return subprocess.CompletedProcess(
            command, code, stdout.read_text(), "" if is_merged else stderr.read_text()
        )
