"""Prepare formatted storage and a cache of Java classes, so that brokers start fast in tests."""

import asyncio
import fcntl
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from support.kafka.access import plaintext

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
    kept = kept_directory()
    if kept.exists():
        return
    kept.parent.mkdir(parents=True, exist_ok=True)
    # Test processes that run in parallel wait for the first one.
    with Path(f"{kept}.lock").open("ab") as lock, TemporaryDirectory(dir=kept.parent) as scratch:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            _make(Path(scratch) / "broker", Path(scratch) / "made")
            # Rename the complete folder, so that a killed run leaves both parts or none.
            (Path(scratch) / "made").rename(kept)


def _make(directory: Path, made: Path) -> None:
    made.mkdir()
    broker = EmbeddedKafka(directory, class_cache_output=made / CLASSES)
    broker.format()
    shutil.copytree(broker.data, made / STORAGE)
    broker.start()
    asyncio.run(asyncio.wait_for(_use(broker.address), ENDS_S_MAX))
    assert broker.process is not None
    # The JVM writes the cache when the broker shuts down.
    broker.process.terminate()
    broker.process.wait(ENDS_S_MAX)
    assert (made / CLASSES).exists(), broker.log.read_text()[-2000:]


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
