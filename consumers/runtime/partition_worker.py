"""
Consume one partition in one task, from its assignment to its revocation.

The task finds the sink's position (positioning.py), fetches from there, and delivers batch after
batch (delivery.py). Partitions do not wait for each other: one whose sink is slow or
unavailable delays itself alone.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from dataclasses import replace

from consumers.runtime.backoff import Backoff
from consumers.runtime.batch import Partition, Position, Record
from consumers.runtime.batch_queue import BatchQueue
from consumers.runtime.consumer_parts import ConsumerParts
from consumers.runtime.delivery import Delivery, PartitionRevoked
from consumers.runtime.handler import PackingHandler, PositionDiffers, ReleasingHandler
from consumers.runtime.pending_batch import PendingBatch, WaitingTimes
from consumers.runtime.positioning import LocatedPosition, Positioning, PositionUncertain
from consumers.runtime.round_signal import RoundSignal
from consumers.runtime.source import Source
from schemas.telemetry import CONSUMER_POSITION_RESETS

log = logging.getLogger(__name__)

# After this time without an answer from Kafka, a batch asks for the topic again.
CONFIRM_RETRY_S = 1.0
# A batch that is still held this long after its age limit is dropped, and its records are fetched
# again: a member that was suspended must not write again what others wrote long ago and what has
# expired from the archive since (docs/decisions/0006-archive-chain.md).
BATCH_OVERDUE_S_MAX = 3600.0
# A growing batch is packed in steps of PACK_BYTES, a complete one as a whole.
PACK_BYTES = 1 << 20
# A partition fetches no more above either bound: the memory of its unpacked records, which also
# completes a batch that is not packed, or the number of its complete batches, with the one in
# delivery.
UNPACKED_BYTES_MAX = 2 << 20
COMPLETE_BATCHES_MAX = 2


class PartitionWorker:
    """Use: `run` in a task, `take` each fetch, `wake` after each fetch, `end` on revocation."""

    def __init__(self, partition: Partition, source: Source, parts: ConsumerParts) -> None:
        self.partition = partition
        self.queue = BatchQueue(partition, parts.limits, parts.name_in_kafka(partition))
        self._parts = parts
        handler = parts.handler
        self._packing_handler = handler if isinstance(handler, PackingHandler) else None
        self._releasing_handler = handler if isinstance(handler, ReleasingHandler) else None
        self._rounds = RoundSignal(parts.clock)
        self.backoff = Backoff(self._rounds)
        shared = partition, source, parts, self.queue, self.backoff
        self._positioning = Positioning(*shared)
        self._delivery = Delivery(*shared)
        # How long the first record that is neither held nor in the sink has waited, at least, and
        # the Unix time of that measurement.
        self._waited: tuple[WaitingTimes, float] | None = None

    @property
    def in_flight_since(self) -> float | None:
        """The time at which the handler's call in flight began, None if there is none."""
        return self._delivery.in_flight_since

    @property
    def is_ready_for_more(self) -> bool:
        """True if more records of the partition should be fetched."""
        return (
            self.queue.is_begun
            and not self.backoff.is_paused
            and self._positioning.out_of_range is None
            and self.queue.complete_batch_count < COMPLETE_BATCHES_MAX
            and self.queue.unpacked_bytes < UNPACKED_BYTES_MAX
        )

    def take(self, records: Sequence[Record], *, next_fetch_offset: int) -> None:
        """
        Hold the records of a fetch; the next one begins at `next_fetch_offset`.

        Raises:
            Stopped: the topic does not have the last record that the sink has.
        """
        self.queue.add(records, next_fetch_offset=next_fetch_offset, now=self._parts.clock())
        # A growing batch that is not packed stays as large as it is, and nothing more is fetched.
        if not self._packing_handler and self.queue.growing_bytes >= UNPACKED_BYTES_MAX:
            self.queue.complete()

    def note_out_of_range(self, offset: int) -> None:
        """Note that Kafka does not have `offset`, which was to be fetched."""
        self._positioning.out_of_range = offset

    def wake(self) -> None:
        """Wake the task: a batch may be due."""
        self._rounds.note_fetched()

    def end(self, task: asyncio.Task[None]) -> None:
        """End the worker's `task`: immediately, or after the handler's call in flight."""
        self._delivery.is_revoked = True
        if self.in_flight_since is None:
            task.cancel()

    async def run(self) -> None:
        """
        Deliver until `end`.

        Raises:
            Stopped: to continue would lose or duplicate records.
        """
        try:
            with contextlib.suppress(PartitionRevoked):
                await self._run()
        finally:
            if self._releasing_handler:
                await self._releasing_handler.release(self.partition)

    async def _run(self) -> None:
        """
        Deliver until the worker's task is cancelled.

        Raises:
            PartitionRevoked: the partition was revoked during a call of the handler.
            Stopped: to continue would lose or duplicate records.
        """
        located: LocatedPosition | None = None
        while True:
            if located is None:
                located = await self._positioning.find_or_store_position()
                self._waited = None  # the sink may have had the records that were dropped
            self._positioning.continue_at(located)
            try:
                await self._deliver()
            except PositionUncertain as reason:
                name = self._parts.name
                where = self._parts.name_in_kafka(self.partition)
                log.info("%s finds its position in %s again: %s", name, where, reason)
                self._note_waiting(time.time())
                self._drop_held()
                located = None
            except PositionDiffers as differs:
                self._log_position(differs.position)
                self._drop_held()
                self.backoff.note_success()  # the sink has answered
                # A sink that has no position any more is asked again, as on assignment.
                position = differs.position
                located = replace(located, position=position) if position else None

    def _note_waiting(self, now_s: float) -> None:
        """Keep for how long the first held record waits, while the sink gives no position."""
        pending = self.queue.first_pending
        if pending and pending.count:
            self._waited = pending.waiting_times(now=self._parts.clock(), now_s=now_s), now_s

    def _drop_held(self) -> None:
        """Drop all held records; those that the sink does not have are fetched again."""
        if self._delivery.is_revoked:
            raise PartitionRevoked
        CONSUMER_POSITION_RESETS.inc()
        self.queue.clear()

    def _log_position(self, position: Position | None) -> None:
        where = self._parts.name_in_kafka(self.partition)
        if position is None:
            log.info("the sink of %s has no position in %s", self._parts.name, where)
        else:
            log.info(
                "the sink of %s has moved to offset %d of %s",
                *(self._parts.name, position.next_offset, where),
            )

    async def _deliver(self) -> None:
        """
        Deliver each batch when it is due.

        Raises:
            PositionDiffers: the next batch does not begin at the sink's position.
            PositionUncertain: the sink's position has to be found again.
        """
        while True:
            await self._rounds.wait_for_next()
            self._positioning.check_range()
            await self._pack()
            while pending := self.queue.complete_if_due(self._parts.clock()):
                await self._pack()
                await self._deliver_first(pending)
            await self._positioning.recheck()

    async def _pack(self) -> None:
        if handler := self._packing_handler:
            while batch := self.queue.next_to_pack(PACK_BYTES):
                await batch.pack_into(batch.packed or handler.packed_records(self.partition))

    async def _deliver_first(self, pending: PendingBatch) -> None:
        age_s = self._parts.clock() - pending.first_fetched_at
        if age_s > BATCH_OVERDUE_S_MAX + self._parts.limits.age_s:
            raise PositionUncertain(f"the next batch was fetched {age_s:.0f} s ago")
        # The batch is made before Kafka is asked: markers that are fetched meanwhile are not
        # covered by the answer.
        batch = self.queue.batch_to_deliver()
        if not await self._positioning.confirm_topic(since=pending.last_fetched_at):
            await self._rounds.wait_at_least(CONFIRM_RETRY_S)
        elif await self._delivery.deliver(pending, batch):
            self._positioning.note_applied()

    def lag(self, end_offset: int | None) -> int | None:
        """Return how many offsets before `end_offset` are not in the sink, None if it is None."""
        if end_offset is None:
            return None
        applied_end = self.queue.applied_end
        if applied_end is None:
            applied_end = self._positioning.committed_then or 0
        return max(0, end_offset - applied_end)

    def waiting_times(self, now_s: float, *, lag: int | None) -> WaitingTimes | None:
        """
        Return for how long the first callback of the partition waits that is not in the sink.

        Return None if no record is held and the lag is not known. If no record is held although the
        partition lags, the callback waits for at least as long: since the lag was first seen, or as
        the records did that were dropped to find the position again.
        """
        pending = self.queue.first_pending
        if pending and pending.count:
            self._waited = None
            return pending.waiting_times(now=self._parts.clock(), now_s=now_s)
        if not lag:
            self._waited = None
            return None if lag is None else WaitingTimes(0.0, 0.0)
        waited, noted_at_s = self._waited = self._waited or (WaitingTimes(0.0, 0.0), now_s)
        return waited.after(max(0.0, now_s - noted_at_s))
