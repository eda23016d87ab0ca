"""Run every command of docs/subscribe.md unchanged, in the order in which a team runs them."""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from support.docs_blocks import ROOT, SUBSCRIBE, blocks_of
from support.kafka.parts import in_topic
from support.processes.ingress import Ingress, until

from ops.demo.embedded.child import free_port
from ops.demo.embedded.kafka import EmbeddedKafka
from schemas.topics import CALLBACKS, DEAD_LETTERS

OWN_DEAD_LETTERS = "my-team.dead.v1"


class Team:
    """A team's shell: an empty folder with a clone of this repository, and the blocks to run."""

    def __init__(self, folder: Path, kafka: EmbeddedKafka, ingress: Ingress) -> None:
        (folder / "hookline").symlink_to(ROOT)
        self._folder = folder
        self._ran: set[str] = set()
        programs = Path(sys.executable).parent
        self._here = {
            "127.0.0.1:9092": kafka.address,
            "127.0.0.1:8080": f"127.0.0.1:{ingress.port}",
            "8092": str(free_port()),
            "hookline/.venv/bin/hookline": str(programs / "hookline"),
        }
        self._env = os.environ | {
            "PATH": f"{programs}:{os.environ['PATH']}",
            # Packages of this run in place of a registry's. Its own packages are not among them.
            "PYTHONPATH": sysconfig.get_path("purelib"),
            # Despite its name, pip reads the value as that of the opposite option.
            "PIP_NO_BUILD_ISOLATION": "0",
            "PIP_NO_INDEX": "1",
        }

    def _take(self, part: str) -> str:
        """Return the only block that contains `part`, with the addresses of this test."""
        (block,) = [block for block in blocks_of(SUBSCRIBE, "sh") if part in block]
        self._ran.add(block)
        for documented, here in self._here.items():
            block = block.replace(documented, here)
        active = ". venv/bin/activate\n" if (self._folder / "venv").exists() else ""
        return active + block

    def run(self, part: str) -> str:
        """Run a block to its end and return its output."""
        ran = subprocess.run(
            ("/bin/bash", "-euc", self._take(part)),
            cwd=self._folder,
            env=self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=300,
            check=False,
        )
        assert ran.returncode == 0, f"{part}\n{ran.stdout}"
        return ran.stdout

    @contextmanager
    def running(self, part: str) -> Iterator[Callable[[], bool]]:
        """Run a block whose program runs until it is stopped; yield whether it runs."""
        log = self._folder / "program.log"
        # exec: the signal shall reach the program, not the shell before it.
        *before, program = self._take(part).replace("\\\n", "").rstrip().split("\n")
        script = "\n".join([*before, f"exec env {program}"])
        with log.open("ab") as file:
            process = subprocess.Popen(
                ("/bin/bash", "-euc", script),
                cwd=self._folder,
                env=self._env,
                stdout=file,
                stderr=file,
            )

        def runs() -> bool:
            assert process.poll() is None, log.read_text()
            return True

        try:
            yield runs
            process.send_signal(signal.SIGTERM)
            assert process.wait(180) == 0, log.read_text()
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            process.wait()

    def skip(self, part: str) -> None:
        """Leave out a block whose program this machine does not have."""
        self._take(part)

    def has_run_everything(self) -> bool:
        """Return whether every block of the page was run."""
        return self._ran == set(blocks_of(SUBSCRIBE, "sh"))


@pytest.mark.timeout(900)
async def test_another_team_gets_from_nothing_to_a_subscriber(
    empty_kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    """First record, subscriber, repeats, a broken record, a topic of dead letters of its own."""
    folder = tmp_path / "team"
    folder.mkdir()
    ingress = Ingress(tmp_path / "spools", empty_kafka.address)
    await ingress.start()
    team = Team(folder, empty_kafka, ingress)
    try:
        await asyncio.to_thread(team.run, "--count 200")
        await ingress.until_forwarded()
        await asyncio.to_thread(the_first_record, team)
        await asyncio.to_thread(team.run, "pip install")
        with team.running("days.db CONSUMER_ADMIN_PORT=8092 python") as runs:
            await until(lambda: runs() and counted(team) == 200, "the first records are counted")
            await asyncio.to_thread(team.run, "/readyz")
        await asyncio.to_thread(team.run, "mine.jsonl")
        await ingress.until_forwarded()
        for outcome in ("NoError", "TopicAlreadyExistsError"):
            made = await asyncio.to_thread(team.run, "NewTopic")
            assert made == f"{OWN_DEAD_LETTERS} {outcome}\n"
        await a_broken_record(team, empty_kafka.address)
        with team.running("CONSUMER_DEAD_LETTERS_TOPIC") as runs:
            await until(lambda: runs() and counted(team) == 202, "the repeat is counted")
            await a_dead_letter(team, runs, empty_kafka.address)
    finally:
        ingress.kill()
    assert (await asyncio.to_thread(team.run, "json.load")).startswith("1.")
    assert not await asyncio.to_thread(team.run, "x-deprecated")
    assert team.has_run_everything()


def the_first_record(team: Team) -> None:
    """Read it with kcat, if this machine has it."""
    if shutil.which("kcat"):
        assert "ce_id=" in team.run("-o beginning -c 1")
    else:
        team.skip("-o beginning -c 1")


def counted(team: Team) -> int:
    """Return how many callbacks the team's program has counted, as the documented block prints."""
    try:
        rows = team.run("sqlite3").splitlines()
    except AssertionError as not_yet:
        assert "no such table" in str(not_yet)  # noqa: PT017 - the program has just started
        return 0
    return sum(int(row.rstrip(")").rpartition(", ")[2]) for row in rows if row)


async def a_broken_record(team: Team, bootstrap_servers: str) -> None:
    """Write a record to the topic that is not a callback."""
    if shutil.which("kcat"):
        await asyncio.to_thread(team.run, "kcat -P")
        return
    team.skip("kcat -P")
    async with AIOKafkaProducer(bootstrap_servers=bootstrap_servers) as producer:
        await producer.send_and_wait(CALLBACKS.name, b"not a callback", key=b"broken")


async def a_dead_letter(team: Team, runs: Callable[[], bool], bootstrap_servers: str) -> None:
    """Assert that the broken record is in the team's topic, and that Hookline's has none."""
    async with asyncio.timeout(180):
        while not (letters := await in_topic(bootstrap_servers, None, OWN_DEAD_LETTERS)):
            assert runs()
    (letter,) = letters
    assert letter.value == b"not a callback"
    assert dict(letter.headers)["hookline.errors.group"] == b"subscriber"
    assert await in_topic(bootstrap_servers, None, DEAD_LETTERS.name) == []
    if shutil.which("kcat"):
        assert "not a callback" in await asyncio.to_thread(team.run, "my-team.dead.v1 -o beginning")
    else:
        team.skip("my-team.dead.v1 -o beginning")
    printed = await asyncio.to_thread(team.run, "AIOKafkaConsumer")
    assert "no dead letters" in await asyncio.to_thread(team.run, "dead-letters ls")
    assert "b'not a callback'" in printed
    assert "('hookline.errors.group', b'subscriber')" in printed
