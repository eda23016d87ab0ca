"""The subscribers in each language: every committed message once, whichever member is killed."""

from asyncio.subprocess import Process
from pathlib import Path

import pytest
from support.processes.consumer import members
from support.processes.ingress import until
from support.subscribers.membership import committed_offsets, partitions_by_member
from support.subscribers.program import GROUP, LANGUAGES, Members, Program
from support.subscribers.traffic import Traffic, traffic

from schemas.topics import CALLBACKS

ALL = set(range(CALLBACKS.partitions))


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("language", LANGUAGES)
async def test_every_committed_message_is_kept_once_over_kill_9_and_rebalances(
    language: str, kafka: str, tmp_path: Path
) -> None:
    """One of two members is killed while it applies a batch, and another one is started."""
    program = Program(language, tmp_path / language, kafka)
    await program.install()
    async with traffic(kafka) as sent:
        await sent.send(60)
        with program.members() as group:
            first = await group.add()
            await group.until_kept(set(sent.kept))
            its_partitions = await share(program, group, kafka)
            await kill_amid_a_batch(group, first, sent, its_partitions)
            before = [*sent.kept]
            await group.add()
            await sent.send(60)
            # A memory in the process that was killed would be empty now.
            await sent.send_again(before)
            await group.until_kept(set(sent.kept))
            await until_positions_are_at_the_end(program, kafka, sent)
            await group.stop()
    effects = program.effects()
    assert [ce_id for ce_id, _ in effects] == sorted(sent.kept)
    assert dict(effects) == sent.kept
    if program.uses_the_group:
        assert await members(kafka, GROUP) == ("Empty", [])


async def kill_amid_a_batch(
    group: Members, member: Process, sent: Traffic, its_partitions: set[int]
) -> None:
    """Send batches until the member has applied a part of one, and kill it then."""
    amid = False
    while not amid:
        before = set(sent.kept)
        await sent.send_at_once(900)
        amid = await group.until_amid(member, sent.kept_of(its_partitions) - before)
    group.kill(member)


async def share(program: Program, group: Members, kafka: str) -> set[int]:
    """Start a second member, and return the partitions that the first one keeps."""
    if not program.uses_the_group:
        await group.add()  # it waits for the first one's locks
        return ALL
    (first,) = await shared_by(1, kafka)
    await group.add()
    return (await shared_by(2, kafka))[first]


async def shared_by(count: int, kafka: str) -> dict[str, set[int]]:
    """Return the partitions of each member once so many share them."""
    shared: dict[str, set[int]] = {}

    async def all_have_some() -> bool:
        shared.clear()
        shared.update(await partitions_by_member(kafka, GROUP))
        return len(shared) == count and all(shared.values())

    await until(all_have_some, f"{count} members share the partitions")
    return shared


async def until_positions_are_at_the_end(program: Program, kafka: str, sent: Traffic) -> None:
    """Return when the group's offset is after the last committed record of each partition."""

    async def at_the_end() -> bool:
        if program.uses_the_group:
            positions = await committed_offsets(kafka, GROUP)
        else:
            positions = program.positions()
        ends = {partition: offset + 1 for partition, offset in sent.last_offsets.items()}
        return all(positions.get(partition, -1) >= end for partition, end in ends.items())

    await until(at_the_end, "the positions are at the end")
