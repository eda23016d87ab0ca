"""
A target's retry topic in Kafka, and how a member claims a partition of it.

The transactional id has the partition's number, so the member that claims a partition fences every
earlier owner (docs/decisions/0034-webhooks.md).
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncIterator

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from consumers.runtime.source import KafkaUnavailable
from consumers.webhook.retry_partition import RetryPartition
from consumers.webhook.retry_record import PartitionClaim
from consumers.webhook.retry_topic_setup import ensure_topic
from schemas.clients import kafka_failures, started
from schemas.kafka_access import KafkaAccess
from schemas.kafka_names import KafkaName
from schemas.marker_check import MarkerCheck
from schemas.topics import EXTENDED_RECORD_BYTES_LIMIT, RECORD_OVERHEAD_BYTES

START_TIMEOUT_S = 8.0
# The broker aborts a transaction that a dead member left open after this time.
TRANSACTION_TIMEOUT_MS = 10_000
FETCH_BYTES = 1 << 20


def retry_topic(name: str) -> str:
    """Return the name of a target's retry topic."""
    return f"tim.callbacks.retry.{name}.v1"


class RetryTopic:
    """The retry topic of the target `name`."""

    def __init__(self, *, kafka: KafkaAccess, name: str, record_bytes_max: int) -> None:
        self._name = name
        self.topic = kafka.topic(retry_topic(name))
        self._id = f"hookline-webhook-{name}"
        self._kafka = kafka
        # A parked callback has more headers than it had in the main topic.
        self._record_bytes_max = record_bytes_max + RECORD_OVERHEAD_BYTES
        self._partitions = 0
        self._preparing = asyncio.Lock()

    @contextlib.asynccontextmanager
    async def claim(self, number: int) -> AsyncIterator[RetryPartition]:
        """
        Take partition `number` over from every other member, and yield it with its state.

        Raises:
            KafkaUnavailable: Kafka does not answer now.
            Stopped: the topic cannot be used.
        """
        async with contextlib.AsyncExitStack() as opened:
            try:
                retry_partition = await self._claim(number, opened)
            except (KafkaError, TimeoutError) as error:
                raise KafkaUnavailable(f"{self.topic}/{number}: {error!r}") from error
            yield retry_partition

    async def _claim(self, number: int, opened: contextlib.AsyncExitStack) -> RetryPartition:
        async with self._preparing:
            if number >= self._partitions:
                self._partitions = await ensure_topic(self._kafka, retry_topic(self._name))
        transactional_id = self._kafka.transactional_id(f"{self._id}-{number}")
        # The start of the producer aborts what an earlier owner left open, and fences that owner.
        producer = await opened.enter_async_context(
            started(self._producer(transactional_id), START_TIMEOUT_S, self._kafka)
        )
        markers = MarkerCheck((self.topic,))
        async with asyncio.timeout(START_TIMEOUT_S):
            await markers.begin(producer.client, transactional_id)
        reader = await opened.enter_async_context(
            started(self._reader(), START_TIMEOUT_S, self._kafka)
        )
        retry_partition = RetryPartition(
            TopicPartition(self.topic, number), producer, markers, reader
        )
        claim = secrets.token_hex(16)
        # Its marker also ends transactions of which a broker has lost the marker. They are
        # committed then, whatever was decided: each states only what has happened.
        await retry_partition.write([PartitionClaim(claim)])
        with kafka_failures():
            await retry_partition.read(claim)
        return retry_partition

    def _producer(self, transactional_id: KafkaName) -> AIOKafkaProducer:
        return AIOKafkaProducer(
            **self._kafka.options(),
            transactional_id=transactional_id,
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            request_timeout_ms=5000,
            compression_type="zstd",
            max_batch_size=self._record_bytes_max,
            max_request_size=EXTENDED_RECORD_BYTES_LIMIT,
        )

    def _reader(self) -> AIOKafkaConsumer:
        return AIOKafkaConsumer(
            **self._kafka.options(),
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            max_partition_fetch_bytes=FETCH_BYTES,
        )
