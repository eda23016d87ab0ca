"""Prepare formatted storage and a cache of Java classes, so that brokers start fast in tests."""

import asyncio
import shutil
from pathlib import Path

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from support.kafka.access import plaintext
from support.made_once import make_once

from ops.demo.embedded.kafka import CLASSES, STORAGE, EmbeddedKafka, kept_directory
from ops.topic_changes import apply_topics
from schemas.topics import CALLBACKS

# The cache of classes also keeps which methods ran often.
TRANSACTIONS, RECORDS_OF_EACH = 20, 50
GROUP = "quick-start"
# Only a broker that hangs takes so long.
ENDS_S_MAX = 240


def prepare() -> None:
    """Make both in the user's cache directory, once for each version of Java and Kafka."""
    make_once(kept_directory(), _made)


def _made(scratch: Path) -> Path:
    made = scratch / "made"
    made.mkdir()
    broker = EmbeddedKafka(scratch / "broker", class_cache_output=made / CLASSES)
    broker.format()
    shutil.copytree(broker.data, made / STORAGE)
    broker.start()
    asyncio.run(asyncio.wait_for(_use(broker.address), ENDS_S_MAX))
    assert broker.process is not None
    # The JVM writes the cache when the broker shuts down.
    broker.process.terminate()
    broker.process.wait(ENDS_S_MAX)
    assert (made / CLASSES).exists(), broker.log.read_text()[-2000:]
    return made


async def _use(address: str) -> None:
    """Have a broker load the classes of what tests ask for: topics, transactions and groups."""
    await apply_topics(plaintext(address), body_bytes_max=1 << 20, replicas=1)
    async with AIOKafkaProducer(bootstrap_servers=address, transactional_id=GROUP) as producer:
        for _ in range(TRANSACTIONS):
            async with producer.transaction():
                sent = [
                    await producer.send(CALLBACKS.name, b"{}", key=b"%d" % number)
                    for number in range(RECORDS_OF_EACH)
                ]
                await asyncio.gather(*sent)
                await producer.send_offsets_to_transaction(
                    {TopicPartition(CALLBACKS.name, 0): 1}, GROUP
                )
    async with AIOKafkaConsumer(
        CALLBACKS.name,
        bootstrap_servers=address,
        group_id=GROUP + "-reader",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed",
    ) as reader:
        left = TRANSACTIONS * RECORDS_OF_EACH
        while left > 0:
            left -= sum(map(len, (await reader.getmany(timeout_ms=1000)).values()))
            await reader.commit()
