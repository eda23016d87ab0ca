"""
The loop of every consumer: fetch, hold, deliver, commit.

Crash-only: rebalance, shutdown and crash abandon held records the same way. They are not in the
sink, so they are fetched again from the sink's position.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from consumers.runtime.batch import Batch, Limits, Partition, Record
from consumers.runtime.handler import Elsewhere, Handler, Rejected, Stopped, Unavailable
from consumers.runtime.held import Held
from consumers.runtime.source import Source
from schemas.telemetry import (
    CONSUMER_BATCHES,
    CONSUMER_HELD_BYTES,
    CONSUMER_POSTPONED,
    CONSUMER_REBALANCES,
    CONSUMER_RECORDS,
    CONSUMER_RELOCATED,
    CONSUMER_SET_ASIDE,
)

log = logging.getLogger(__name__)

# One call of a handler ends within this, well inside the group's rebalance time-out (30 s): a
# rebalance waits for the call in flight.
HANDLE_S = 20.0
POSTPONE_S = 1.0
POSTPONE_S_MAX = 30.0
# How often an idle partition's sink is asked whether it still stands where it stood. A write would
# show it, but a sink that was put back to an older state may wait long for the next record.
RECHECK_S = 10.0


class DeadLetters(Protocol):
    """Where records go that can never be applied."""

    async def set_aside(self, partition: Partition, record: Record, reason: Rejected) -> None:
        """Return once the record is in the dead-letter topic, as it was, with the reason."""
        ...


@dataclass(slots=True)
class _Lease:
    """The right to deliver, from one assignment to the next revocation."""

    ended: bool = False
    unplaced: list[Partition] = field(default_factory=list)


@asynccontextmanager
async def _bounded() -> AsyncIterator[None]:
    """Bound a question to the sink, and tell its end as the sink's own."""
    try:
        async with asyncio.timeout(HANDLE_S):
            yield
    except TimeoutError as error:
        raise Unavailable(f"the sink does not answer within {HANDLE_S:g} s") from error


class Runner:
    """Carries one member's share of a topic into one sink."""

    def __init__(
        self,
        *,
        name: str,
        handler: Handler,
        limits: Limits,
        dead_letters: DeadLetters,
        rebuild: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._handler = handler
        self._dead_letters = dead_letters
        self._rebuild = rebuild
        self._clock = clock
        self._held = Held(limits)
        self._lease = _Lease(ended=True)
        self._delivering = asyncio.Lock()
        self._postponed: dict[Partition, int] = {}
        self._rechecked_at = clock()
        self.turned_at = clock()

    def given(self, partitions: Sequence[Partition]) -> None:
        """Begin a lease; the loop asks the sink where each partition stands."""
        CONSUMER_REBALANCES.inc()
        self._end_lease()
        self._lease = _Lease(unplaced=list(partitions))

    async def taken(self) -> None:
        """End the lease, drop what is held, and wait for the delivery in flight."""
        self._end_lease()
        async with self._delivering:
            pass

    async def run(self, source: Source, stop: asyncio.Event) -> None:
        """
        Deliver until `stop` is set.

        Raises:
            Stopped: going on by itself would lose or double records.
        """
        while not stop.is_set():
            await self.turn(source)
        await self.taken()

    async def turn(self, source: Source) -> None:
        """Do one round of the loop."""
        await self._place(source)
        await self._recheck(source)
        fetched = await source.fetch()
        # No await between the fetch and this line: the records and the lease match.
        lease, now = self._lease, self._clock()
        self.turned_at = now
        for partition, (records, reached) in fetched.items():
            self._held.add(partition, records, reached=reached, now=now)
        CONSUMER_HELD_BYTES.set(self._held.size)
        # All of it before the next fetch: no more is ever held than one fetch brings, but for what
        # is not old enough and what a sink that is away holds up, whose partitions are paused.
        while batches := list(self._held.due(now=now)):
            for batch in batches:
                await self._deliver(source, batch, lease)
                self.turned_at = self._clock()

    def _end_lease(self) -> None:
        self._lease.ended = True
        self._held.clear()
        self._postponed.clear()

    async def _place(self, source: Source) -> None:
        lease = self._lease
        while lease.unplaced and not lease.ended:
            partition = lease.unplaced[0]
            try:
                next_offset = await self._position_or_begin(source, partition)
            except Unavailable as error:
                self._unanswered(partition, error)
                await asyncio.sleep(POSTPONE_S)
                return
            if not lease.ended:
                lease.unplaced.pop(0)
                log.info("%s goes on with %s at %d", self._name, partition, next_offset)
                self._go(source, partition, next_offset)

    async def _recheck(self, source: Source) -> None:
        now, lease = self._clock(), self._lease
        if now - self._rechecked_at < RECHECK_S:
            return
        self._rechecked_at = now
        for partition, expected in list(self._held.idle()):
            try:
                next_offset = await self._position_or_begin(source, partition)
            except Unavailable as error:
                self._unanswered(partition, error)
                return
            if lease.ended:
                return
            if next_offset != expected:
                self._follow(source, partition, next_offset)

    async def _position_or_begin(self, source: Source, partition: Partition) -> int:
        # In this order: what was committed before the sink is asked was in the sink before that.
        committed = await source.committed(partition)
        async with _bounded():
            expected = await self._handler.position(partition)
        if expected is not None:
            return expected
        if committed is not None and not self._rebuild:
            raise Stopped(
                f"The sink of {self._name} has nothing of {partition}, but the group has committed "
                f"offset {committed}: the sink was emptied, or it is another one. To build it anew "
                "from what Kafka still has, start the process once with CONSUMER_REBUILD=true"
            )
        beginning = await source.beginning(partition)
        async with _bounded():
            await self._handler.begin(partition, beginning)
        return beginning

    def _unanswered(self, partition: Partition, error: Unavailable) -> None:
        CONSUMER_POSTPONED.inc()
        log.warning("%s cannot say where %s stands: %s", self._name, partition, error)

    def _follow(self, source: Source, partition: Partition, next_offset: int) -> None:
        CONSUMER_RELOCATED.inc()
        log.info("the sink of %s has %s at %d", self._name, partition, next_offset)
        self._go(source, partition, next_offset)

    def _go(self, source: Source, partition: Partition, next_offset: int) -> None:
        self._held.begin(partition, next_offset)
        source.seek(partition, next_offset)
        source.resume(partition)

    async def _deliver(self, source: Source, batch: Batch, lease: _Lease) -> None:
        partition = batch.partition
        async with self._delivering:
            try:
                while not lease.ended:
                    try:
                        async with asyncio.timeout(HANDLE_S):
                            await self._handler.handle(batch)
                        break
                    except Rejected as reason:
                        batch = await self._set_aside(batch, reason, lease)
            except Elsewhere as elsewhere:
                if lease.ended:
                    return
                if elsewhere.next_offset is None:
                    self._held.drop(partition)
                    lease.unplaced.append(partition)
                else:
                    self._follow(source, partition, elsewhere.next_offset)
                return
            except (Unavailable, TimeoutError) as error:
                if not lease.ended:
                    self._postpone(source, partition, error)
                return
            if lease.ended:
                return
            self._held.applied(batch)
            CONSUMER_RECORDS.inc(len(batch.records))
            CONSUMER_BATCHES.inc()
            if self._postponed.pop(partition, None):
                source.resume(partition)
        source.commit(partition, batch.next_offset)

    async def _set_aside(self, batch: Batch, reason: Rejected, lease: _Lease) -> Batch:
        record = next(r for r in batch.records if r.offset == reason.offset)
        log.warning("%s/%d is set aside: %s", batch.partition, record.offset, reason)
        await self._dead_letters.set_aside(batch.partition, record, reason)
        CONSUMER_SET_ASIDE.inc()
        rest = batch.without(record.offset)
        if not lease.ended:
            # At once: if the rest has to wait, this one is not set aside again.
            self._held.replace(rest)
        return rest

    def _postpone(self, source: Source, partition: Partition, error: Exception) -> None:
        CONSUMER_POSTPONED.inc()
        times = self._postponed[partition] = self._postponed.get(partition, 0) + 1
        wait_s = min(POSTPONE_S * 2 ** min(times - 1, 10), POSTPONE_S_MAX)
        log.warning("%s waits %g s with %s: %r", self._name, wait_s, partition, error)
        # Paused, not left: the loop keeps polling, so the group keeps the member.
        source.pause(partition)
        self._held.postpone(partition, until=self._clock() + wait_s)
