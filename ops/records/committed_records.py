"""Clients of commands that read committed records of some topics."""

from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer

from schemas.clients import started
from schemas.kafka_access import KafkaAccess

# The time in which Kafka must connect, and in which it must send the next records.
KAFKA_TIMEOUT_S = 30.0
# The records of a fetch, of each partition. The client's own 1 MiB takes some 250 MB of memory for
# twelve partitions, and half as much CPU again, because the records do not stay in the caches.
FETCH_BYTES = 256 << 10


class TopicMissing(Exception):
    """Kafka does not have a topic; the text names it, and the command that creates it."""


@asynccontextmanager
async def reader_of(kafka: KafkaAccess, *topics: str) -> AsyncIterator[AIOKafkaConsumer]:
    """
    Yield a client that reads committed records of `topics` from their beginning.

    Raises:
        KafkaError, TimeoutError: Kafka does not answer.
    """
    # Without a group, the client is assigned all partitions of the topics.
    client = AIOKafkaConsumer(
        *map(kafka.topic, topics),
        **kafka.options(),
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_partition_fetch_bytes=FETCH_BYTES,
    )
    async with started(client, KAFKA_TIMEOUT_S, kafka):
        yield client


@asynccontextmanager
async def reader_of_existing(kafka: KafkaAccess, *topics: str) -> AsyncIterator[AIOKafkaConsumer]:
    """
    Yield a client as `reader_of` does, if Kafka has all `topics`.

    Raises:
        TopicMissing: Kafka does not have one of them.
        KafkaError, TimeoutError: Kafka does not answer.
    """
    # Check first: a client that is assigned a missing topic would wait for it.
    async with reader_of(kafka) as client:
        check_topics(kafka, topics, await client.topics())
    async with reader_of(kafka, *topics) as client:
        yield client


def check_topics(kafka: KafkaAccess, topics: Collection[str], existing: Collection[str]) -> None:
    """
    Return if Kafka has all `topics`; `existing` are the cluster's, as a client returns them.

    Raises:
        TopicMissing: Kafka lacks some of them.
    """
    if missing := sorted(set(map(kafka.topic, topics)) - set(existing)):
        raise TopicMissing(
            f"Kafka at {kafka} has no topic {' and no topic '.join(missing)}{_or_denied(kafka)};"
            " create it with: hookline topics apply"
        )


def _or_denied(kafka: KafkaAccess) -> str:
    if kafka.security.security_protocol == "PLAINTEXT":
        return ""
    return ", or does not authorize this principal to describe it"
