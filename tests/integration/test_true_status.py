"""The gauges, /readyz and /status of the processes are true while Kafka or a sink is broken."""

import asyncio
import json
import math
import re
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewTopic
from support.kafka.access import plaintext
from support.kafka.admin import admin_client
from support.kafka.broker import Broker, running_broker
from support.kafka.topic_changes import produce
from support.processes.consumer import Consumer
from support.processes.ingress import Ingress, get, until
from valkey.asyncio import Valkey

from consumers.runtime.batch import Partition
from consumers.runtime.group import join_group
from consumers.runtime.kafka_availability import KafkaAvailability
from consumers.runtime.source import Source
from ops.demo.embedded import child
from ops.demo.embedded.valkey import EmbeddedValkey
from schemas.topics import CALLBACKS

YEAR_S = 365 * 86400.0
ROOT = Path(__file__).parents[2]
ORIGIN = "a" * 16
COMPOSE = (ROOT / "docker-compose.yml").read_text()


async def gauges(port: int) -> dict[str, float]:
    """Return the present samples of /metrics; a process that does not answer is an error."""
    answer = await get(port, "/metrics")
    assert answer is not None
    lines = (line.rpartition(" ") for line in answer.body.decode().splitlines() if line[0] != "#")
    return {name: float(value) for name, _, value in lines}


async def is_healthy(port: int) -> bool:
    """Run the health check of a consumer in docker-compose.yml."""
    (command,) = re.findall(r'test: \[CMD, healthy, "8082", (.*)\]', COMPOSE)
    arguments = command.split(", ")
    process = await asyncio.create_subprocess_exec(
        ROOT / "deploy" / "healthy", str(port), *arguments
    )
    return await process.wait() == 0


class World:
    """A broker, a Valkey, and three processes."""

    def __init__(self, directory: Path, broker: Broker) -> None:
        self.broker = broker
        self.valkey = EmbeddedValkey(directory / "valkey")
        self.ingress = Ingress(directory / "spools", broker.address)
        self.counters = Consumer(
            "counters",
            broker.address,
            directory / "counters.log",
            env={"HOOKLINE_LOG_FORMAT": "json", "CONSUMER_DEAD_LETTERS_MAX": "0"},
            valkey=self.valkey.url,
        )
        self.archive = Consumer(
            "archive", broker.address, directory / "archive.log", url=directory / "archive"
        )

    async def until_phase(self, phase: str, healthy: bool) -> dict[str, float]:  # noqa: FBT001 - a parameter
        """Return the gauges of counters once /readyz and /status say `phase`."""
        port, values = self.counters.port, dict[str, float]()

        async def is_phase() -> bool:
            answer = await get(port, "/readyz")
            if answer is None or not answer.body.decode().startswith(f"{phase}: "):
                return False
            assert answer.status == (200 if phase == "working" else 503)
            return True

        async def is_reached() -> bool:
            if not await is_phase():
                return False
            status = await get(port, "/status")
            health, livez = await is_healthy(port), await get(port, "/livez")
            values.update(await gauges(port))
            # On a busy machine a call may take long enough for another phase between two answers.
            if not await is_phase():
                return False
            assert status is not None
            assert json.loads(status.body)["phase"] == phase
            assert health == healthy
            assert livez is not None
            assert livez.status == 200
            return True

        await until(is_reached, f"counters are {phase}")
        return values


def is_unknown(values: dict[str, float]) -> bool:
    """Return whether the gauges of what waits are NaN, not a number that looks healthy."""
    names = ("lag_offsets", "oldest_waiting_seconds", "oldest_in_kafka_seconds")
    return all(math.isnan(values[f"consumer_{name}"]) for name in names)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    """Yield the processes, which no broker answers yet."""
    world = World(tmp_path, Broker(tmp_path / "kafka"))
    async with AsyncExitStack() as opened:
        opened.callback(world.broker.kill)
        opened.enter_context(child.running(world.valkey))
        for process in (world.ingress, world.counters, world.archive):
            opened.callback(process.kill)
            process.launch()
        yield world


@pytest.mark.timeout(900)
async def test_what_an_operator_sees_is_true_in_every_state(world: World) -> None:
    """Kafka down at the start and frozen; the sink slow, frozen and emptied; the brake."""
    await _kafka_is_down_at_the_start(world)
    world.broker.start()
    await world.broker.make_topics()
    await produce(world.broker.address, ORIGIN, 20)
    await _all_is_well(world)
    await _kafka_is_frozen(world)
    await _the_sink_is_frozen(world)
    await _too_much_is_rejected(world)
    await _the_sink_was_emptied(world)


async def _kafka_is_down_at_the_start(world: World) -> None:
    values = await world.until_phase("waiting for Kafka", healthy=True)
    assert is_unknown(values)
    assert values["consumer_kafka_up"] == 0
    assert math.isnan(values["consumer_sink_up"])
    assert math.isnan(values["consumer_partitions_backing_off"])
    await world.ingress.until_ready()
    values = await gauges(world.ingress.admin_port)
    assert values["ingress_forwarding"] == 0
    assert values["ingress_spool_disk_free_bytes"] > 0
    assert values["ingress_ready"] == 1


async def _all_is_well(world: World) -> None:
    async def is_well() -> bool:
        values = await world.until_phase("working", healthy=True)
        return (
            values["consumer_kafka_up"] == values["consumer_sink_up"] == 1
            and values["consumer_lag_offsets"] == values["consumer_oldest_waiting_seconds"] == 0
            and values["consumer_oldest_in_kafka_seconds"] == 0
            and values["consumer_records_total"] == 20
        )

    await until(is_well, "counters have applied everything")
    await world.ingress.until_forwarded()
    assert (await gauges(world.ingress.admin_port))["ingress_forwarding"] == 1
    status = await get(world.archive.port, "/status")
    assert status is not None
    assert json.loads(status.body)["disk_free_bytes"] > 0
    assert (await gauges(world.archive.port))["archive_disk_free_bytes"] > 0


async def _kafka_is_frozen(world: World) -> None:
    """Its connections stay open, so nothing fails by itself."""
    with world.broker.frozen():
        values = await world.until_phase("waiting for Kafka", healthy=True)
        assert values["consumer_kafka_up"] == 0
        assert is_unknown(values)

        async def stopped_forwarding() -> bool:
            answer = await get(world.ingress.admin_port, "/status")
            assert answer is not None
            failing_s = json.loads(answer.body)["forward_fault_for_s"]
            values = await gauges(world.ingress.admin_port)
            return values["ingress_forwarding"] == 0 and failing_s is not None

        await until(stopped_forwarding, "the ingress has noticed it")
    await world.until_phase("working", healthy=True)


async def _the_sink_is_frozen(world: World) -> None:
    """
    What waits grows by the clock; the group does not lose its member.

    The callbacks were received years ago, as if they had waited in a spool. Only the time for which
    Kafka has had them is a lag.
    """
    assert world.valkey.process is not None
    world.valkey.process.send_signal(signal.SIGSTOP)
    try:
        await produce(world.broker.address, ORIGIN, 20, first=21)

        async def is_slow() -> bool:
            values = await gauges(world.counters.port)
            return values["consumer_oldest_waiting_seconds"] > 0 < values["consumer_lag_offsets"]

        await until(is_slow, "a call in flight shows as an age and a lag")
        before = await world.until_phase("waiting for the sink", healthy=True)
        assert (before["consumer_kafka_up"], before["consumer_sink_up"]) == (1, 0)
        await asyncio.sleep(1.1)
        after = await gauges(world.counters.port)
        waiting, in_kafka = "consumer_oldest_waiting_seconds", "consumer_oldest_in_kafka_seconds"
        assert after[waiting] >= before[waiting] + 1 > YEAR_S
        assert after[in_kafka] >= before[in_kafka] + 1
        assert after[in_kafka] < YEAR_S
        assert after["consumer_lag_offsets"] > 0
    finally:
        world.valkey.process.send_signal(signal.SIGCONT)
    values = await world.until_phase("working", healthy=True)
    assert values["consumer_stopped"] == 0


async def _too_much_is_rejected(world: World) -> None:
    """After the brake, the process is not in its group and knows no lag, but an age."""
    async with AIOKafkaProducer(bootstrap_servers=world.broker.address) as producer:
        await producer.send_and_wait(CALLBACKS.name, b"{}")
    values = await world.until_phase("stopped", healthy=False)
    assert (values["consumer_stopped"], values["consumer_braked"]) == (1, 1)
    assert math.isnan(values["consumer_lag_offsets"])
    # The record that stopped it waits on, by the clock.
    age = "consumer_oldest_waiting_seconds"
    await asyncio.sleep(1.1)
    assert (await gauges(world.counters.port))[age] >= values[age] + 1 > 1
    for name in ("kafka_up", "sink_up", "partitions_backing_off"):
        assert math.isnan(values[f"consumer_{name}"]), name
    reason = await world.counters.reason_to_stop()
    assert reason is not None
    assert "CONSUMER_DEAD_LETTERS_MAX" in reason
    world.counters.stop()
    assert await asyncio.to_thread(world.counters.process.wait, 180) == 1
    entries = [json.loads(line) for line in world.counters.log.read_text().splitlines()]
    assert any("stops and waits for a person" in entry["message"] for entry in entries)
    assert "CONSUMER_DEAD_LETTERS_MAX" in entries[-1]["message"]


async def _the_sink_was_emptied(world: World) -> None:
    """The consumer stays, and says why; it is not the brake."""
    async with Valkey.from_url(world.valkey.url) as client:
        await client.flushall()
    world.counters.launch()
    values = await world.until_phase("stopped", healthy=False)
    assert (values["consumer_stopped"], values["consumer_braked"]) == (1, 0)
    assert math.isnan(values["consumer_lag_offsets"])
    reason = await world.counters.reason_to_stop()
    assert reason is not None
    assert "CONSUMER_REBUILD=true" in reason


class Member:
    """The partitions of one member; -1 before the first assignment."""

    size = -1

    def assign(self, _: Source, partitions: Sequence[Partition]) -> None:
        """Note how many partitions were assigned."""
        self.size = len(partitions)

    async def revoke_all(self) -> None:
        """Let all go."""


@pytest.mark.timeout(600)
async def test_a_member_without_partitions_notices_that_kafka_is_gone(tmp_path: Path) -> None:
    """It has no offset to ask for, and an answer of long ago says nothing about now."""
    with running_broker(tmp_path / "kafka") as broker:
        async with admin_client(broker.address) as admin:
            await admin.create_topics([NewTopic("one", 1, 1)])
        logs = [KafkaAvailability("a"), KafkaAvailability("b")]
        members = [Member(), Member()]
        async with AsyncExitStack() as opened:
            sources = [
                await opened.enter_async_context(
                    join_group(
                        kafka=plaintext(broker.address),
                        group="group",
                        topic="one",
                        owner=member,
                        kafka_availability=log,
                    )
                )
                for member, log in zip(members, logs, strict=True)
            ]

            async def fetching(source: Source) -> None:
                while True:
                    await source.fetch([])

            async with asyncio.TaskGroup() as tasks:
                running = [tasks.create_task(fetching(source)) for source in sources]
                await until(
                    lambda: sorted(member.size for member in members) == [0, 1],
                    "one of them has no partition",
                )
                await until(lambda: all(log.answers for log in logs), "Kafka answers both")
                broker.freeze()
                await until(lambda: not any(log.answers for log in logs), "both have noticed it")
                broker.thaw()
                for task in running:
                    task.cancel()
