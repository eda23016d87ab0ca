"""Read the dead-letter topic and the topic of actions, from the first to the last record."""

import contextlib
import time
from collections.abc import AsyncGenerator, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import ConsumerRecord

from ops.dead_letters.letter import DeadLetter, dead_letter
from ops.records.committed_records import (
    KAFKA_TIMEOUT_S,
    RecordsDeleted,
    fetch,
    partitions_of,
    read_from,
    reader_of_existing,
)
from ops.records.kafka_answers import kafka_answers
from ops.records.up_to_ends import fetches_up_to
from ops.terminal import measured_progress
from schemas.dead_letter_actions import Actions, RecordId, decoded
from schemas.kafka_access import KafkaAccess
from schemas.kafka_names import KafkaName
from schemas.topic_ids import topic_id_of
from schemas.topics import ACTIONS, DEAD_LETTERS

POLL_MS = 500
RECORDS_PER_READ = 500


async def read_actions(kafka: KafkaAccess) -> Actions:
    """
    Return all actions on the present dead-letter topic.

    Raises:
        KafkaUnreadable: Kafka does not answer, or lacks a topic.
    """
    with kafka_answers(kafka, "run the command again"):
        async with reader_of_existing(kafka, DEAD_LETTERS.name, ACTIONS.name) as client:
            actions = Actions(await topic_id_of(client, kafka.topic(DEAD_LETTERS.name)) or "")
            async with contextlib.aclosing(
                _records(client, kafka.topic(ACTIONS.name), "actions", {})
            ) as read:
                async for records in read:
                    actions.add_all(filter(None, (decoded(each.value) for each in records)))
    return actions


async def dead_letters(
    kafka: KafkaAccess, *, ends: dict[int, int] | None = None
) -> AsyncGenerator[Sequence[DeadLetter]]:
    """
    Yield all dead letters, some at a time, and show the progress on a terminal.

    They are read up to `ends`, the offsets after the last dead letters by partition. If `ends` is
    empty, it gets the present ones.

    Raises:
        KafkaUnreadable: Kafka does not answer, or lacks the topic.
    """
    with kafka_answers(kafka, "run the command again; it continues"):
        async with reader_of_existing(kafka, DEAD_LETTERS.name) as client:
            wanted = {} if ends is None else ends
            async with contextlib.aclosing(
                _records(client, kafka.topic(DEAD_LETTERS.name), "dead letters", wanted)
            ) as read:
                async for records in read:
                    yield [dead_letter(each) for each in records]


async def dead_letters_by_id(
    kafka: KafkaAccess, ids: Sequence[RecordId]
) -> list[DeadLetter | None]:
    """
    Return dead letters, in the order of `ids`; None for one that the topic does not have.

    Raises:
        KafkaUnreadable: Kafka does not answer, or lacks the topic.
    """
    with kafka_answers(kafka, "run the command again"):
        async with reader_of_existing(kafka, DEAD_LETTERS.name) as client:
            topic = kafka.topic(DEAD_LETTERS.name)
            return [await _one(client, topic, each) for each in ids]


async def _one(client: AIOKafkaConsumer, topic: KafkaName, letter: RecordId) -> DeadLetter | None:
    tp = TopicPartition(topic, letter.partition)
    if tp not in partitions_of(client, [topic]):
        return None
    start = (await client.beginning_offsets([tp]))[tp]
    end = (await client.end_offsets([tp]))[tp]
    if not start <= letter.offset < end:
        return None
    read_from(client, {tp: letter.offset})
    deadline = time.monotonic() + KAFKA_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            fetched = await fetch(client, timeout_ms=POLL_MS, records_max=1)
        except RecordsDeleted:
            return None
        for record in fetched.get(tp, ()):
            return dead_letter(record) if record.offset == letter.offset else None
        if await client.position(tp) > letter.offset:
            return None  # there is only the marker of a transaction
    raise TimeoutError(f"no record came for {KAFKA_TIMEOUT_S:g} s")


async def _records(
    client: AIOKafkaConsumer, topic: KafkaName, title: str, ends: dict[int, int]
) -> AsyncGenerator[Sequence[ConsumerRecord[bytes, bytes]]]:
    """Yield the records of `topic` up to `ends`, by partition; empty ends get the present ones."""
    partitions = partitions_of(client, [topic])
    starts = await client.beginning_offsets(partitions)
    if not ends:
        found = await client.end_offsets(partitions)
        ends.update({tp.partition: end for tp, end in found.items()})
    at = {tp: starts[tp] for tp in partitions}
    ends_of = {tp: ends.get(tp.partition, 0) for tp in partitions}
    total = sum(max(0, ends_of[tp] - at[tp]) for tp in partitions)
    fetching = fetches_up_to(client, at, ends_of, records_max=RECORDS_PER_READ)
    with measured_progress(title, total) as advance:
        async with contextlib.aclosing(fetching) as fetches:
            async for tp, records in fetches:
                if wanted := [each for each in records if at[tp] <= each.offset < ends_of[tp]]:
                    yield wanted
                advance(records[-1].offset + 1 - at[tp])
