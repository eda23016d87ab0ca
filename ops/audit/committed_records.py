"""A client of an audit that reads committed records of some topics."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaConsumer

from schemas.clients import started

# The time in which Kafka must connect, and in which it must send the next records.
KAFKA_TIMEOUT_S = 30.0


@asynccontextmanager
async def reader_of(bootstrap_servers: str, *topics: str) -> AsyncIterator[AIOKafkaConsumer]:
    """
    Yield a client that reads committed records of `topics` from their beginning.

    Raises:
        KafkaError, TimeoutError: Kafka does not answer.
    """
    # Without a group, the client is assigned all partitions of the topics.
    client = AIOKafkaConsumer(
        *topics,
        bootstrap_servers=bootstrap_servers,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    async with started(client, KAFKA_TIMEOUT_S):
        yield client
