"""The program for kcat ends when an effect fails, and signals no process but its own."""

import asyncio
import shutil
from pathlib import Path

import pytest
from support.subscribers.program import Program
from support.subscribers.traffic import traffic


@pytest.fixture
def program(kafka: str, tmp_path: Path) -> Program:
    """Return the program, in a folder of its own."""
    return Program("kcat", tmp_path / "kcat", kafka)


async def test_it_ends_when_an_effect_fails_though_no_record_follows(
    kafka: str, program: Program
) -> None:
    """Nothing is written to the pipe of the loop that has died, so nothing else would notice."""
    async with traffic(kafka) as sent:
        await sent.send_at_once(12)
        with program.members() as group:
            member = await group.add()
            await group.until_kept(set(sent.kept))
            shutil.rmtree(program.folder / "effects")
            await sent.send_at_once(1)
            assert await asyncio.wait_for(member.wait(), 180) == 1


async def test_sigterm_ends_its_processes_and_no_other_of_its_process_group(
    kafka: str, program: Program
) -> None:
    """A script that calls the program shares its process group."""
    async with traffic(kafka) as sent:
        await sent.send_at_once(12)
        with program.members() as group:
            caller = await group.add(CALLER)
            await group.until_kept(set(sent.kept))
            (program.folder / "ended").touch()
            assert await asyncio.wait_for(caller.wait(), 180) == 0, program.log.read_text()
    await group.until_gone(caller)


# The caller's own exit code says whether it survived, and whether the program ended cleanly.
CALLER = """\
COMMAND &
until [[ -e ended ]]; do sleep 0.1; done
kill $!
wait $!
"""
