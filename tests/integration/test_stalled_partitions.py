"""A partition sends nothing while records come to another one: a read of both ends in time."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewPartitions
from support.awake import awake_timeout
from support.builders import P0
from support.kafka.access import plaintext
from support.kafka.admin import admin_client

from consumers.runtime.batch import Batch, Partition, Position
from ops.counters import rebuild
from ops.counters.plan import Part
from ops.counters.rebuild import Rebuild
from ops.dead_letters.reader import dead_letters
from ops.demo.embedded.kafka import EmbeddedKafka
from ops.records import up_to_ends
from ops.records.callbacks_topic import CallbacksTopic, OffsetRange, reading_topic
from ops.records.committed_records import reader_of
from ops.records.kafka_answers import KafkaUnreadable
from ops.records.up_to_ends import fetches_up_to
from schemas.topics import CALLBACKS, DEAD_LETTERS

ENDS_S_MAX = 60
SECONDS = 1.0
P1 = Partition(CALLBACKS.name, 1)


@contextlib.asynccontextmanager
async def growing(kafka: EmbeddedKafka, topic: str) -> AsyncIterator[None]:
    """Write to partition 1 all the time, after its first record; partition 0 stays empty."""
    async with AIOKafkaProducer(bootstrap_servers=kafka.address) as producer:

        async def write() -> None:
            while True:
                await producer.send_and_wait(topic, b"{}", partition=1)
                await asyncio.sleep(0.02)

        await producer.send_and_wait(topic, b"{}", partition=1)
        writing = asyncio.create_task(write())
        try:
            async with awake_timeout(ENDS_S_MAX):
                yield
        finally:
            writing.cancel()
            await asyncio.wait((writing,))


async def test_a_read_up_to_given_offsets(
    empty_kafka: EmbeddedKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As that of an audit, of which a partition has no leader."""
    monkeypatch.setattr(up_to_ends, "KAFKA_TIMEOUT_S", SECONDS)
    ends = {TopicPartition(CALLBACKS.name, number): 1 for number in (0, 1)}
    async with (
        growing(empty_kafka, CALLBACKS.name),
        reader_of(plaintext(empty_kafka.address), CALLBACKS.name) as client,
    ):
        with pytest.raises(TimeoutError, match="no record came for 1 s"):
            async for _ in fetches_up_to(client, dict.fromkeys(ends, 0), ends):
                pass


async def test_a_read_of_dead_letters(
    empty_kafka: EmbeddedKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As that of `hookline dead-letters resend`, which reads up to the ends of its first run."""
    monkeypatch.setattr(up_to_ends, "KAFKA_TIMEOUT_S", SECONDS)
    async with admin_client(empty_kafka.address) as admin:
        await admin.create_partitions({DEAD_LETTERS.name: NewPartitions(2)})
    async with growing(empty_kafka, DEAD_LETTERS.name):
        with pytest.raises(KafkaUnreadable, match="no record came for 1 s"):
            async for _ in dead_letters(plaintext(empty_kafka.address), ends={0: 1, 1: 1}):
                pass


class Counts:
    """A generation in memory, and the handler that counts into it."""

    async def begin_partition(self, *_: Any) -> None:
        """Begin where it is said."""

    async def position(self, _: Partition) -> None:
        """Return no position."""

    async def positions(self, _: int) -> Mapping[Partition, Position]:
        """Return the positions at which the rebuild began."""
        return dict.fromkeys((P0, P1), Position(0))

    async def handle(self, _: Batch) -> None:
        """Count a batch."""


async def test_a_rebuild_of_the_counts(
    empty_kafka: EmbeddedKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends with what to do."""
    kept = dict.fromkeys((P0, P1), OffsetRange(0, 1))

    async def ranges(_: CallbacksTopic) -> Mapping[Partition, OffsetRange]:
        return kept

    monkeypatch.setattr(rebuild, "KAFKA_S_MAX", SECONDS)
    monkeypatch.setattr(CallbacksTopic, "ranges", ranges)
    counts: Any = Counts()
    parts = [
        Part(partition=each, begins_at=0, is_continued=False, kafka=kept[each]) for each in kept
    ]
    async with (
        growing(empty_kafka, CALLBACKS.name),
        reading_topic(plaintext(empty_kafka.address)) as topic,
    ):
        counting = Rebuild(
            *(2, counts, counts, topic, None), records_per_s=1e6, advance=lambda _: None
        )
        with pytest.raises(KafkaUnreadable, match="no record came from Kafka for 1 s"):
            await counting.run(parts)
