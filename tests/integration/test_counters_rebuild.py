"""`hookline counters rebuild`: the new generation equals the old one, whatever is killed."""

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import RecordsToDelete
from support.archive import reader
from support.kafka.admin import admin_client
from support.processes.blackbox import ANSWER_S_MAX, HOOKLINE, hookline
from support.processes.consumer import Consumer
from support.processes.ingress import APP, Ingress, until
from support.processes.load import committed_offsets
from support.processes.senders import Senders
from valkey import Valkey

from ops.demo.embedded.kafka import EmbeddedKafka
from ops.demo.embedded.valkey import EmbeddedValkey
from schemas.topics import CALLBACKS


class World:
    """An ingress, Kafka, and members of the consumer `counters`."""

    def __init__(self, directory: Path, kafka: str, valkey_url: str) -> None:
        self.kafka = kafka
        self.ingress = Ingress(directory / "spools", kafka)
        self.archive = directory / "archive"
        self.valkey = Valkey.from_url(valkey_url)
        self.env = {"COUNTERS_VALKEY": valkey_url, "HOOKLINE_BOOTSTRAP_SERVERS": kafka}
        self.counters = [
            Consumer("counters", kafka, directory / f"counters-{number}.log", valkey=valkey_url)
            for number in (1, 2)
        ]
        self.archiver = Consumer(
            "archive", kafka, directory / "archive.log", url=self.archive, segment_age_s=1
        )

    def simulate(self, count: int, seed: int = 1) -> None:
        """Have callbacks of all kinds stored."""
        url = f"http://127.0.0.1:{self.ingress.port}/"
        hookline(
            *("simulate", "--json", "--url", url, "--sdkappid", APP, "--users", "60"),
            *("--count", str(count), "--rate", "2000", "--seed", str(seed)),
            *("--timeout", str(ANSWER_S_MAX)),
        )

    def applied(self) -> int:
        """Return how many callbacks the generation that is served has."""
        return self.counted(self.served())

    def counted(self, generation: int) -> int:
        """Return how many callbacks a generation has."""
        applied: Any = self.valkey.hvals(f"hookline:{generation}:applied")
        return sum(map(int, applied))

    def served(self) -> int:
        """Return the generation that is served."""
        generation: Any = self.valkey.get("hookline:generation")
        return int(generation or 1)

    async def send_malformed(self) -> None:
        """Send a record that is not a callback; the consumer sends it to the dead-letter topic."""
        producer = AIOKafkaProducer(bootstrap_servers=self.kafka)
        await producer.start()
        try:
            await producer.send_and_wait(CALLBACKS.name, b"no callback", partition=0)
        finally:
            await producer.stop()

    async def until_counted(self, *, rejected: int = 0) -> int:
        """Return the number of callbacks in the topic once all of them are counted."""
        await self.ingress.until_forwarded()
        topic = await committed_offsets(self.kafka)
        everything = sum(map(len, topic.values())) - rejected
        await until(lambda: self.applied() >= everything, f"{everything} are counted")
        assert self.applied() == everything
        return everything

    def content(self) -> dict[str, object]:
        """
        Return what the generation that is served has, by the names of keys without it.

        Of the positions only the last records: a forwarder writes markers after them whenever it
        starts, also when Kafka has not answered it for some seconds.
        """
        prefix = f"hookline:{self.served()}:"
        by_name: dict[str, object] = {}
        for key in self.valkey.scan_iter(match=f"{prefix}*", count=1000):
            name = key.decode().removeprefix(prefix)
            match self.valkey.type(key):
                case b"hash":
                    fields: Any = self.valkey.hgetall(key)
                    if name == "positions":
                        fields = {at: text.partition(b" ")[2] for at, text in fields.items()}
                    by_name[name] = fields
                case b"set":
                    by_name[name] = self.valkey.smembers(key)
                case _ if "-sketch:" in name:
                    by_name[name] = self.valkey.pfcount(key)
                case _:
                    by_name[name] = self.valkey.get(key)
        return by_name

    def rebuild(self, *options: str, expect: int = 0) -> str:
        """Run the command; return its output."""
        return hookline("counters", "rebuild", *options, env=self.env, expect=expect)

    @contextlib.contextmanager
    def rebuilding(self, *, records_per_s: int) -> Iterator[subprocess.Popen[bytes]]:
        """Start the command; kill it at the end, if it still runs."""
        command = [HOOKLINE, "counters", "rebuild", "--yes", "--records-per-s", str(records_per_s)]
        with subprocess.Popen(command, env=os.environ | self.env) as running:
            try:
                yield running
            finally:
                running.kill()

    def generations(self) -> set[str]:
        """Return the generations that have keys."""
        return {key.split(b":")[1].decode() for key in self.valkey.scan_iter("hookline:[1-9]*")}


@pytest.fixture
async def world(
    tmp_path: Path, empty_kafka: EmbeddedKafka, valkey_url: str
) -> AsyncIterator[World]:
    """Yield a world with one running member."""
    made = World(tmp_path, empty_kafka.address, valkey_url)
    try:
        made.counters[0].launch()
        await made.ingress.start()
        yield made
    finally:
        made.ingress.kill()
        made.archiver.kill()
        for member in made.counters:
            member.kill()
        made.valkey.close()


async def delete_records(kafka: str) -> None:
    """Delete all records of the topic, as retention does."""
    async with admin_client(kafka) as admin:
        partitions = (TopicPartition(CALLBACKS.name, n) for n in range(CALLBACKS.partitions))
        await admin.delete_records({tp: RecordsToDelete(before_offset=-1) for tp in partitions})


@pytest.mark.timeout(600)
async def test_a_rebuild_gives_the_same_counts_and_removes_the_old_ones(
    world: World, scaled: Callable[..., int]
) -> None:
    """Every key has the same content in the new generation; a preview changes nothing."""
    world.simulate(scaled(300, at_most=1500))
    await world.ingress.until_forwarded()
    await world.send_malformed()
    world.simulate(scaled(300, at_most=1500), seed=3)
    everything = await world.until_counted(rejected=1)
    before = world.content()
    world.ingress.kill()
    await world.ingress.start()
    # It has written markers after the records, which the rebuild reads.
    await world.ingress.until_forwarded()
    assert "to be counted" in world.rebuild().lower()
    assert (world.served(), world.generations()) == (1, {"1"})
    world.rebuild("--yes")
    assert (world.served(), world.generations()) == (2, {"2"})
    assert world.content() == before
    assert world.applied() == everything
    world.simulate(200, seed=2)
    await world.until_counted(rejected=1)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    world.rebuild("--yes", "--since", f"{tomorrow:%Y-%m-%d}")
    assert (world.served(), world.applied()) == (3, 0)
    world.simulate(200, seed=4)
    await world.ingress.until_forwarded()
    await until(lambda: world.applied() == 200, "what has come since is counted")


@pytest.mark.timeout(600)
async def test_a_rebuild_that_is_killed_continues_where_it_was(
    world: World, scaled: Callable[..., int]
) -> None:
    """What it has counted is not counted again."""
    everything = scaled(1500, at_most=12_000)
    world.simulate(everything)
    await world.until_counted()
    before = world.content()
    # It would take ten seconds.
    with world.rebuilding(records_per_s=everything // 10) as running:
        await until(lambda: world.counted(2) > everything // 10, "a part is counted")
        running.send_signal(signal.SIGKILL)
        running.wait()
    cut = world.counted(2)
    assert everything // 10 < cut < everything
    assert world.served() == 1
    world.rebuild("--yes")
    assert world.content() == before


@pytest.mark.timeout(600)
async def test_live_counting_goes_on_during_a_rebuild_and_its_change(
    world: World, scaled: Callable[..., int]
) -> None:
    """Members are killed meanwhile. In the end, counted = sent."""
    world.counters[1].launch()
    stored = scaled(1200, at_most=8000)
    world.simulate(stored)
    async with Senders(world.ingress.port, connections=4, pause_s=0.01) as senders:
        with world.rebuilding(records_per_s=stored // 2) as running:
            while running.poll() is None:
                world.counters[0].kill()
                world.counters[0].launch()
                await asyncio.sleep(1)
            assert running.returncode == 0
        await senders.until_more_ok(200)
    await world.until_counted()
    assert (world.served(), world.generations()) == (2, {"2"})
    before = world.content()
    world.rebuild("--yes")
    assert world.content() == before


@pytest.mark.timeout(600)
async def test_records_that_kafka_has_deleted_are_counted_from_the_archive(world: World) -> None:
    """Without the archive, the command refuses to count less than before."""
    world.archiver.launch()
    world.simulate(800)
    await world.until_counted()
    topic = await committed_offsets(world.kafka)
    await reader.until_archived(lambda: reader.local(world.archive), topic)
    await delete_records(world.kafka)
    world.simulate(200, seed=2)
    await world.ingress.until_forwarded()
    await until(lambda: world.applied() == 1000, "all are counted")
    before = world.content()
    assert world.served() == 1
    world.rebuild("--yes", expect=2)
    world.rebuild("--yes", "--archive", str(world.archive))
    assert (world.served(), world.applied()) == (2, 1000)
    assert world.content() == before


@pytest.mark.timeout(600)
async def test_a_second_rebuild_is_refused_and_starting_over_forgets_a_cut_one(
    world: World, scaled: Callable[..., int]
) -> None:
    """The first one goes on meanwhile. What it has counted is removed by --start-over."""
    world.simulate(scaled(1500, at_most=6000))
    await world.until_counted()
    before = world.content()
    # Slow: this takes longer than the second one waits for the lock.
    with world.rebuilding(records_per_s=20) as running:
        await until(lambda: world.counted(2) > 200, "a part is counted")
        refused = hookline(
            *("counters", "rebuild", "--yes", "--start-over"), env=world.env, expect=2
        )
        assert refused == ""
        assert running.poll() is None
        assert world.served() == 1
    # As if it had counted wrong: only a rebuild from the beginning is right.
    assert world.valkey.hincrby(f"hookline:2:totals:{APP}", "callbacks", 1000)
    world.rebuild("--yes", "--start-over")
    assert (world.served(), world.generations()) == (2, {"2"})
    assert world.content() == before
    assert not world.valkey.exists("hookline:rebuilder")


@pytest.mark.timeout(600)
async def test_valkey_is_killed_in_the_middle_of_a_rebuild(
    world: World, valkey_server: EmbeddedValkey, scaled: Callable[..., int]
) -> None:
    """Valkey loses its last second; the rebuild, or the next one, continues at the position."""
    everything = scaled(1500, at_most=6000)
    world.simulate(everything)
    await world.until_counted()
    before = world.content()
    # It would take six seconds.
    with world.rebuilding(records_per_s=everything // 6) as running:
        await until(lambda: world.counted(2) > everything // 3, "a part is counted")
        valkey_server.kill()
        await asyncio.sleep(1)
        valkey_server.start()
        world.valkey.connection_pool.disconnect()
        await asyncio.to_thread(running.wait)
    if running.returncode:
        world.rebuild("--yes")
    assert (world.served(), world.generations()) == (2, {"2"})
    assert world.content() == before
