"""Clients of commands that read committed records of some topics."""

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import OffsetOutOfRangeError, TopicAuthorizationFailedError
from aiokafka.structs import ConsumerRecord

from schemas.client_parts import inner_client
from schemas.clients import check_cancellation, started
from schemas.kafka_access import KafkaAccess
from schemas.kafka_names import KafkaName
from schemas.kafka_outage import ExplainedFailure
from schemas.missing_topics import TopicMissing, missing_topics

# The time in which Kafka must connect, and in which it must send the next records.
KAFKA_TIMEOUT_S = 30.0
# The records of a fetch, of each partition. The client's own 1 MiB takes some 250 MB of memory for
# twelve partitions, and half as much CPU again, because the records do not stay in the caches.
FETCH_BYTES = 256 << 10
# The pause before Kafka is asked again for the partitions of a topic that was just created.
METADATA_PAUSE_S = 0.2


class RecordsDeleted(ExplainedFailure):
    """Kafka does not have the next record any more; the text has its offset."""


@asynccontextmanager
async def reader_of(kafka: KafkaAccess, *topics: str) -> AsyncIterator[AIOKafkaConsumer]:
    """
    Yield a client that reads committed records, and that knows the partitions of `topics`.

    It has no partitions until it is assigned some, each with the offset to begin at.

    Raises:
        KafkaError, TimeoutError: Kafka does not answer.
    """
    client = AIOKafkaConsumer(
        **kafka.options(),
        isolation_level="read_committed",
        # Records that Kafka deletes before they are fetched must not be skipped silently.
        auto_offset_reset="none",
        enable_auto_commit=False,
        max_partition_fetch_bytes=FETCH_BYTES,
    )
    async with started(client, KAFKA_TIMEOUT_S, kafka):
        await find_partitions(client, [kafka.topic(each) for each in topics])
        yield client


async def find_partitions(client: AIOKafkaConsumer, topics: Collection[KafkaName]) -> None:
    """
    Return once `client` knows the partitions of `topics`, which exist.

    Raises:
        KafkaError, TimeoutError: Kafka does not answer.
    """
    inner: Any = inner_client(client)
    async with asyncio.timeout(KAFKA_TIMEOUT_S):
        if topics:
            await inner.set_topics(topics)
        while unknown := [each for each in topics if not client.partitions_for_topic(each)]:
            if denied := inner.cluster.unauthorized_topics.intersection(unknown):
                raise TopicAuthorizationFailedError(denied.pop())
            check_cancellation()
            await asyncio.sleep(METADATA_PAUSE_S)
            await inner.force_metadata_update()


def partitions_of(client: AIOKafkaConsumer, topics: Iterable[KafkaName]) -> list[TopicPartition]:
    """Return the partitions of `topics`, which `client` knows, in their order."""
    return sorted(
        TopicPartition(topic, number)
        for topic in topics
        for number in client.partitions_for_topic(topic) or ()
    )


def read_from(client: AIOKafkaConsumer, offsets: Mapping[TopicPartition, int]) -> None:
    """Have `client` read these partitions from these offsets on."""
    client.assign(list(offsets))
    # Nothing is awaited before this: the client must not look for offsets of its own.
    for tp, offset in offsets.items():
        client.seek(tp, offset)


async def fetch(
    client: AIOKafkaConsumer, *, timeout_ms: int, records_max: int | None = None
) -> Mapping[TopicPartition, list[ConsumerRecord[bytes, bytes]]]:
    """
    Return the next records.

    Raises:
        RecordsDeleted: Kafka does not have them any more.
        KafkaError: Kafka does not answer.
    """
    try:
        return await client.getmany(timeout_ms=timeout_ms, max_records=records_max)
    except OffsetOutOfRangeError as error:
        places = (f"offset {at} of {tp.topic}/{tp.partition}" for tp, at in error.args[0].items())
        raise RecordsDeleted(
            f"Kafka does not have {' and '.join(places)} any more: records were deleted while they"
            " were read"
        ) from error


@asynccontextmanager
async def reader_of_existing(kafka: KafkaAccess, *topics: str) -> AsyncIterator[AIOKafkaConsumer]:
    """
    Yield a client as `reader_of` does, if Kafka has all `topics`.

    Raises:
        TopicMissing: Kafka does not have one of them.
        KafkaError, TimeoutError: Kafka does not answer.
    """
    async with reader_of(kafka) as client:
        # Check first: `find_partitions` would wait for a missing topic.
        await check_topics(kafka, topics, client)
        await find_partitions(client, [kafka.topic(each) for each in topics])
        yield client


async def check_topics(
    kafka: KafkaAccess, topics: Collection[str], client: AIOKafkaConsumer
) -> None:
    """
    Return if Kafka has all `topics`.

    Raises:
        TopicMissing: Kafka lacks some of them.
        KafkaError, TimeoutError: Kafka does not answer.
    """
    names = [kafka.topic(topic) for topic in topics]
    if missing := await missing_topics(inner_client(client), names):
        raise TopicMissing(
            f"Kafka at {kafka} has no topic {' and no topic '.join(missing)}{_or_denied(kafka)};"
            " create it with: hookline topics apply"
        )


def _or_denied(kafka: KafkaAccess) -> str:
    if kafka.security.security_protocol == "PLAINTEXT":
        return ""
    return ", or does not authorize this principal to describe it"
