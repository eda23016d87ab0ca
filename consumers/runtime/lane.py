"""
One partition's way into the sink, from its assignment to its revocation.

A lane asks where the sink stands, has Kafka read from there, and delivers batch after batch. Lanes
do not wait for each other: one whose sink is slow or away holds up its own partition alone.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from consumers.runtime.batch import Batch, Limits, Partition, Position, Record
from consumers.runtime.brake import Brake
from consumers.runtime.continuity import check_not_emptied, check_offsets, check_topic
from consumers.runtime.handler import (
    Elsewhere,
    Handler,
    PackingHandler,
    Rejected,
    Stopped,
    Unavailable,
)
from consumers.runtime.line import Line, Run
from consumers.runtime.source import Identity, Source
from consumers.runtime.waiting import SAY_AGAIN_S
from schemas.telemetry import (
    CONSUMER_BATCHES,
    CONSUMER_BYTES,
    CONSUMER_RECORDS,
    CONSUMER_RELOCATED,
    CONSUMER_RETRIES,
    CONSUMER_SET_ASIDE,
)

log = logging.getLogger(__name__)

# One call of a handler ends within this, well inside the group's rebalance time-out (30 s): a
# rebalance waits for the call in flight.
HANDLE_S = 20.0
POSTPONE_S = 1.0
POSTPONE_S_MAX = 30.0
# At this interval Kafka is asked whether the topic is still the same, and the sink of an idle
# partition whether its position is. A write would show both, but after a topic was recreated, or a
# sink was restored to an older state, the next record may come late.
RECHECK_S = 10.0
# After this time without an answer from Kafka, a batch asks again.
ASK_AGAIN_S = 1.0
# Older batches are dropped and fetched again: a member that slept must not write what others have
# long passed, and what the archive has expired since (docs/decisions/0006-archive-chain.md).
BATCH_AGE_S_MAX = 3600.0
# Records are packed by so many bytes of memory, or when their batch is complete.
PACK_BYTES = 1 << 20
# Unpacked records of a partition, in bytes of memory; it fetches no more until they are packed.
RAW_BYTES_MAX = 2 << 20
# Batches of a partition that are complete, the one in delivery included; then it fetches no more.
WAITING_MAX = 2


class DeadLetters(Protocol):
    """Where records go that can never be applied."""

    async def set_aside(
        self,
        partition: Partition,
        record: Record,
        reason: Rejected,
        *,
        attempts: int,
        first_failed_at_ms: int,
    ) -> None:
        """Return once the record is in the dead-letter topic, as it was, with the reason."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What all lanes of a consumer share."""

    name: str
    handler: Handler
    limits: Limits
    dead_letters: DeadLetters
    brake: Brake
    rebuild: bool
    clock: Callable[[], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The sink's position, and the topic's identity and first offset at the time of the call."""

    position: Position
    identity: Identity
    beginning: int


class _Ended(Exception):
    """The partition is not ours any more."""


class Lane:
    """Use: `run` in a task, `take` what is fetched, `stir` after each fetch, `end`."""

    def __init__(self, partition: Partition, source: Source, work: Work) -> None:
        self.partition = partition
        self.line = Line(partition, work.limits)
        self._packs = isinstance(work.handler, PackingHandler)
        # When the handler's call in flight began, by the clock of `work`.
        self.handling_since: float | None = None
        self.away = False
        self._committed: int | None = None
        # The topic's identity when the sink's position was compared with it.
        self._identity: Identity | None = None
        self._behind_since_s: float | None = None
        self._source = source
        self._work = work
        self._stirred = asyncio.Event()
        self._ended = False
        self._checked_at = work.clock()
        self._said_at = work.clock() - SAY_AGAIN_S
        self._postponed = 0
        # Offsets at which Kafka was to be read and could not: now, and the last time since a
        # batch was applied.
        self._refused: int | None = None
        self._refused_before: int | None = None

    @property
    def thirsty(self) -> bool:
        """Whether it wants more to be fetched."""
        return (
            self.line.begun
            and not self.away
            and self._refused is None
            and self.line.waiting < WAITING_MAX
            and self.line.raw < RAW_BYTES_MAX
        )

    def take(self, records: Sequence[Record], *, reached: int) -> None:
        """Hold what was fetched."""
        self.line.add(records, reached=reached, now=self._work.clock())
        # What is not packed as it grows leaves now: nothing more is fetched.
        if not self._packs and self.line.growing >= RAW_BYTES_MAX:
            self.line.complete()

    def refuse(self, offset: int) -> None:
        """Note that Kafka does not have `offset`, at which it is to be read."""
        self._refused = offset

    def stir(self) -> None:
        """Have it look whether something is due."""
        self._stirred.set()

    def lag(self, end: int | None) -> int:
        """Return how many offsets up to `end` are not in the sink, 0 where nobody knows."""
        stands_at = self.line.stands_at
        if stands_at is None:
            stands_at = self._committed or 0
        return max(0, (end or 0) - stands_at)

    def oldest_s(self, now_s: float, *, behind: bool) -> float:
        """
        Return the age of the oldest callback that is not in the sink, since its receipt.

        Where none is held, but there are some, it is the time since that began: they are older.
        """
        front = self.line.front
        if not behind or (front and front.count):
            self._behind_since_s = None
        if front and front.count:
            return max(0.0, now_s - front.received_at_s) if front.received_at_s else 0.0
        if not behind:
            return 0.0
        self._behind_since_s = self._behind_since_s or now_s
        return now_s - self._behind_since_s

    def end(self, task: asyncio.Task[None]) -> None:
        """End the lane's `task`, at once, or when the handler's call in flight is over."""
        self._ended = True
        if self.handling_since is None:
            task.cancel()

    async def run(self) -> None:
        """
        Deliver until `end`.

        Raises:
            Stopped: going on by itself would lose or double records.
        """
        found: Found | None = None
        with contextlib.suppress(_Ended):
            while True:
                found = found or await self._ask_until_answered()
                self._go(found)
                try:
                    await self._deliver()
                except Elsewhere as elsewhere:
                    if self._ended:
                        break
                    self._answered()
                    CONSUMER_RELOCATED.inc()
                    self.line.clear()
                    at = elsewhere.position
                    log.info("the sink of %s has %s at %s", self._work.name, self.partition, at)
                    found = replace(found, position=at) if at else None

    async def _ask_until_answered(self) -> Found:
        while True:
            try:
                found = await self._find()
            except Unavailable as error:
                self._say("cannot find its place in", error)
                await self._postpone()
            else:
                self._answered()
                return found

    async def _find(self) -> Found:
        """Return where to go on; where the sink has nothing, have it begin where the topic does."""
        # In this order: what was committed, or deleted, before the sink is asked was in the sink
        # before that. Answers about a topic after its id are of that topic or of a later one.
        identity = await self._source.identity(self.partition, since=self._work.clock())
        committed = self._committed = await self._source.committed(self.partition)
        beginning = await self._source.beginning(self.partition)
        async with self._bounded("asked"):
            position = await self._work.handler.position(self.partition)
        if position is None:
            if not self._work.rebuild:
                check_not_emptied(self._work.name, self.partition, committed)
            async with self._bounded("begun"):
                begun = Position(beginning, None, identity.topic_id)
                await self._work.handler.begin(self.partition, begun)
                # Another member may have been quicker.
                position = await self._work.handler.position(self.partition)
            if position is None:
                raise Unavailable("the sink has not begun")
        check_topic(self._work.name, self.partition, position, identity.topic_id)
        ending = await self._source.ending(self.partition)
        check_offsets(self._work.name, self.partition, position, beginning=beginning, ending=ending)
        return Found(position=position, identity=identity, beginning=beginning)

    def _go(self, found: Found) -> None:
        position, identity = found.position, found.identity
        check_topic(self._work.name, self.partition, position, identity.topic_id)
        self._refused = None
        self._identity = identity
        # A last record that retention has deleted cannot be compared.
        recognize = position.last is not None and position.last[0] >= found.beginning
        if position.topic_id is None and recognize:
            # The id is known from here on: no batch is written before the last record is found.
            position = position._replace(topic_id=identity.topic_id)
        log.info("%s goes on with %s at %s", self._work.name, self.partition, position)
        self.line.begin(position, recognize=recognize)
        begins_at = position.last[0] if position.last and recognize else position.next_offset
        self._source.seek(self.partition, begins_at)
        # What the last owner reached may not be committed, and an idle partition would seem to lag.
        if position.next_offset > (self._committed or 0):
            self._source.commit(self.partition, position.next_offset)

    async def _deliver(self) -> None:
        """
        Deliver what becomes due.

        Raises:
            Elsewhere: the sink stands at another offset.
        """
        while True:
            await self._turn()
            self._ask_again_if_refused()
            await self._pack()
            while run := self.line.due(self._work.clock()):
                await self._pack()
                await self._apply(run)
            if self._work.clock() - self._checked_at >= RECHECK_S:
                await self._recheck()

    async def _turn(self) -> None:
        await self._stirred.wait()
        self._stirred.clear()

    def _ask_again_if_refused(self) -> None:
        """
        Look whether what is to be read is in the topic.

        Raises:
            Elsewhere: it was not; perhaps the sink has it by now, from another member.
            Stopped: nor was it after the sink was asked again.
        """
        refused, self._refused = self._refused, None
        if refused is None:
            return
        if refused == self._refused_before:
            raise Stopped(
                f"The sink of {self._work.name} expects {self.partition} at {refused}, which the "
                "topic does not have. Either retention deleted records before they were in the "
                "sink, or the topic was created again. Going on in silence would hide a loss; see "
                "'A consumer stops' in docs/runbook.md."
            )
        self._refused_before = refused
        raise Elsewhere(None)

    async def _pack(self) -> None:
        handler = self._work.handler
        if isinstance(handler, PackingHandler):
            while run := self.line.to_pack(PACK_BYTES):
                await run.pack_into(run.packed or handler.packed_records(self.partition))

    async def _apply(self, run: Run) -> None:
        """Hand the batch at the front to the sink, once."""
        clock = self._work.clock
        if clock() - run.since > BATCH_AGE_S_MAX + self._work.limits.age_s:
            raise Elsewhere(None)
        batch, count, size = self.line.batch(), run.count, run.size
        if not await self._is_same_topic(since=run.fetched_at):
            until = clock() + ASK_AGAIN_S
            while clock() < until:
                await self._turn()
            return
        try:
            self.handling_since = clock()
            try:
                async with asyncio.timeout(HANDLE_S):
                    await self._work.handler.handle(batch)
            finally:
                self.handling_since = None
        except Rejected as reason:
            self._failed(run)
            self._answered()
            await self._reject(run, batch, reason)
        except (Unavailable, TimeoutError) as error:
            self._failed(run)
            log.warning("%s waits with %s: %r", self._work.name, self.partition, error)
            await self._postpone()
        else:
            if self._ended:
                raise _Ended
            self.line.applied(batch, clock())
            self._source.commit(self.partition, batch.next_offset)
            self._work.brake.applied(count)
            self._refused_before = None
            self._answered()
            CONSUMER_RECORDS.inc(count)
            CONSUMER_BYTES.inc(size)
            CONSUMER_BATCHES.inc()

    async def _reject(self, run: Run, batch: Batch, reason: Rejected) -> None:
        offset = reason.offset
        if offset is None and len(batch.records) > 1:
            self.line.split()
            return
        rejected = [r for r in batch.records if offset in (None, r.offset)]
        if len(rejected) != 1:
            raise AssertionError(f"the handler rejects a record that it was not given: {reason}")
        log.warning("%s/%d is rejected: %s", batch.partition, rejected[0].offset, reason)
        self._work.brake.check(str(reason))
        try:
            await self._work.dead_letters.set_aside(
                batch.partition,
                rejected[0],
                reason,
                attempts=run.attempts,
                first_failed_at_ms=run.first_failed_at_ms,
            )
        except Unavailable as error:
            log.warning("%s waits with %s: %s", self._work.name, self.partition, error)
            await self._postpone()
            return
        self._work.brake.set_aside()
        CONSUMER_SET_ASIDE.inc()
        # At once: if the rest has to wait, this one is not set aside again.
        self.line.without(rejected[0].offset)

    async def _is_same_topic(self, *, since: float) -> bool:
        """
        Return whether the topic was the same at `since` or later; False if Kafka does not answer.

        A client fetches by the topic's name, and does not notice that another topic has this name
        now. So Kafka is asked for the id after the fetch: an id is never used again.

        Raises:
            Elsewhere: the topic is another one, or its log may have been truncated or restored
                meanwhile. The lane then compares the sink's position again with the topic's id and
                with the record before the position.
        """
        try:
            identity = await self._source.identity(self.partition, since=since)
        except Unavailable as error:
            self._say("waits with", error)
            return False
        if identity != self._identity:
            raise Elsewhere(None)
        return True

    async def _recheck(self) -> None:
        """
        Ask Kafka, and an idle sink, again.

        Raises:
            Elsewhere: the topic is not the same, or the sink was put back to an older state.
            Stopped: the topic was recreated, or restored from an older copy.
        """
        self._checked_at = self._work.clock()
        if not self.line.idle:
            await self._is_same_topic(since=self._checked_at)
            return
        begins_at = self.line.begins_at
        try:
            found = await self._find()
        except Unavailable as error:
            self._say("cannot find its place in", error)
            return
        if found.identity != self._identity:
            raise Elsewhere(None)
        # What came meanwhile is held, not applied: it is compared with when it is written.
        if found.position.next_offset != begins_at:
            raise Elsewhere(found.position)

    def _say(self, what: str, error: Unavailable) -> None:
        # Each partition asks again every few seconds.
        now = self._work.clock()
        if now - self._said_at >= SAY_AGAIN_S:
            self._said_at = now
            log.warning("%s %s %s: %s", self._work.name, what, self.partition, error)

    def _failed(self, run: Run) -> None:
        if self._ended:
            raise _Ended
        if not run.attempts:
            run.first_failed_at_ms = time.time_ns() // 1_000_000
        run.attempts += 1

    def _answered(self) -> None:
        self._postponed = 0
        self.away = False

    async def _postpone(self) -> None:
        """Wait a growing time. Nothing is fetched meanwhile, but the member stays in its group."""
        CONSUMER_RETRIES.inc()
        self.away = True
        wait_s = min(POSTPONE_S * 2 ** min(self._postponed, 10), POSTPONE_S_MAX)
        self._postponed += 1
        until = self._work.clock() + wait_s
        while self._work.clock() < until:
            await self._turn()

    @contextlib.asynccontextmanager
    async def _bounded(self, what: str) -> AsyncIterator[None]:
        """Bound a question to the sink, and tell its end as the sink's own."""
        try:
            async with asyncio.timeout(HANDLE_S):
                yield
        except TimeoutError as error:
            raise Unavailable(f"the sink could not be {what} within {HANDLE_S:g} s") from error
