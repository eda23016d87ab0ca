"""A program of examples/subscribers, installed and run as the README there says."""

import asyncio
import os
import re
import shutil
import signal
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from support.processes.ingress import until
from support.processes.runtime_copy import with_runtime

from ops.demo.embedded.child import free_port
from ops.demo.embedded.jars import jars

FOLDER = Path(__file__).parents[3] / "examples" / "subscribers"
# The group that the README names. Each test has a broker without groups.
GROUP = "my-team"
# The tools that the programs of a language need on this machine, and their packages. Three
# processes test two languages each, first those that take long to install or compile.
TOOLS = {
    "go": {"go": "Go 1.26 or newer"},
    "python": {},
    "typescript": {"node": "Node.js 20.10 or newer", "npm": "Node.js 20.10 or newer"},
    "kcat": {"kcat": "kcat", "jq": "jq"},
    "java": {"java": "openjdk-17-jdk-headless", "javac": "openjdk-17-jdk-headless"},
    "python_runtime": {},
}
LANGUAGES = tuple(TOOLS)


def missing_tools() -> list[str]:
    """Return the programs that the tests need and this machine lacks, with the way to get them."""
    return [
        f"{name} (install: {package})"
        for tools in TOOLS.values()
        for name, package in tools.items()
        if shutil.which(name) is None
    ]


class Program:
    """A copy of a language's folder in which members of one group run."""

    def __init__(self, language: str, folder: Path, bootstrap_servers: str) -> None:
        self.language, self.folder = language, folder
        self._bootstrap_servers = bootstrap_servers
        self.log = folder.with_suffix(".log")
        shutil.copytree(FOLDER / language, folder)
        *self._installs, self._run = _blocks(language)

    async def install(self) -> None:
        """Run the README's commands that install packages and compile."""
        if self.language == "java":
            (self.folder / "lib").mkdir()
            for jar in jars(self.folder / "clients.jars"):
                (self.folder / "lib" / jar.name).symlink_to(jar)
        for block in self._installs:
            process = await self._start(f"set -e\n{block}")
            assert await asyncio.wait_for(process.wait(), 600) == 0, self.log.read_text()

    @contextmanager
    def members(self) -> "Iterator[Members]":
        """Yield the group's members; kill those that run at the end."""
        members = Members(self)
        try:
            yield members
        finally:
            members.kill_all()

    async def start(self, script: str = "exec COMMAND") -> asyncio.subprocess.Process:
        """Start a member by the README's command, in a script."""
        command = self._run.replace("127.0.0.1:9094", self._bootstrap_servers)
        command = f"env {command.replace('8094', str(free_port()))}".rstrip()
        return await self._start(script.replace("COMMAND", command))

    async def _start(self, script: str) -> asyncio.subprocess.Process:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        env = with_runtime(os.environ | {"PATH": path})
        with self.log.open("ab") as log:
            return await asyncio.create_subprocess_exec(
                *("bash", "-c", script),
                cwd=self.folder,
                env=env,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    @property
    def exit_code(self) -> int:
        """The exit code after SIGTERM: a JVM that has run its shutdown hooks ends with 143."""
        return 143 if self.language == "java" else 0

    @property
    def uses_the_group(self) -> bool:
        """Whether Kafka shares the partitions; the program for kcat does it by locks of its own."""
        return self.language != "kcat"

    def effects(self) -> list[tuple[str, bytes]]:
        """Return each kept message with its ce_id, in a list: it also has double rows."""
        if self.language.startswith("python"):
            return sorted(self._rows("ce_id, body", timeout_s=180))
        return sorted((path.name, path.read_bytes()) for path in self._files())

    def kept(self) -> set[str]:
        """Return the ce_id of each kept message; nothing if a stopped member locks the database."""
        if not self.language.startswith("python"):
            return {path.name for path in self._files()}
        try:
            return {ce_id for (ce_id,) in self._rows("ce_id", timeout_s=0)}
        except sqlite3.OperationalError:
            return set()

    def _files(self) -> list[Path]:
        effects = (self.folder / "effects").glob("*")
        return [path for path in effects if path.suffix != ".part"]

    def _rows(self, columns: str, timeout_s: float) -> list[Any]:
        file = self.folder / "messages.db"
        if not file.exists():
            return []
        with closing(sqlite3.connect(file, timeout=timeout_s)) as connection:
            has_table = "select 1 from sqlite_master where name = 'messages'"
            if not connection.execute(has_table).fetchone():
                return []
            return connection.execute(f"select {columns} from messages").fetchall()  # noqa: S608

    def positions(self) -> dict[int, int]:
        """Return the positions by partition that the program for kcat keeps."""
        files = (self.folder / "positions").glob("[0-9]")
        return {int(path.name): int(path.read_text()) for path in files}


class Members:
    """The processes of a program; each has a process group of its own."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._processes: list[asyncio.subprocess.Process] = []

    async def add(self, script: str = "exec COMMAND") -> asyncio.subprocess.Process:
        """Start one more."""
        process = await self._program.start(script)
        self._processes.append(process)
        return process

    async def until_amid(self, process: asyncio.subprocess.Process, messages: set[str]) -> bool:
        """
        Run a member in steps of milliseconds until it has kept some of these messages.

        Return whether it has messages left. It is stopped then, so that it cannot keep more of them
        before it is killed; a member that has none left runs.
        """
        kept: set[str] = set()

        def stopped_after_some() -> bool:
            os.killpg(process.pid, signal.SIGSTOP)
            kept.update(messages & self._program.kept())
            if not kept or kept == messages:
                os.killpg(process.pid, signal.SIGCONT)
            return bool(kept)

        await until(stopped_after_some, f"{self._program.language} begins the batch")
        return kept != messages

    def kill(self, process: asyncio.subprocess.Process) -> None:
        """Kill a process and its children by SIGKILL."""
        os.killpg(process.pid, signal.SIGKILL)
        self._processes.remove(process)

    def kill_all(self) -> None:
        """Kill the processes that run."""
        for process in [*self._processes]:
            if process.returncode is None:
                self.kill(process)

    async def stop(self) -> None:
        """Send SIGTERM to each process; each must end as programs that end by themselves do."""
        for process in self._processes:
            assert process.returncode is None, self._program.log.read_text()
            process.terminate()
        for process in self._processes:
            await asyncio.wait_for(process.wait(), 180)
        codes = [process.returncode for process in self._processes]
        assert set(codes) == {self._program.exit_code}, (
            f"{codes}\n{self._program.log.read_text()[-3000:]}"
        )

    async def until_gone(self, process: asyncio.subprocess.Process) -> None:
        """Return when no process of an ended member's process group is left."""

        def gone() -> bool:
            try:
                os.killpg(process.pid, 0)
            except ProcessLookupError:
                return True
            return False

        await until(gone, f"the processes of {self._program.language} have ended")

    async def until_kept(self, expected: set[str]) -> None:
        """Return when all of these messages are kept."""

        def kept() -> bool:
            codes = [process.returncode for process in self._processes]
            assert codes == [None] * len(codes), f"exit codes {codes}"
            return expected <= self._program.kept()

        await until(kept, f"{self._program.language} keeps {len(expected)} messages")


def _blocks(language: str) -> list[str]:
    """Return the commands of the README's section that links to the folder of a language."""
    sections = re.split("^## ", (FOLDER / "README.md").read_text(), flags=re.MULTILINE)
    (section,) = (text for text in sections if f"]({language}/" in text)
    return re.findall(r"^```sh\n(.*?)^```$", section, re.DOTALL | re.MULTILINE)
