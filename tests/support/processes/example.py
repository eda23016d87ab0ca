"""A program of `examples/`, run as its README says."""

import asyncio
import os
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from support.processes.runtime_copy import with_runtime

EXAMPLES = Path(__file__).parents[3] / "examples"


class Example:
    """A copy of an example's folder, and the documented command that starts its program."""

    def __init__(self, name: str, program: str, folder: Path, here: Mapping[str, str]) -> None:
        """Copy `examples/NAME` to `folder`; `here` has what replaces texts of the command."""
        shutil.copytree(EXAMPLES / name, folder)
        self.folder = folder
        self.log = folder / "log"
        readme = (folder / "README.md").read_text()
        (command,) = re.findall(
            rf"^```sh\n(.* python {re.escape(program)})\n```$", readme, re.MULTILINE
        )
        for documented, replacement in here.items():
            assert documented in command
            command = command.replace(documented, replacement)
        # exec: a signal shall reach the process, not the shell before it.
        self._command = f"exec env {command}"

    async def start(self, **variables: str) -> asyncio.subprocess.Process:
        """Run it as its README says, with additional variables."""
        env = with_runtime(os.environ)
        with self.log.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *("bash", "-euc", self._command),
                cwd=self.folder,
                env=env | {"PATH": f"{Path(sys.executable).parent}:{env['PATH']}"} | variables,
                stderr=log,
            )
