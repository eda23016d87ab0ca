"""A real consumer that rejects a record, and has no topic for its dead letters."""

import asyncio
import json
from pathlib import Path

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from support.kafka.admin import admin_client
from support.processes.consumer import Consumer
from support.processes.ingress import get, until

from consumers.runtime.dead_letters import SEND_TIMEOUT_S
from ops.demo.embedded.kafka import EmbeddedKafka
from schemas.topics import CALLBACKS

PREFIX = "staging."
OWN_TOPIC = "counters.dead.v1"


async def create(admin: AIOKafkaAdminClient, topic: str) -> None:
    """Create a topic of one partition."""
    await admin.create_topics([NewTopic(topic, 1, 1)])


async def test_a_consumer_without_its_dead_letter_topic_never_looks_healthy(
    kafka_without_topics: EmbeddedKafka, valkey_url: str, tmp_path: Path
) -> None:
    """
    From the first failure on, also while it tries again; it continues once the topic exists.

    Its log names the topics as the cluster knows them.
    """
    log = tmp_path / "counters.log"
    counters = Consumer(
        *("counters", kafka_without_topics.address, log),
        valkey=valkey_url,
        env={"CONSUMER_DEAD_LETTERS_TOPIC": OWN_TOPIC, "HOOKLINE_KAFKA_PREFIX": PREFIX},
    )
    async with admin_client(kafka_without_topics.address) as admin:
        await create(admin, PREFIX + CALLBACKS.name)
    async with AIOKafkaProducer(bootstrap_servers=kafka_without_topics.address) as producer:
        await producer.send_and_wait(PREFIX + CALLBACKS.name, b"no callback")

    async def fault() -> str | None:
        answer = await get(counters.port, "/status")
        found = json.loads(answer.body)["kafka_fault"] if answer else None
        return str(found["what"]) if found else None

    async def is_blocked() -> bool:
        return PREFIX + OWN_TOPIC in (await fault() or "")

    counters.launch()
    try:
        await until(is_blocked, "the fault names the topic")
        end = asyncio.get_running_loop().time() + 2 * SEND_TIMEOUT_S
        while asyncio.get_running_loop().time() < end:
            # On a busy machine Kafka itself may be too late for a moment.
            assert await fault()
            assert (await counters.measure())["partitions_backing_off"] == 1
            ready = await get(counters.port, "/readyz")
            assert ready is not None
            assert ready.status == 503
            await asyncio.sleep(0.2)  # samples of a state that lasts
        await until(is_blocked, "the fault names the topic again")
        record = f"offset 0 of {PREFIX}{CALLBACKS.name}/0"
        assert log.read_text().count(f"cannot send {record} to the dead-letter topic now") == 1
        async with admin_client(kafka_without_topics.address) as admin:
            await create(admin, PREFIX + OWN_TOPIC)

        async def continues() -> bool:
            return (await counters.measure()).get("dead_letters_total") == 1 and not await fault()

        await until(continues, "the record is a dead letter")
        assert f"{record} is a dead letter: " in log.read_text()
    finally:
        counters.kill()
