"""`hookline replay sync` is killed at points spread through its runs, then repeated."""

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from support.builders import P0
from support.kafka.parts import many
from support.rejected_world import RejectedWorld, a_rejected_world
from support.sync_tables import receipts

from ops.demo.embedded.kafka import EmbeddedKafka

# Callbacks that a run may write before it is killed, at most.
CALLBACKS_PER_KILL = 60
RATE = "60"
# A half of the kills comes after a run has begun to write, the others at any time since its start.
START_S_MAX = 2.0
WRITING_S_MAX = 0.5
ROWS = "select ce_id, xmin::text from hookline.messages order by ce_id"
POSITIONS = (
    "select coalesce(sum(next_offset), 0) from hookline.positions where topic like 'replay:%'"
)


@pytest.fixture
async def world(
    empty_kafka: EmbeddedKafka, conninfo: str, tmp_path: Path
) -> AsyncIterator[RejectedWorld]:
    """Yield a world without callbacks."""
    kafka = empty_kafka.address
    async with a_rejected_world(kafka, conninfo, tmp_path, subcommand="replay") as made:
        yield made


async def kill_one(world: RejectedWorld, source: str, kill: int, chance: random.Random) -> bool:
    """Kill one run; return whether it had moved the position of the replay."""
    before = await world.rows(POSITIONS)
    run = await world.start("sync", "--from", source, "--yes", "--rate", RATE)
    if kill % 2:
        await asyncio.sleep(chance.uniform(0, START_S_MAX))
    else:
        while await world.rows(POSITIONS) == before and run.returncode is None:
            pass
        await asyncio.sleep(chance.uniform(0, WRITING_S_MAX))
    # On a busy machine it may have written everything before it is killed.
    if run.returncode is None:
        run.kill()
    await run.communicate()
    assert run.returncode in (0, -signal.SIGKILL)
    return await world.rows(POSITIONS) != before


@pytest.mark.timeout(600)
async def test_a_killed_replay_loses_and_doubles_nothing(
    world: RejectedWorld, scaled: Callable[..., int], say: Callable[[str], None]
) -> None:
    """From the topic, then from the archive: rows that are there stay, the others come once."""
    kills = scaled(4, at_most=100) // 2
    count = kills * CALLBACKS_PER_KILL
    await world.pipe.store(many(count, people=7))
    await world.pipe.forward()
    await world.archive_all()
    async with world.database() as database:
        assert await database.position(P0) is None  # the tables are made
        await world.apply(database)
    chance = random.Random(kills)  # noqa: S311 - no secret
    moved = left = 0
    for source in ("topic", "archive"):
        async with world.changing() as owner:
            await owner.execute(b"delete from hookline.receipts where sequence % 3 > 0")
            await owner.execute(b"delete from hookline.messages where sender < 'user4'")
        stay = await world.rows(ROWS)
        for kill in range(kills):
            moved += await kill_one(world, source, kill, chance)
        left += count - await asyncio.to_thread(receipts, world.conninfo)
        preview = await world.hookline("sync", "--from", source, "--json")
        # The runs that were killed are continued, not repeated.
        was_cut = await world.rows(POSITIONS) != [(0,)]
        assert (f'"callbacks":{count},' in preview) is not was_cut
        await world.hookline("sync", "--from", source, "--yes", "--rate", "100000")
        after = await world.rows(ROWS)
        assert len(after) == len({ce_id for ce_id, _ in after}) == count
        assert set(stay) <= set(after)
        assert (await world.audited()).proven
        assert await world.rows(POSITIONS) == [(0,)]
    say(
        f"{2 * kills} kills, {moved} of them after some were written: 0 lost, 0 doubled of"
        f" {2 * count}; {left} receipts were written by the last runs"
    )
