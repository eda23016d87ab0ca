"""The subscribers in each language: every committed message once, whichever member is killed."""

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
            before = len(sent.kept)
            await sent.send_at_once(300)
            begun = sent.kept_of(its_partitions) & set([*sent.kept][before:])
            await until(lambda: bool(begun & program.effects().keys()), "the batch has begun")
            group.kill(first)
            await group.add()
            await sent.send(60)
            await group.until_kept(set(sent.kept))
            await until_positions_are_at_the_end(program, kafka, sent)
            await group.stop()
    assert program.effects() == sent.kept
    if program.uses_the_group:
        assert await members(kafka, GROUP) == ("Empty", [])


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
