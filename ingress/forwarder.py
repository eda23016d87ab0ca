"""
Spool → Kafka, each row once: a transaction carries the rows and the spool's cursor together.

The cursor is the sequence reached, committed as the offset of the main topic's partition 0 in a
group named after the origin (docs/decisions/0004-transactional-cursor.md). Whatever fails, the
forwarder drops its producer, makes a new one, reads the cursor and goes on from there.
"""

import asyncio
import contextlib
import functools
import logging
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError
from aiokafka.partitioner import murmur2
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.structs import OffsetAndMetadata

from ingress.intake import Intake
from ingress.row import Row
from ingress.spool import Spool
from schemas.record import numbered
from schemas.telemetry import INGRESS_FORWARD_FAILURES, INGRESS_FORWARDED, INGRESS_KAFKA_UP
from schemas.topics import CALLBACKS, record_bytes_max

log = logging.getLogger(__name__)

ROWS_MAX = 2000
BYTES_MAX = 4 << 20
# One transaction is begun, sent and committed within TRANSACTION_S; the broker aborts what a dead
# forwarder left open after TRANSACTION_TIMEOUT_MS, and readers wait for it until then.
TRANSACTION_S = 8.0
TRANSACTION_TIMEOUT_MS = 10_000
START_S = 30.0
STOP_S = 5.0
BACKOFF_S = 0.2
BACKOFF_S_MAX = 5.0
ROWS_PER_TURN = 100


class Forwarder:
    """Carries one spool's rows to Kafka for as long as it runs."""

    def __init__(
        self,
        spool: Spool,
        *,
        bootstrap_servers: str,
        body_bytes_max: int,
        stored: asyncio.Event,
        intake: Intake,
    ) -> None:
        self._spool = spool
        self._bootstrap_servers = bootstrap_servers
        self._record_bytes_max = record_bytes_max(body_bytes_max)
        self._intake = intake
        self._stored = stored
        self.forwarded = spool.first_sequence() - 1
        self.fault = "not connected yet"

    async def run(self) -> None:
        """Forward until cancelled. No error ends it: rows wait on disk until Kafka takes them."""
        backoff_s = BACKOFF_S
        while True:
            before = self.forwarded
            try:
                await self._forward()
            except Exception as error:
                INGRESS_KAFKA_UP.set(0)
                INGRESS_FORWARD_FAILURES.inc()
                expected = isinstance(error, KafkaError | TimeoutError | OSError)
                fault = str(error) or type(error).__name__
                if fault != self.fault or not expected:
                    log.warning(
                        "forwarding from spool %s stopped at %d: %s; callbacks wait on disk",
                        self._spool.origin,
                        self.forwarded,
                        repr(error),
                        exc_info=None if expected else error,
                    )
                self.fault = fault
            if self.forwarded > before:
                backoff_s = BACKOFF_S
            await asyncio.sleep(backoff_s * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
            backoff_s = min(backoff_s * 2, BACKOFF_S_MAX)

    async def _forward(self) -> None:
        async with self._producer() as producer:
            # In this order: the producer's start settles its predecessor's transaction in doubt,
            # only then does the committed cursor say what is in the topic.
            cursor, fingerprint = await self._cursor()
            if self._went_back(cursor, fingerprint):
                await self._begin_anew(cursor)
                return
            self.forwarded = max(cursor, self._spool.first_sequence() - 1)
            self._intake.let_go(self.forwarded)
            log.info("forwarding from spool %s after %d", self._spool.origin, self.forwarded)
            self.fault = ""
            INGRESS_KAFKA_UP.set(1)
            while True:
                self._stored.clear()
                rows = self._spool.since(self.forwarded, rows_max=ROWS_MAX, bytes_max=BYTES_MAX)
                if not rows:
                    await self._stored.wait()
                    continue
                async with asyncio.timeout(TRANSACTION_S):
                    await self._transaction(producer, rows)
                self.forwarded = rows[-1].sequence
                INGRESS_FORWARDED.inc(len(rows))
                self._intake.let_go(self.forwarded)

    def _went_back(self, cursor: int, fingerprint: str) -> bool:
        """
        Tell whether the spool is an older copy of itself: Kafka has what it does not have.

        The cursor carries the fingerprint of its row. A row at the cursor that is still here must
        be that one; an older copy has given the number to another callback, or not at all.
        """
        if cursor > self._spool.last_sequence:
            return True
        return cursor >= self._spool.first_sequence() and (
            self._spool.fingerprint(cursor) != fingerprint
        )

    async def _begin_anew(self, cursor: int) -> None:
        before, ends_at = self._spool.origin, self._spool.last_sequence
        await self._intake.begin_anew()
        self.forwarded = 0
        log.critical(
            "spool %s was put back to an older state: it ends at %d, Kafka has it up to %d. Its "
            "rows move to the new origin %s; some may come twice, none is lost. What the spool had "
            "between the two states is in Kafka, and audit reports %s as unproven",
            before,
            ends_at,
            cursor,
            self._spool.origin,
            before,
        )

    async def _transaction(self, producer: AIOKafkaProducer, rows: Sequence[Row]) -> None:
        # Not `async with producer.transaction()`: its exit awaits an abort that no outer time-out
        # ends (aiokafka#905). What is left open here is settled by the next producer's start.
        await producer.begin_transaction()
        sent = 0
        acknowledged = []
        for (topic, partition), batches in (await self._batches(producer, rows)).items():
            for batch in batches:
                sent += batch.record_count()
                # A second batch for a partition waits here until the first is acknowledged.
                acknowledged.append(await producer.send_batch(batch, topic, partition=partition))
        if sent != len(rows):
            raise AssertionError(f"{sent} records stand in the batches for {len(rows)} rows")
        await asyncio.gather(*acknowledged)
        last = rows[-1].sequence
        cursor = OffsetAndMetadata(last, self._spool.fingerprint(last))
        await producer.send_offsets_to_transaction(
            {TopicPartition(CALLBACKS.name, 0): cursor}, group(self._spool.origin)
        )
        await producer.commit_transaction()

    async def _batches(
        self, producer: AIOKafkaProducer, rows: Sequence[Row]
    ) -> dict[tuple[str, int], list[BatchBuilder]]:
        batches: dict[tuple[str, int], list[BatchBuilder]] = defaultdict(list)
        partitions: dict[str, int] = {}
        for at, row in enumerate(rows):
            if at % ROWS_PER_TURN == ROWS_PER_TURN - 1:
                await asyncio.sleep(0)  # requests are answered meanwhile
            topic = row.record.topic
            if topic not in partitions:
                partitions[topic] = len(await producer.partitions_for(topic))
            partition = _partition(row, partitions[topic])
            open_batches = batches[topic, partition]
            if not open_batches or not self._append(open_batches[-1], row):
                # append() says by its result, not by an exception, that a batch is full.
                open_batches.append(producer.create_batch())
                if not self._append(open_batches[-1], row):
                    raise AssertionError(f"row {row.sequence} does not fit into an empty batch")
        return batches

    def _append(self, batch: BatchBuilder, row: Row) -> bool:
        headers = numbered(row.record.headers, self._spool.origin, row.sequence)
        record = row.record
        placed = batch.append(key=record.key, value=record.value, timestamp=None, headers=headers)
        return placed is not None

    async def _cursor(self) -> tuple[int, str]:
        """Return the committed sequence and its row's fingerprint; 0 if there is none yet."""
        cursor = TopicPartition(CALLBACKS.name, 0)
        reader = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap_servers,
            group_id=group(self._spool.origin),
            enable_auto_commit=False,
        )
        try:
            async with asyncio.timeout(START_S):
                await reader.start()
                committed = await reader.committed(cursor)
        finally:
            await _stop(reader)
        if committed is None:
            return 0, ""
        # The consumer knows errors from absence but not the metadata; the admin client the reverse.
        admin = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap_servers)
        try:
            async with asyncio.timeout(START_S):
                await admin.start()
                offsets = await admin.list_consumer_group_offsets(group(self._spool.origin))
        finally:
            await admin.close()
        if cursor not in offsets or offsets[cursor].offset != committed:
            raise KafkaError(f"the cursor is {committed}, but its metadata cannot be read now")
        return committed, offsets[cursor].metadata

    @contextlib.asynccontextmanager
    async def _producer(self) -> AsyncIterator[AIOKafkaProducer]:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap_servers,
            transactional_id=self._spool.origin,
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            request_timeout_ms=5000,
            compression_type="lz4",
            max_batch_size=self._record_bytes_max,
            max_request_size=self._record_bytes_max,
        )
        try:
            async with asyncio.timeout(START_S):
                await producer.start()
            yield producer
        finally:
            await _stop(producer)


def group(origin: str) -> str:
    """Return the consumer group whose offset is the cursor of spool `origin`."""
    return f"hookline-spool-{origin}"


def _partition(row: Row, partitions: int) -> int:
    if row.record.key is None:
        return row.sequence % partitions
    return _hash(row.record.key) % partitions


@functools.lru_cache(maxsize=65_536)
def _hash(key: bytes) -> int:
    # The partitioner of Kafka's Java client, so that other producers' keys land beside ours.
    return int(murmur2(key)) & 0x7FFFFFFF


async def _stop(client: AIOKafkaProducer | AIOKafkaConsumer) -> None:
    # A client that cannot say goodbye in time is abandoned, as after a crash.
    with contextlib.suppress(TimeoutError, KafkaError):
        async with asyncio.timeout(STOP_S):
            await client.stop()  # type: ignore[no-untyped-call]  # aiokafka has no types
