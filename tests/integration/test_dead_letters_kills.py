"""
`hookline dead-letters resend` is killed from outside, also with a frozen broker, then repeated.

test_dead_letters_kill_points.py kills it at many points of its code.
"""

import asyncio
import random
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from support.kafka.broker import Broker, running_broker
from support.kafka.parts import in_topic
from support.rejected_world import RejectedWorld, a_rejected_world

from ops.failure import ExitCode
from schemas.topics import ACTIONS

KILLS = 4
# Dead letters that a run may send before it is killed, at most.
LETTERS_PER_KILL = 40
RATE = "40"
# A half of the kills comes after a run has begun to send, the others at any time since its start.
START_S_MAX = 2.0
SENDING_S_MAX = 0.25
FROZEN_S = 3.0
# The kills before which the broker is frozen: one of a run of each kind.
FREEZES = (0, 2)


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    """Yield a broker with the topics, which a test may freeze."""
    with running_broker(tmp_path) as started:
        await started.make_topics()
        yield started


@pytest.fixture
async def world(broker: Broker, conninfo: str, tmp_path: Path) -> AsyncIterator[RejectedWorld]:
    """Yield a world without callbacks."""
    async with a_rejected_world(broker.address, conninfo, tmp_path) as made:
        yield made


async def actions(world: RejectedWorld) -> int:
    """Return the number of actions."""
    return len(await in_topic(world.kafka, None, ACTIONS.name))


async def kill_one(world: RejectedWorld, broker: Broker, kill: int, chance: random.Random) -> bool:
    """Kill one run, with a frozen broker in FREEZES; return whether it had sent something."""
    before = await actions(world)
    consumer = ("sync", "ingress")[kill // 2 % 2]
    run = await world.start("resend", consumer, "--yes", "--records-per-s", RATE)
    if kill % 2:
        await asyncio.sleep(chance.uniform(0, START_S_MAX))
    else:
        while await actions(world) == before and run.returncode is None:
            pass
        if kill in FREEZES:
            with broker.frozen():
                await asyncio.sleep(FROZEN_S)
        await asyncio.sleep(chance.uniform(0, SENDING_S_MAX))
    # On a busy machine it may have sent everything before it is killed.
    if run.returncode is None:
        run.kill()
    said, _ = await run.communicate()
    # It may have given up a broker that was away for longer than its session: to be repeated, too.
    assert run.returncode in (0, -signal.SIGKILL, ExitCode.UNREADABLE), said
    return await actions(world) > before


@pytest.mark.timeout(600)
async def test_a_killed_resend_loses_and_doubles_nothing(
    world: RejectedWorld, broker: Broker, say: Callable[[str], None]
) -> None:
    """Every dead letter is in its sink once, and one action says so; the audit proves it."""
    # A half of them is sent to the database, the other one to the topic.
    count = KILLS * LETTERS_PER_KILL // 2
    await world.reject_by_sync_and_ingress(count)
    chance = random.Random(KILLS)  # noqa: S311 - no secret
    killed = [await kill_one(world, broker, kill, chance) for kill in range(KILLS)]
    left = await world.resend_to_sync_and_ingress(count)
    say(
        f"{KILLS} kills, {sum(killed)} of them after some were sent: 0 lost, 0 doubled of"
        f" {2 * count}; {2 * count - left} were sent before the last run"
    )
