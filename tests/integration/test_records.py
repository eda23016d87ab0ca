"""The records of a range of time, read from a real topic."""

import random
import secrets
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewTopic
from support.kafka.access import plaintext
from support.kafka.admin import admin_client
from support.kafka.parts import Pipe, in_topic, many

from ops.demo.embedded.kafka import EmbeddedKafka
from ops.records.callbacks_topic import reading_topic
from ops.records.topic import TopicUnreadable, records_between

BEGINS = datetime(2026, 1, 31, 8, tzinfo=UTC)
PARTITIONS = 2
# Below CLOCK_SLACK: how far the clocks of two brokers differ.
JITTER_S = 140


async def fill(kafka: str, topic: str, chance: random.Random) -> dict[tuple[int, int], datetime]:
    """Write ten hours of records; return the time of each by partition and offset."""
    async with admin_client(kafka) as admin:
        # The test sets the times, as LogAppendTime would by the clocks of several brokers.
        by_sender = {"message.timestamp.type": "CreateTime", "retention.ms": "-1"}
        await admin.create_topics([NewTopic(topic, PARTITIONS, 1, topic_configs=by_sender)])
    # Not transactional: its markers would have the present time, and so would not be in order.
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    await producer.start()
    times: dict[tuple[int, int], datetime] = {}
    try:
        for number in range(600):
            seconds = number * 60 + chance.uniform(-JITTER_S, JITTER_S)
            at_ms = int((BEGINS + timedelta(seconds=seconds)).timestamp() * 1000)
            partition = chance.randrange(PARTITIONS)
            future = await producer.send(topic, b"{}", partition=partition, timestamp_ms=at_ms)
            offset = (await future).offset
            times[partition, offset] = datetime.fromtimestamp(at_ms / 1000, UTC)
    finally:
        await producer.stop()
    return times


async def test_every_record_of_a_range_is_read(kafka: str, scaled: Callable[..., int]) -> None:
    """Also where the times are not in order, and nothing that is far outside."""
    topic = f"records-{secrets.token_hex(4)}"
    chance = random.Random(1)  # noqa: S311 - a model, not secrets
    times = await fill(kafka, topic, chance)
    for _ in range(scaled(10, at_most=100)):
        since = BEGINS + timedelta(minutes=chance.randrange(-60, 640))
        until = since + timedelta(minutes=chance.randrange(1, 300))
        is_open = chance.random() < 0.2
        read: dict[tuple[int, int], datetime] = {}
        async for partition, records in records_between(
            plaintext(kafka), topic, since, None if is_open else until
        ):
            for record in records:
                at = datetime.fromtimestamp(record.timestamp_ms / 1000, UTC)
                read[partition.number, record.offset] = at
        assert read.items() <= times.items()
        expected = {place for place, at in times.items() if at >= since and (is_open or at < until)}
        assert expected <= read.keys()
        far = timedelta(minutes=15)
        assert all(at > since - far and (is_open or at < until + far) for at in read.values())


async def test_the_offsets_of_a_time_are_exact_between_transactions(
    empty_kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    """In the topic of callbacks, whose times are Kafka's and whose last offsets are markers."""
    with closing(Pipe(empty_kafka.address, tmp_path / "spool")) as pipe:
        for number in range(6):
            await pipe.store(many(15, first=1 + 15 * number))
            await pipe.forward()
    found = await in_topic(empty_kafka.address, None)
    times = sorted({record.timestamp for record in found})
    async with reading_topic(plaintext(empty_kafka.address)) as topic:
        ranges = await topic.ranges()
        for at_ms in sorted({at + shift for at in times for shift in (-1, 0, 1)}):
            at = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=at_ms)
            for partition, first in (await topic.offsets_at(ranges, at)).items():
                offset = ranges[partition].end if first is None else first
                records = [each for each in found if each.partition == partition.number]
                assert all((each.offset >= offset) == (each.timestamp >= at_ms) for each in records)
    assert len(times) > 1


async def test_a_topic_that_is_missing_is_named(kafka: str) -> None:
    """And the command that creates it."""
    with pytest.raises(TopicUnreadable, match="has no topic nothing-here; create it"):
        async for _ in records_between(plaintext(kafka), "nothing-here", BEGINS, None):
            pass
