"""
Deliver one partition's batches to the handler, one after the other.

A batch that cannot be applied now is delivered again after a growing wait. If it took too long, it
is delivered in halves; if its records are packed, they are fetched again for smaller batches. A
record that can never be applied goes to the dead-letter topic; if the handler does not name it, the
batch is halved until the record is alone.
"""

import asyncio
import logging

from consumers.runtime.backoff import Backoff, RepeatedWarning
from consumers.runtime.batch import Batch, Partition, Record
from consumers.runtime.batch_queue import BatchQueue
from consumers.runtime.consumer_parts import ConsumerParts
from consumers.runtime.dead_lettering_handler import DeadLetteringHandler
from consumers.runtime.dead_letters import reject
from consumers.runtime.handler import HANDLE_TIMEOUT_S, Rejected, TookTooLong, Unavailable
from consumers.runtime.pending_batch import PendingBatch
from consumers.runtime.positioning import PositionUncertain
from consumers.runtime.source import Source
from schemas.clock import now_ms
from schemas.telemetry import CONSUMER_BATCHES, CONSUMER_BYTES, CONSUMER_RECORDS

log = logging.getLogger(__name__)


class PartitionRevoked(Exception):
    """The partition has been revoked, and may be another member's now."""


class Delivery:
    """Hands the queue's first batch to the handler, and handles the outcome."""

    def __init__(
        self,
        partition: Partition,
        source: Source,
        parts: ConsumerParts,
        queue: BatchQueue,
        backoff: Backoff,
    ) -> None:
        self._partition = partition
        self._name_in_kafka = parts.name_in_kafka(partition)
        self._source = source
        self._parts = parts
        self._queue = queue
        self._backoff = backoff
        self._no_dead_letter = RepeatedWarning(parts.clock)
        # When the handler's call in flight began, by the runner's clock.
        self.in_flight_since: float | None = None
        self.is_revoked = False

    async def deliver(self, pending: PendingBatch, batch: Batch) -> bool:
        """
        Hand `batch`, which is `pending` at the front of the queue, to the handler once.

        Return whether it was applied. If not, the queue's first batch is to be delivered next.

        Raises:
            PositionDiffers: the sink has another position, from before the call or after a part of
                it.
            Stopped: a person has to decide.
            PartitionRevoked: the partition was revoked during the call.
            PositionUncertain: the records are to be fetched again, for smaller batches.
        """
        try:
            await self._handle(batch)
        except Rejected as rejected:
            self._check_owned()
            pending.note_failure(now_ms())
            # The sink has answered. If the record waits for the dead-letter topic, keep that
            # backoff: a reset would make each wait the shortest.
            if not self._backoff.waits_for_kafka:
                self._backoff.note_success()
            await self._handle_rejection(pending, batch, rejected)
        except (Unavailable, TimeoutError) as error:
            self._check_owned()
            pending.note_failure(now_ms())
            await self._handle_failure(pending, batch, error)
        else:
            # The effect is in the sink, even if the partition was revoked during the call.
            self._count(pending)
            self._check_owned()
            self._note_applied(pending, batch)
            return True
        return False

    async def _handle(self, batch: Batch) -> None:
        self.in_flight_since = self._parts.clock()
        limit = asyncio.timeout(HANDLE_TIMEOUT_S)
        try:
            async with limit:
                await self._parts.handler.handle(batch)
        except TimeoutError as error:
            if limit.expired():
                text = f"the sink did not answer within {HANDLE_TIMEOUT_S:g} s"
                raise TookTooLong(text) from error
            raise
        finally:
            self.in_flight_since = None

    def _count(self, pending: PendingBatch) -> None:
        CONSUMER_BATCHES.inc()
        if not isinstance(self._parts.handler, DeadLetteringHandler):
            CONSUMER_RECORDS.inc(pending.count)
            CONSUMER_BYTES.inc(pending.counted_bytes)

    def _note_applied(self, pending: PendingBatch, batch: Batch) -> None:
        self._queue.remove_applied(batch, self._parts.clock())
        self._source.commit(self._partition, batch.next_offset)
        if not isinstance(self._parts.handler, DeadLetteringHandler):
            self._parts.brake.note_applied(pending.count)
        self._backoff.note_success()

    def _check_owned(self) -> None:
        if self.is_revoked:
            raise PartitionRevoked

    async def _handle_failure(
        self, pending: PendingBatch, batch: Batch, error: Unavailable | TimeoutError
    ) -> None:
        """
        Wait, and prepare the next delivery of the records.

        Raises:
            PositionUncertain: as `deliver`.
        """
        halves = lowers = False
        if isinstance(error, TookTooLong):
            halves = _can_be_halved(pending, batch)
            # The sink may have applied the batch nevertheless, so it is asked for its position.
            lowers = pending.packed is not None and pending.count > 1 and self._queue.lower_limits()
        parts = " in halves" if halves else " in smaller batches" if lowers else ""
        log.warning(
            "the sink of %s cannot apply a batch of %s now; it is delivered again%s: %r",
            *(self._parts.name, self._name_in_kafka, parts, error),
        )
        if halves:
            self._queue.halve_first()
        await self._backoff.wait(_unavailable(error))
        if lowers:
            raise PositionUncertain("a batch took too long, and smaller ones follow")

    async def _handle_rejection(
        self, pending: PendingBatch, batch: Batch, rejected: Rejected
    ) -> None:
        """Halve the batch, or send the rejected record to the dead-letter topic."""
        if pending.packed is not None:
            # Packed records can be neither halved nor removed.
            raise AssertionError(f"a handler that packs its records rejects one: {rejected}")
        if rejected.offset is None and _can_be_halved(pending, batch):
            self._queue.halve_first()
            return
        record = _rejected_record(batch, rejected)
        try:
            await reject(
                self._parts.dead_letters,
                self._parts.brake,
                self._partition,
                record,
                rejected,
                attempts=pending.attempts,
                first_failed_at_ms=pending.first_failed_at_ms,
            )
        except Unavailable as error:
            self._no_dead_letter.log(
                "%s cannot send offset %d of %s to the dead-letter topic now, and tries again: %s."
                " The record is rejected: %s",
                *(self._parts.name, record.offset, self._name_in_kafka, error, rejected),
            )
            await self._backoff.wait(error)
            return
        self._backoff.note_success()
        # Now, not with the rest of the batch: if that has to wait, it is delivered again, and the
        # record would be sent to the dead-letter topic again.
        pending.remove(record.offset)


def _can_be_halved(pending: PendingBatch, batch: Batch) -> bool:
    return pending.packed is None and len(batch.records) > 1


def _unavailable(error: Unavailable | TimeoutError) -> Unavailable:
    if isinstance(error, Unavailable):
        return error
    return Unavailable(f"the sink's client raised a time-out: {error!r}")


def _rejected_record(batch: Batch, rejected: Rejected) -> Record:
    matching = [record for record in batch.records if rejected.offset in (None, record.offset)]
    if len(matching) != 1:
        raise AssertionError(f"the handler rejects a record that it was not given: {rejected}")
    return matching[0]
