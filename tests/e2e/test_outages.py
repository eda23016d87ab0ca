"""Kafka is away or stands still, or consumers do: no process ends, all carry on by themselves."""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from support.processes.outage_world import World, running_world

KILLED_S = 25
KILLED_LONG_S = int(os.environ.get("OUTAGE_S", "60"))
FROZEN_S = (15, 35, 65)
Say = Callable[[str], None]


@pytest.mark.timeout(300)
async def test_kafka_that_is_gone_for_a_while_ends_no_process(
    tmp_path: Path, conninfo: str, valkey_url: str, say: Say
) -> None:
    """It is killed under load, with offsets that are not committed."""
    async with running_world(tmp_path, postgres=conninfo, valkey=valkey_url) as world:
        await kill_kafka(world, KILLED_S, say)
        await hold_against(world, say)


@pytest.mark.long
@pytest.mark.timeout(900 + KILLED_LONG_S)
async def test_long_outages_end_no_process(
    tmp_path: Path, conninfo: str, valkey_url: str, say: Say
) -> None:
    """Kafka is killed and frozen in one world, meanwhile consumers are frozen in another one."""
    databases = conninfo, f"{conninfo}_2"
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(f"create database {databases[1].rpartition('/')[2]}".encode())
    valkey = valkey_url.removesuffix("/0")
    async with (
        running_world(tmp_path / "1", postgres=databases[0], valkey=f"{valkey}/0") as first,
        running_world(tmp_path / "2", postgres=databases[1], valkey=f"{valkey}/1") as second,
        asyncio.TaskGroup() as worlds,
    ):
        worlds.create_task(strike_kafka(first, say))
        worlds.create_task(strike_consumers(second, say))


async def strike_kafka(world: World, say: Say) -> None:
    """Have Kafka go away and come back, in several ways."""
    await kill_kafka(world, KILLED_LONG_S, say)
    for seconds in FROZEN_S:
        async with world.traffic():
            with world.broker.frozen():
                await asyncio.gather(world.leave_a_spool(), asyncio.sleep(seconds))
                world.assert_all_run()
            took_s = await world.until_all_continue()
        say(f"Kafka frozen for {seconds} s: carried on after {took_s} s")
    await hold_against(world, say)


async def strike_consumers(world: World, say: Say) -> None:
    """Have every consumer stand still, so that the group takes it for dead."""
    for seconds in FROZEN_S:
        async with world.traffic():
            for consumer in world.consumers:
                consumer.freeze()
            await asyncio.sleep(seconds)
            for consumer in world.consumers:
                consumer.thaw()
            took_s = await world.until_all_continue()
        say(f"consumers frozen for {seconds} s: carried on after {took_s} s")
    await hold_against(world, say)


async def kill_kafka(world: World, seconds: float, say: Say) -> None:
    """Kill Kafka for so long under load, and let an ingress die meanwhile."""
    async with world.traffic():
        await world.until_all_continue()
        world.broker.kill()
        begun = time.monotonic()
        await world.leave_a_spool()
        while time.monotonic() < begun + seconds:
            await asyncio.sleep(1)
            world.assert_all_run()
        await world.broker.start_again()
        took_s = await world.until_all_continue()
    say(f"Kafka killed for {seconds:g} s: carried on after {took_s} s")


async def hold_against(world: World, say: Say) -> None:
    """Nothing is missing or doubled, and no client was forgotten."""
    say(await world.proof())
    assert world.complaints() == {}
