"""The dead letters that wait are counted within a time; a count that ended too early says so."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.structs import ConsumerRecord
from support.kafka.access import plaintext

from consumers.stats import dead_letter_counts
from consumers.stats.bounded_read import read_until
from consumers.stats.dead_letter_counts import DeadLetters, count_dead_letters
from ops.demo.embedded.kafka import EmbeddedKafka
from schemas.clients import started
from schemas.dead_letter_actions import Actions
from schemas.topics import DEAD_LETTERS

PARTITION = TopicPartition(DEAD_LETTERS.name, 0)
Records = Sequence[ConsumerRecord[bytes, bytes]]


async def add_dead_letters(kafka: str, count: int) -> None:
    """Write so many dead letters."""
    async with AIOKafkaProducer(bootstrap_servers=kafka) as producer:
        for _ in range(count):
            await producer.send_and_wait(PARTITION.topic, b"{}", partition=PARTITION.partition)


async def counted(kafka: str) -> DeadLetters:
    """Return the dead letters that wait, if no action was taken on any."""
    # One record comes with each fetch, so that a count can end between two.
    reader = AIOKafkaConsumer(
        bootstrap_servers=kafka, auto_offset_reset="earliest", max_poll_records=1
    )
    async with started(reader, 10.0, plaintext(kafka)):
        return await count_dead_letters(reader, [PARTITION], Actions(""))


async def the_first(
    reader: AIOKafkaConsumer,
    next_offsets: dict[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
    *,
    s_max: float,
) -> AsyncGenerator[Records]:
    """Yield the first records, and then nothing, as if the time was over."""
    async with aclosing(read_until(reader, next_offsets, ends, s_max=s_max * 60)) as read:
        async for records in read:
            yield records
            return


async def test_a_count_that_ends_too_early_does_not_know_the_newest(
    empty_kafka: EmbeddedKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest are read first, and say nothing about the last 24 hours."""
    await add_dead_letters(empty_kafka.address, 3)
    with monkeypatch.context() as patch:
        patch.setattr(dead_letter_counts, "read_until", the_first)
        some = await counted(empty_kafka.address)
        assert (some.total, some.recent, some.newest_at, some.is_complete) == (1, None, None, False)
        # No time at all: nothing is known.
        patch.undo()
        patch.setattr(dead_letter_counts, "COUNT_S_MAX", 0.0)
        none = await counted(empty_kafka.address)
        assert (none.total, none.recent, none.newest_at, none.is_complete) == (0, None, None, False)
    monkeypatch.setattr(dead_letter_counts, "COUNT_S_MAX", 60.0)
    whole = await counted(empty_kafka.address)
    assert (whole.total, whole.recent, whole.is_complete) == (3, 3, True)
    assert whole.newest_at is not None
    assert datetime.now(UTC) - whole.newest_at < timedelta(hours=1)
    # The older ones are not read, but the newest are.
    monkeypatch.setattr(dead_letter_counts, "COUNTED_OFFSETS_MAX", 1)
    last = await counted(empty_kafka.address)
    assert (last.total, last.recent, last.is_complete) == (1, 1, False)
    assert last.newest_at == whole.newest_at
