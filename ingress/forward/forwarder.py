"""
Spool → Kafka, each row once: a transaction carries the rows and the spool's cursor together.

The cursor is the sequence reached, committed as the offset of the main topic's partition 0 in a
group named after the origin (docs/decisions/0004-transactional-cursor.md). Whatever fails, the
forwarder drops its producer, makes a new one, reads the cursor and goes on from there.
"""

import asyncio
import logging
import random
import time
from collections.abc import Awaitable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import (
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    UnknownTopicOrPartitionError,
)
from aiokafka.structs import OffsetAndMetadata

from ingress.forward.batches import Gathered, gather
from ingress.forward.settle import ended, settle, was_aborted
from ingress.forward.topic_check import present_topic_id, report_change
from ingress.spool.disk import Broken, Corrupt, Full
from ingress.spool.intake import Intake
from ingress.spool.row import Damaged
from ingress.spool.spool import Spool
from schemas.clients import connections, heed_cancellation, kafka_failures, started
from schemas.record import OutgoingRecord, refused_record
from schemas.telemetry import (
    INGRESS_FORWARD_FAILURES,
    INGRESS_FORWARDED,
    INGRESS_REFUSED_BY_KAFKA,
    INGRESS_ROWS_DAMAGED,
    INGRESS_TO_KAFKA_S,
)
from schemas.topics import CALLBACKS, record_bytes_max

log = logging.getLogger(__name__)

ROWS_MAX = 2000
# One transaction is begun, sent and committed within TRANSACTION_S; the broker aborts what a dead
# forwarder left open after TRANSACTION_TIMEOUT_MS, and readers wait for it until then.
TRANSACTION_S = 8.0
TRANSACTION_TIMEOUT_MS = 10_000
START_S = 30.0
# A transaction costs some milliseconds of CPU however few rows it carries, so they begin at least
# so far apart, unless much waits.
TRANSACTION_EVERY_S = 0.1
MUCH_ROWS = 1000
BACKOFF_S = 0.2
BACKOFF_S_MAX = 5.0
# While there is nothing to send, Kafka and the topic's id are checked at this interval.
IDLE_PROBE_S = 5.0
# Added partitions are used within this time.
METADATA_MAX_AGE_MS = 10_000
# What a broker says of the records themselves: sent again they would be refused again.
REFUSALS = (MessageSizeTooLargeError, RecordListTooLargeError)


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
        self._rows_max = ROWS_MAX
        # Dead letters in the place of rows that the broker refuses, by sequence.
        self._instead: dict[int, OutgoingRecord] = {}
        # How the last transaction ended, until what it left open is settled; None: to be asked. A
        # start makes the coordinator forget it, and may fail before it has settled anything.
        self._aborted: bool | None = None
        # The id of the topic that rows went to, as far as this process knows.
        self._topic_id: str | None = None
        # The origin that the present producer and cursor belong to.
        self._origin = spool.origin
        # The rows in quarantine, by number, that the log has; None before the first report.
        self._reported: frozenset[int] | None = None
        self.forwarded = spool.first_sequence() - 1
        self.fault = "not connected yet"

    async def run(self) -> None:
        """Forward until cancelled. No error ends it: rows wait on disk until Kafka takes them."""
        backoff_s = BACKOFF_S
        self._report_quarantined()
        while True:
            heed_cancellation()
            before = self.forwarded
            try:
                with kafka_failures(kinds=()):
                    await self._forward()
            except Corrupt as corrupt:
                self._intake.find_corrupt(str(corrupt))
                return
            except Exception as error:
                INGRESS_FORWARD_FAILURES.inc()
                expected = isinstance(error, KafkaError | TimeoutError | OSError | Full | Broken)
                fault = _in_words(error)
                if fault != self.fault or not expected:
                    log.warning(
                        "forwarding from spool %s stopped at %d: %s; callbacks wait on disk",
                        self._spool.origin,
                        self.forwarded,
                        fault,
                        exc_info=None if expected else error,
                    )
                self.fault = fault
            if self.forwarded > before:
                backoff_s = BACKOFF_S
            await asyncio.sleep(backoff_s * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
            backoff_s = min(backoff_s * 2, BACKOFF_S_MAX)

    async def _forward(self) -> None:
        origin = self._origin = self._spool.origin
        if self._aborted is None:
            self._aborted = await was_aborted(self._bootstrap_servers, origin)
        async with self._producer() as producer:
            # In this order: the producer's start ends its predecessor's transaction, and what is
            # left of that is settled. Only then does the cursor say what is in the topic.
            await self._whole(producer, settle(producer, group(origin), abort=self._aborted))
            await ended(self._bootstrap_servers, origin)
            self._aborted = None
            cursor, fingerprint, topic_id = await self._cursor()
            if self._went_back(cursor, fingerprint):
                await self._start_new_origin(cursor)
                return
            async with asyncio.timeout(START_S):
                present = await present_topic_id(producer)
            report_change(self._spool, cursor, before=topic_id or self._topic_id, now=present)
            self._topic_id = present or self._topic_id
            self.forwarded = max(cursor, self._spool.first_sequence() - 1)
            self._intake.let_go(self.forwarded)
            log.info("forwarding from spool %s after %d", self._spool.origin, self.forwarded)
            self.fault = ""
            clock = asyncio.get_running_loop().time
            while True:
                heed_cancellation()
                self._report_quarantined()
                begun = clock()
                self._stored.clear()
                try:
                    gathered = await gather(
                        producer,
                        self._spool,
                        self.forwarded,
                        rows_max=self._rows_max,
                        instead=self._instead,
                    )
                except Damaged as damaged:
                    await self._quarantine(damaged.sequence, str(damaged))
                    continue
                if self._spool.origin != origin:
                    return  # a commit that seemed to fail had started a new one
                if gathered.rows:
                    await self._carry(producer, gathered)
                else:
                    await self._idle(producer)
                    continue
                if gathered.rows < MUCH_ROWS:
                    await asyncio.sleep(begun + TRANSACTION_EVERY_S - clock())

    async def _carry(self, producer: AIOKafkaProducer, gathered: Gathered) -> None:
        """Bring the rows into Kafka, or find out which of them the broker refuses for ever."""
        try:
            async with asyncio.timeout(TRANSACTION_S):
                await self._transaction(producer, gathered)
        except REFUSALS as refusal:
            async with asyncio.timeout(TRANSACTION_S):
                await self._whole(producer, producer.abort_transaction())
            await self._narrow(gathered, refusal)
            return
        self.forwarded = gathered.last
        self._rows_max = min(2 * self._rows_max, ROWS_MAX)
        for sequence in [sequence for sequence in self._instead if sequence <= gathered.last]:
            del self._instead[sequence]
        INGRESS_FORWARDED.inc(gathered.rows)
        INGRESS_TO_KAFKA_S.observe(time.time() - gathered.oldest_received_at_ms / 1000)
        self._intake.let_go(self.forwarded)

    async def _narrow(self, gathered: Gathered, refusal: KafkaError) -> None:
        # The broker names no record, so fewer are tried until one stands alone.
        if gathered.rows > 1:
            self._rows_max = gathered.rows // 2
            return
        sequence = gathered.last
        if sequence in self._instead:
            await self._quarantine(sequence, f"Kafka refuses row {sequence} as a dead letter, too")
            return
        (row,) = self._spool.since(sequence - 1, rows_max=1, bytes_max=1)
        log.critical(
            "Kafka refuses row %d of spool %s (%s); it goes to the dead-letter topic",
            sequence,
            self._spool.origin,
            _in_words(refusal),
        )
        INGRESS_REFUSED_BY_KAFKA.inc()
        self._instead[sequence] = refused_record(row.record, refusal, int(time.time() * 1000))

    async def _quarantine(self, sequence: int, why: str) -> None:
        await self._intake.between(partial(self._spool.quarantine, sequence))
        self._report_quarantined(why)

    def _report_quarantined(self, why: str = "a commit that seemed to fail was kept") -> None:
        """
        Log and count the rows that went into quarantine since the last call.

        The rows are read from the state, because a commit that seemed to fail may have moved some,
        too. The first call logs the rows that were in quarantine before.
        """
        state, before = self._spool.state, self._reported
        if state.quarantined is before:
            return
        self._reported = state.quarantined
        if before is None and state.damaged:
            log.warning(
                "rows of spool %s are in quarantine from before: %s (hookline spool show %s)",
                state.origin,
                ", ".join(map(str, state.damaged)),
                self._spool.name,
            )
        elif before is not None and (taken := state.quarantined - before):
            INGRESS_ROWS_DAMAGED.inc(len(taken))
            log.critical(
                "%s; rows of spool %s are in quarantine in its file and will not be sent: %s "
                "(hookline spool show %s); audit reports them as missing",
                why,
                state.origin,
                ", ".join(str(number - state.base) for number in sorted(taken)),
                self._spool.name,
            )

    async def _idle(self, producer: AIOKafkaProducer) -> None:
        """Return when there is something to send; meanwhile make sure that Kafka is there."""
        try:
            async with asyncio.timeout(IDLE_PROBE_S):
                await self._stored.wait()
        except TimeoutError:
            async with asyncio.timeout(TRANSACTION_S):
                if not await producer.client.force_metadata_update():
                    raise KafkaError("Kafka does not answer") from None
                await self._check_topic(producer)

    def _went_back(self, cursor: int, fingerprint: str) -> bool:
        """
        Tell whether the spool is an older copy of itself: Kafka has what it does not have.

        The cursor carries the fingerprint of its row. A row at the cursor that is still here must
        be that one; an older copy has given the number to another callback, or not at all.
        """
        if cursor > self._spool.last_sequence:
            return True
        # "": it has been let go, or its block is damaged, which says nothing.
        return self._spool.fingerprint(cursor) not in ("", fingerprint)

    async def _start_new_origin(self, cursor: int) -> None:
        before, ends_at = self._spool.origin, self._spool.last_sequence
        self._intake.let_go(0)
        await self._intake.between(self._spool.start_new_origin)
        self.forwarded, self._rows_max = 0, ROWS_MAX
        self._instead.clear()  # of the old origin's numbers
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

    async def _transaction(self, producer: AIOKafkaProducer, gathered: Gathered) -> None:
        # Not `async with producer.transaction()`: its exit awaits an abort that no outer time-out
        # ends (aiokafka#905). What is left open here is settled by the next producer's start.
        await producer.begin_transaction()
        sent = 0
        acknowledged = []
        for (topic, number), batches in gathered.batches.items():
            for batch in batches:
                sent += batch.record_count()
                # A second batch for a partition waits here until the first is acknowledged.
                future = await producer.send_batch(batch, topic, partition=number)
                future.add_done_callback(_heard)
                acknowledged.append(future)
        if sent != gathered.rows:
            raise AssertionError(f"{sent} records stand in the batches for {gathered.rows} rows")
        await asyncio.gather(*acknowledged)
        # Only after that check: else some of the rows could be in a topic that was deleted
        # meanwhile, and the cursor after them.
        await self._check_topic(producer)
        metadata = f"{gathered.fingerprint} {self._topic_id or ''}".rstrip()
        cursor = OffsetAndMetadata(gathered.last, metadata)
        await producer.send_offsets_to_transaction(
            {TopicPartition(CALLBACKS.name, 0): cursor}, group(self._origin)
        )
        await self._whole(producer, producer.commit_transaction())

    async def _check_topic(self, producer: AIOKafkaProducer) -> None:
        """
        Check that the topic is still the one that earlier rows went to.

        Raises:
            KafkaError: the topic was recreated; the next producer sends the rows of this
                transaction to the new topic.
        """
        present = await present_topic_id(producer)
        if present and self._topic_id and present != self._topic_id:
            raise KafkaError(f"the topic {CALLBACKS.name} was recreated, with the id {present}")

    async def _whole(self, producer: AIOKafkaProducer, ending: Awaitable[None]) -> None:
        """
        Await the end of a transaction, and do not believe it if a broker went away meanwhile.

        Raises:
            KafkaError: a connection was lost; only `settle` makes sure that the end is everywhere.
        """
        alive = [each for each in connections(producer) if each.connected()]
        await ending
        if not all(each.connected() for each in alive):
            raise KafkaError("a broker went away while a transaction ended")

    async def _cursor(self) -> tuple[int, str, str]:
        """Return the committed sequence, its row's fingerprint and the topic's id; 0 if none is."""
        cursor = TopicPartition(CALLBACKS.name, 0)
        reader = AIOKafkaConsumer(
            bootstrap_servers=self._bootstrap_servers,
            group_id=group(self._origin),
            enable_auto_commit=False,
        )
        async with started(reader, START_S), asyncio.timeout(START_S):
            with kafka_failures():
                committed = await reader.committed(cursor)
        if committed is None:
            return 0, "", ""
        # The consumer knows errors from absence but not the metadata; the admin client the reverse.
        admin = AIOKafkaAdminClient(bootstrap_servers=self._bootstrap_servers)
        async with started(admin, START_S), asyncio.timeout(START_S):
            with kafka_failures():
                offsets = await admin.list_consumer_group_offsets(group(self._origin))
        if cursor not in offsets or offsets[cursor].offset != committed:
            raise KafkaError(f"the cursor is {committed}, but its metadata cannot be read now")
        fingerprint, _, topic_id = offsets[cursor].metadata.partition(" ")
        return committed, fingerprint, topic_id

    def _producer(self) -> AbstractAsyncContextManager[AIOKafkaProducer]:
        producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap_servers,
            transactional_id=self._origin,
            transaction_timeout_ms=TRANSACTION_TIMEOUT_MS,
            request_timeout_ms=5000,
            metadata_max_age_ms=METADATA_MAX_AGE_MS,
            compression_type="zstd",
            max_batch_size=self._record_bytes_max,
            max_request_size=self._record_bytes_max,
        )
        return started(producer, START_S)


def group(origin: str) -> str:
    """Return the consumer group whose offset is the cursor of spool `origin`."""
    return f"hookline-spool-{origin}"


def _heard(future: "asyncio.Future[Any]") -> None:
    # If another one fails first, nobody asks for this one's exception, and asyncio would say so.
    if not future.cancelled():
        future.exception()


def _in_words(error: Exception) -> str:
    if isinstance(error, UnknownTopicOrPartitionError):
        return "a topic is missing; make it with: hookline topics apply"
    if isinstance(error, TimeoutError):
        return "Kafka does not answer in time"
    return str(error) or type(error).__name__
