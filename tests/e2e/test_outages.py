"""Kafka is killed, frozen or shut down, or consumers are frozen: no process ends, all continue."""

import asyncio
import os
import time
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from support.processes.outage_world import World, running_world

# Longer than the session time-out of a group's member, 10 s.
SHORT_S = 12
KILLED_LONG_S = int(os.environ.get("OUTAGE_S", "60"))
SHUT_DOWN_LONG_S = 30
# Longer than the time-outs of a transaction (10 s), of a request (40 s) and of metadata (60 s).
FROZEN_LONG_S = (15, 35, 65)
Say = Callable[[str], None]


@pytest.mark.timeout(600)
async def test_short_outages_end_no_process(
    tmp_path: Path, conninfo: str, valkey_url: str, say: Say
) -> None:
    """Kafka is killed under load with offsets not committed, shut down, frozen; then consumers."""
    async with running_world(tmp_path, postgres=conninfo, valkey=valkey_url) as world:
        await kill_kafka(world, SHORT_S, say)
        await shut_down_kafka(world, SHORT_S, say)
        await freeze_kafka(world, SHORT_S, say)
        await freeze_consumers(world, SHORT_S, say)
        await assert_complete(world, say)


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
    """Kill Kafka for a while, shut it down for a while, then freeze it for several times."""
    await kill_kafka(world, KILLED_LONG_S, say)
    await shut_down_kafka(world, SHUT_DOWN_LONG_S, say)
    for seconds in FROZEN_LONG_S:
        await freeze_kafka(world, seconds, say)
    await assert_complete(world, say)


async def strike_consumers(world: World, say: Say) -> None:
    """Freeze every consumer for several times."""
    for seconds in FROZEN_LONG_S:
        await freeze_consumers(world, seconds, say)
    await assert_complete(world, say)


async def freeze_kafka(world: World, seconds: float, say: Say) -> None:
    """Freeze Kafka under load, and kill an ingress meanwhile."""
    async with world.traffic():
        with world.broker.frozen():
            await asyncio.gather(world.leave_a_spool(), asyncio.sleep(seconds))
            world.assert_all_run()
        took_s = await world.until_all_continue()
    say(f"Kafka frozen for {seconds} s: carried on after {took_s} s")


async def freeze_consumers(world: World, seconds: float, say: Say) -> None:
    """Freeze every consumer for so long that its group removes it."""
    async with world.traffic():
        for consumer in world.consumers:
            consumer.freeze()
        await asyncio.sleep(seconds)
        for consumer in world.consumers:
            consumer.thaw()
        took_s = await world.until_all_continue()
    say(f"consumers frozen for {seconds} s: carried on after {took_s} s")


async def kill_kafka(world: World, seconds: float, say: Say) -> None:
    """Kill Kafka under load, start it again after so many seconds; kill an ingress meanwhile."""
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


async def shut_down_kafka(world: World, seconds: float, say: Say) -> None:
    """Shut Kafka down by SIGTERM under load, and start it again after so many seconds."""
    async with world.traffic():
        await world.until_all_continue()
        await world.broker.shut_down()
        await asyncio.sleep(seconds)
        world.assert_all_run()
        await world.broker.start_again()
        took_s = await world.until_all_continue()
    say(f"Kafka shut down for {seconds:g} s: carried on after {took_s} s")


async def assert_complete(world: World, say: Say) -> None:
    """Assert that nothing is missing or doubled, and that no client was left open."""
    say(await world.proof())
    assert world.complaints() == {}
