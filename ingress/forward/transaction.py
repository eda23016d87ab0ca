"""The parts of a transaction that carries rows: its producer, its records and its end."""

import asyncio
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, MessageSizeTooLargeError, RecordListTooLargeError

from ingress.forward.compressed_batch import compress
from ingress.forward.transaction_batches import BATCH_BYTES_MAX, TransactionBatches
from schemas.client_parts import known_connections, mark_retrieved
from schemas.clients import started
from schemas.kafka_access import KafkaAccess
from schemas.kafka_names import KafkaName
from schemas.marker_check import MarkerCheck
from schemas.missing_topics import unknown_topics_checked
from schemas.topics import CALLBACKS, DEAD_LETTERS

# The broker aborts a transaction that a dead forwarder left open after this time. It looks for such
# transactions every 10 s, and readers wait until it has aborted it. The time must be longer than a
# forwarder's own limit, SEND_TIMEOUT_S.
TRANSACTION_TIMEOUT_MS = 10_000
# Added partitions are used within this time.
METADATA_MAX_AGE_MS = 10_000
# Errors that are about the records themselves: sent again, they would be refused again.
REFUSALS = (MessageSizeTooLargeError, RecordListTooLargeError)


@asynccontextmanager
async def transactional_producer(
    kafka: KafkaAccess, transactional_id: KafkaName, *, record_bytes_max: int, start_s: float
) -> AsyncIterator[AIOKafkaProducer]:
    """
    Yield a producer for both topics, which fences others with its id; close it on exit.

    Raises:
        TopicMissing: one of the topics does not exist.
        KafkaError, TimeoutError: see `started`.
    """
    producer = AIOKafkaProducer(
        **kafka.options(),
        transactional_id=transactional_id,
        transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
        request_timeout_ms=5000,
        metadata_max_age_ms=METADATA_MAX_AGE_MS,
        compression_type="zstd",
        max_batch_size=min(BATCH_BYTES_MAX, record_bytes_max),
        max_request_size=record_bytes_max,
    )
    topics = [kafka.topic(topic.name) for topic in (CALLBACKS, DEAD_LETTERS)]
    async with (
        started(producer, start_s, kafka),
        unknown_topics_checked(producer.client, topics),
    ):
        yield producer


async def send_batches(
    producer: AIOKafkaProducer, kafka: KafkaAccess, batches: TransactionBatches
) -> None:
    """
    Return when the brokers have acknowledged all batches, in the current transaction.

    Raises:
        KafkaError: some batches may not be in Kafka; one of REFUSALS if a broker refuses a record.
    """
    sent = 0
    waves = max(map(len, batches.by_partition.values()), default=0)
    # A partition's next batch can be compressed when the one before it is acknowledged.
    for wave in range(waves):
        next_batches = await compress(
            producer,
            {
                TopicPartition(kafka.topic(topic), number): partition_batches[wave]
                for (topic, number), partition_batches in batches.by_partition.items()
                if wave < len(partition_batches)
            },
        )
        acknowledgements = []
        for tp, batch in next_batches.items():
            sent += batch.record_count()
            future = await producer.send_batch(batch, tp.topic, partition=tp.partition)
            # If another batch fails first, nothing awaits this one.
            future.add_done_callback(mark_retrieved)
            acknowledgements.append(future)
        await asyncio.gather(*acknowledgements)
    if sent != batches.row_count:
        raise AssertionError(f"{sent} records are in the batches for {batches.row_count} rows")


async def end_transaction(
    producer: AIOKafkaProducer, marker_check: MarkerCheck, ending: Awaitable[None]
) -> None:
    """
    Await a commit or an abort, and return when it is certain that it holds in all partitions.

    Raises:
        KafkaError: a connection was lost, or a partition's leader changed; only `settle` makes sure
            that the end is everywhere.
    """
    live_connections = [
        connection for connection in known_connections(producer) if connection.connected()
    ]
    await ending
    await marker_check.check(producer.client)
    if not all(connection.connected() for connection in live_connections):
        raise KafkaError("a broker went away while a transaction ended")
