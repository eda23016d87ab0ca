"""Kafka is away or stands still, or consumers do: no process ends, all carry on by themselves."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from outage_world import World, running_world

KILLED_S = 25
Say = Callable[[str], None]


@pytest.mark.timeout(300)
async def test_kafka_that_is_gone_for_a_while_ends_no_process(
    tmp_path: Path, conninfo: str, valkey_url: str, say: Say
) -> None:
    """It is killed under load, with offsets that are not committed."""
    async with running_world(tmp_path, postgres=conninfo, valkey=valkey_url) as world:
        await killed(world, KILLED_S, say)
        say(await world.proof())
        assert world.tracebacks() == {}


async def killed(world: World, seconds: float, say: Say) -> None:
    """Kill Kafka for so long, under load."""
    async with world.traffic():
        await world.until_all_continue()
        world.broker.kill()
        await world.leave_a_spool()
        await asyncio.sleep(seconds)
        world.assert_all_run()
        await world.broker.start_again()
        took_s = await world.until_all_continue()
    say(f"Kafka killed for {seconds:g} s: carried on after {took_s} s")
