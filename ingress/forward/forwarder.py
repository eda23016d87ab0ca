"""
Send a spool's rows to Kafka, each once: one transaction carries rows and the spool's cursor.

After any failure but a refused record or a damaged row, the forwarder starts a new producer,
settles the last transaction, reads the cursor and continues after it.
"""

import asyncio
import logging
import random
import time
from contextlib import AbstractAsyncContextManager

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from ingress.forward.cursor import (
    Cursor,
    cursor_group,
    is_older_copy,
    read_cursor,
    report_older_copy,
    transactional_id_of,
)
from ingress.forward.forward_fault import ForwardFault
from ingress.forward.last_outcome import LastOutcome
from ingress.forward.next_transaction import NextTransaction
from ingress.forward.pace import wait_for_next_transaction
from ingress.forward.quarantine_log import QuarantineLog
from ingress.forward.settle import settle
from ingress.forward.topic_check import TopicCheck
from ingress.forward.transaction import (
    REFUSALS,
    end_transaction,
    send_batches,
    transactional_producer,
)
from ingress.forward.transaction_batches import (
    TransactionBatches,
    build_batches,
    forget_rows_in_steps,
)
from ingress.spool.async_spool import AsyncSpool
from ingress.spool.disk import Corrupt
from ingress.spool.row import DamagedCallback
from ingress.spool.state import SpoolState
from schemas.clients import check_cancellation
from schemas.kafka_access import KafkaAccess
from schemas.marker_check import MarkerCheck
from schemas.telemetry import INGRESS_FORWARD_FAILURES, INGRESS_FORWARDED, INGRESS_TO_KAFKA_S
from schemas.topics import CALLBACKS, DEAD_LETTERS, record_bytes_max

log = logging.getLogger(__name__)

# Sending and committing one transaction takes at most this long.
SEND_TIMEOUT_S = 8.0
START_TIMEOUT_S = 30.0
BACKOFF_S = 0.2
BACKOFF_S_MAX = 5.0
# While there is nothing to send, Kafka and the topic's id are checked at this interval.
IDLE_CHECK_INTERVAL_S = 5.0


class Forwarder:
    """Sends one spool's rows to Kafka for as long as it runs."""

    def __init__(self, spool: AsyncSpool, *, kafka: KafkaAccess, body_bytes_max: int) -> None:
        self._spool = spool
        self._kafka = kafka
        self._record_bytes_max = record_bytes_max(body_bytes_max)
        self._next_transaction = NextTransaction(spool)
        self._last_outcome = LastOutcome(spool, kafka, self._show_fault)
        self._topic_check = TopicCheck(kafka)
        self._marker_check = MarkerCheck(map(kafka.topic, (CALLBACKS.name, DEAD_LETTERS.name)))
        # The origin of the current producer and cursor.
        self._origin = spool.state.origin
        self._quarantine_log = QuarantineLog(spool.name)
        # The last sequence that Kafka has, as far as is known: the cursor was perhaps not read yet.
        self.forwarded_sequence = spool.state.first_sequence - 1
        self.fault = ForwardFault()

    @property
    def is_replaceable(self) -> bool:
        """False while only this object knows the outcome that `settle` must repeat."""
        return self._last_outcome.is_replaceable

    async def run(self) -> None:
        """Forward until cancelled, or until the file is corrupt; no other error ends it."""
        backoff_s = BACKOFF_S
        self._quarantine_log.report(self._spool.state)
        while True:
            check_cancellation()
            sequence_before = self.forwarded_sequence
            try:
                await self._forward()
            except Corrupt as corrupt:
                self._spool.report_corruption(str(corrupt))
                return
            except Exception as error:  # noqa: BLE001 - whatever it is, rows wait on disk
                INGRESS_FORWARD_FAILURES.inc()
                self._show_fault(error)
            if self.forwarded_sequence > sequence_before:
                backoff_s = BACKOFF_S
            await asyncio.sleep(backoff_s * random.uniform(0.5, 1.5))  # noqa: S311 - jitter
            backoff_s = min(backoff_s * 2, BACKOFF_S_MAX)

    def _show_fault(self, error: Exception) -> None:
        self.fault.note_failure(error, self._spool.state.origin, self.forwarded_sequence)

    async def _forward(self) -> None:
        """Forward until something fails, or until the spool has a new origin."""
        origin = self._origin = self._spool.state.origin
        await self._last_outcome.end_and_note(origin)
        async with self._open_producer() as producer:
            cursor = await self._settle_and_read_cursor(producer)
            if is_older_copy(self._spool, cursor):
                await self._start_new_origin(cursor)
                return
            await self._continue_from(producer, cursor)
            # An uncertain commit may have started a new origin, too.
            while self._spool.state.origin == origin:
                check_cancellation()
                await self._forward_next(producer)

    async def _settle_and_read_cursor(self, producer: AIOKafkaProducer) -> Cursor:
        """
        Return the cursor, once it is certain which rows are in the topic.

        The last transaction was ended before `producer` started. Here the rest of earlier ones is
        settled; only then does the cursor agree with the topic.
        """
        async with asyncio.timeout(START_TIMEOUT_S):
            transactional_id = transactional_id_of(self._kafka, self._origin)
            await self._marker_check.begin(producer.client, transactional_id)
            self._last_outcome.begin_settling()
            abort = self._last_outcome.must_abort
            settling = settle(producer, self._kafka, cursor_group(self._origin), abort=abort)
            await end_transaction(producer, self._marker_check, settling)
        await self._last_outcome.end_settling()
        return await read_cursor(self._kafka, self._origin)

    async def _continue_from(self, producer: AIOKafkaProducer, cursor: Cursor) -> None:
        """Take `cursor` as the last row that Kafka has, and report rows that the topic may lack."""
        state = self._spool.state
        async with asyncio.timeout(START_TIMEOUT_S):
            await self._topic_check.begin(producer, state, cursor)
        self.forwarded_sequence = max(cursor.sequence, state.first_sequence - 1)
        self._spool.remove_forwarded_soon(self.forwarded_sequence)
        log.info(
            "forwarding from origin %s after sequence %d", state.origin, self.forwarded_sequence
        )
        self.fault.note_connected()

    async def _forward_next(self, producer: AIOKafkaProducer) -> None:
        """Send the next rows in one transaction; if there are none, wait for some."""
        state = self._spool.state
        self._quarantine_log.report(state)
        began_at = asyncio.get_running_loop().time()
        try:
            batches = await build_batches(
                producer,
                self._kafka,
                self._spool,
                self.forwarded_sequence,
                rows_max=self._next_transaction.rows_max,
                dead_letters=self._next_transaction.dead_letters,
            )
        except DamagedCallback as damaged:
            await self._quarantine(damaged.sequence, str(damaged))
            return
        if self._spool.state.origin != self._origin:
            return
        if not batches.row_count:
            await self._wait_for_rows(producer, state)
            return
        await self._send(producer, batches)
        if not batches.is_full:
            await wait_for_next_transaction(self._spool, self.forwarded_sequence, began_at)

    async def _wait_for_rows(self, producer: AIOKafkaProducer, before: SpoolState) -> None:
        """Return when there may be rows to send; check meanwhile that Kafka still answers."""
        try:
            async with asyncio.timeout(IDLE_CHECK_INTERVAL_S):
                await self._spool.wait_for_rows(before)
        except TimeoutError:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                if not await producer.client.force_metadata_update():
                    raise KafkaError("Kafka does not answer") from None
                await self._topic_check.check(producer)
            self.fault.note_not_failing()

    async def _send(self, producer: AIOKafkaProducer, batches: TransactionBatches) -> None:
        """Commit the rows and the cursor, or find out which row the broker always refuses."""
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await self._send_transaction(producer, batches)
        except REFUSALS as refusal:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await end_transaction(producer, self._marker_check, producer.abort_transaction())
            if not self._next_transaction.shrink_or_replace(batches, refusal):
                reason = f"Kafka refuses sequence {batches.last_sequence} as a dead letter"
                await self._quarantine(batches.last_sequence, reason)
            return
        first_sequence = self.forwarded_sequence + 1
        self.forwarded_sequence = batches.last_sequence
        self._next_transaction.note_sent(batches.last_sequence)
        self.fault.note_not_failing()
        INGRESS_FORWARDED.inc(batches.row_count)
        INGRESS_TO_KAFKA_S.observe(time.time() - batches.oldest_received_at_ms / 1000)
        self._spool.remove_forwarded_soon(self.forwarded_sequence)
        await forget_rows_in_steps(self._spool, first_sequence, self.forwarded_sequence)

    async def _send_transaction(
        self, producer: AIOKafkaProducer, batches: TransactionBatches
    ) -> None:
        # Not `async with producer.transaction()`: its exit awaits an abort that no outer time-out
        # ends (aiokafka#905). A transaction left open here is settled by the next producer.
        await producer.begin_transaction()
        await send_batches(producer, self._kafka, batches)
        # After the acknowledgements: otherwise some rows could be in a topic that was deleted
        # meanwhile, and the cursor after them.
        await self._topic_check.check(producer)
        cursor = Cursor(
            batches.last_sequence, batches.fingerprint, self._topic_check.topic_id or ""
        )
        group = self._kafka.group(cursor_group(self._origin))
        await producer.send_offsets_to_transaction(cursor.offsets(self._kafka), group)
        await end_transaction(producer, self._marker_check, producer.commit_transaction())

    async def _quarantine(self, sequence: int, reason: str) -> None:
        await self._spool.quarantine(sequence)
        self._quarantine_log.report(self._spool.state, reason)

    async def _start_new_origin(self, cursor: Cursor) -> None:
        before = self._spool.state
        # First, because the rows may get a new origin although the call fails.
        self._next_transaction.clear()
        await self._spool.start_new_origin()
        self.forwarded_sequence = 0
        report_older_copy(self._spool, before, cursor)

    def _open_producer(self) -> AbstractAsyncContextManager[AIOKafkaProducer]:
        return transactional_producer(
            self._kafka,
            transactional_id_of(self._kafka, self._origin),
            record_bytes_max=self._record_bytes_max,
            start_s=START_TIMEOUT_S,
        )
