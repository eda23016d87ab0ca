"""
The real handler and retries of a webhook, with a retry topic and a target in memory.

Members are killed at any await, replaced while they still run, and lose answers of both sides.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

from support.builders import reached
from support.simulation.seeded_loop import SeededLoop

from consumers.runtime.batch import Batch, Partition, Position, Record
from consumers.runtime.brake import Brake
from consumers.runtime.handler import HANDLE_TIMEOUT_S, PositionDiffers, Rejected, Unavailable
from consumers.runtime.source import KafkaUnavailable
from consumers.webhook.batch_delivery import BatchDelivery
from consumers.webhook.circuit import Circuit
from consumers.webhook.handler import WebhookHandler
from consumers.webhook.outcome import Connection, Outcome, OutcomeKind
from consumers.webhook.parked_bounds import ParkedBounds
from consumers.webhook.rejections import Rejections
from consumers.webhook.retries import Retries
from consumers.webhook.retry_partition import OwnershipLost
from consumers.webhook.retry_record import Change, RetryRecord, change, conversation, retry_record
from consumers.webhook.retry_state import RetryState
from schemas.topics import CALLBACKS

HERE = Partition(CALLBACKS.name, 0)
RECORDS, CONVERSATIONS = 120, 9
DAY_S = 24 * 3600.0


class Dead(BaseException):
    """A killed process does nothing more."""


class Log:
    """The retry topic's partition: its records, and who may append."""

    def __init__(self, loop: SeededLoop) -> None:
        self.loop = loop
        self.entries: list[RetryRecord] = []
        self.epoch = 0

    def compact(self) -> None:
        """Keep the last record of some keys, as Kafka does at some time."""
        last = {each.key: index for index, each in enumerate(self.entries)}
        kept = self.loop.chance.random
        self.entries = [
            each
            for index, each in enumerate(self.entries)
            if last[each.key] == index or kept() < 0.5
        ]


class LogOwner:
    """A member's `RetryPartition` in memory."""

    number = 0

    def __init__(self, log: Log, member: "Member", epoch: int) -> None:
        self._log, self._member, self._epoch = log, member, epoch
        self._writing = asyncio.Lock()
        self.state = RetryState()
        self.is_lost = False
        self.changed = asyncio.Event()
        for each in log.entries:
            self.state.apply(change(*each))

    async def write(self, changes: Sequence[Change]) -> None:
        """Append all or nothing; the answer may be lost."""
        async with self._writing:
            if self.is_lost:
                raise OwnershipLost("lost before")
            try:
                await self._append(changes)
            except BaseException:
                self.is_lost = True
                self.changed.set()
                raise
            for each in changes:
                self.state.apply(each)
            self.changed.set()

    async def _append(self, changes: Sequence[Change]) -> None:
        loop = self._log.loop
        await loop.sometime()
        self._member.check_alive()
        if self._epoch != self._log.epoch or loop.chance.random() < 0.02:
            raise OwnershipLost("fenced, or Kafka is away")
        self._log.entries += map(retry_record, changes)
        if loop.chance.random() < 0.05:
            self._log.compact()
        await loop.sometime()
        if loop.chance.random() < 0.02:
            raise OwnershipLost("the answer was lost")

    async def check_owned(self) -> None:
        """Notice another owner, sometimes too late."""
        await self._log.loop.sometime()
        self._member.check_alive()
        if self._log.loop.chance.random() < 0.02:
            raise KafkaUnavailable("Kafka is away")
        if self._epoch != self._log.epoch and self._log.loop.chance.random() < 0.7:
            self.is_lost = True
            self.changed.set()
        if self.is_lost:
            raise OwnershipLost("lost")


class Target:
    """Accepts each callback at random; `wrong` has what must not be."""

    def __init__(self, loop: SeededLoop, records: Sequence[Record]) -> None:
        self._loop = loop
        self._chance = loop.chance
        self.refused = {each.offset for each in records if self._chance.random() < 0.03}
        self.failing: set[bytes] = set()
        # Down, and by chance without a connection.
        self.is_down = self.is_unreachable = False
        self._before: dict[int, list[int]] = {}
        seen: dict[bytes, list[int]] = {}
        for each in records:
            earlier = seen.setdefault(conversation(each), [])
            self._before[each.offset] = list(earlier)
            earlier.append(each.offset)
        self.accepted: list[int] = []
        self.dead: list[int] = []
        self.wrong: list[str] = []

    @property
    def done(self) -> set[int]:
        """The offsets of the callbacks that are accepted or dead letters."""
        return {*self.accepted, *self.dead}

    async def take(self, record: Record) -> Outcome:
        """Answer a request."""
        await self._loop.sometime()
        roll = self._chance.random()
        if self.is_down and self.is_unreachable:
            return Outcome(OutcomeKind.FAILED, "no connection", connection=Connection.NOT_MADE)
        if self.is_down or conversation(record) in self.failing or roll < 0.05:
            return Outcome(OutcomeKind.FAILED, "500")
        if missing := set(self._before[record.offset]) - self.done:
            self.wrong.append(f"{record.offset} came before {missing}")
        if record.offset in self.refused:
            return Outcome(OutcomeKind.REFUSED, "400")
        self.accepted.append(record.offset)
        await self._loop.sometime()
        return (
            Outcome(OutcomeKind.FAILED, "no answer")
            if roll > 0.97
            else Outcome(OutcomeKind.DELIVERED)
        )


class Member:
    """A process: a handler, and the worker that calls it."""

    def __init__(self, run: "Run") -> None:
        self._run = run
        self.is_alive = True
        loop = run.loop
        circuit = Circuit("target", loop.time)
        rejections = Rejections(SimulatedDeadLetters(self), Brake(1000))
        self.handler = WebhookHandler(
            self,  # type: ignore[arg-type]
            BatchDelivery(
                self,
                circuit,
                rejections,
                requests_max=4,
                is_selected=lambda _: True,
                clock=loop.time,
            ),
            Retries(
                self,
                circuit,
                rejections,
                requests_max=2,
                clock_ms=lambda: int(1000 * loop.time()),
            ),
            ParkedBounds(records=40, bytes=1 << 20),
        )
        self.task = loop.begin(self._live())

    def check_alive(self) -> None:
        """Raise Dead in a process that was killed."""
        if not self.is_alive:
            raise Dead

    def kill(self) -> None:
        """Kill the process: nothing that it does from now on has an effect."""
        self.is_alive = False
        self.task.cancel()
        for claimed in self.handler._claimed.values():  # noqa: SLF001
            claimed.retrying.cancel()

    async def send(self, record: Record) -> Outcome:
        """Send a callback, and perhaps die meanwhile."""
        self.check_alive()
        outcome = await self._run.target.take(record)
        self.check_alive()
        return outcome

    @contextlib.asynccontextmanager
    async def claim(self, _number: int) -> AsyncIterator[Any]:
        """Claim the partition as `RetryTopic.claim` does."""
        log = self._run.log
        await self._run.loop.sometime()
        self.check_alive()
        log.epoch += 1
        owner = LogOwner(log, self, log.epoch)
        await self._run.loop.sometime()
        yield owner

    async def dead_letter(self, offset: int) -> None:
        """Send a dead letter, if the process still runs."""
        await self._run.loop.sometime()
        self.check_alive()
        if self._run.loop.chance.random() < 0.2:
            raise KafkaUnavailable("the dead-letter topic is away")
        self._run.target.dead.append(offset)

    async def _live(self) -> None:
        with contextlib.suppress(Dead):
            while True:
                try:
                    await self._consume()
                except (Unavailable, TimeoutError):
                    await asyncio.sleep(1)

    async def _consume(self) -> None:
        position = await self.handler.position(HERE)
        if position is None:
            await self.handler.store_first_position(HERE, Position(0))
            position = await self.handler.position(HERE)
        while position is not None:
            batch = self._run.batch(position)
            while position is not None:
                try:
                    async with asyncio.timeout(HANDLE_TIMEOUT_S):
                        await self.handler.handle(batch)
                except (Unavailable, TimeoutError):
                    await asyncio.sleep(1)
                except PositionDiffers as differs:
                    position = differs.position
                    break
                else:
                    position = batch.reached
                    break


class SimulatedDeadLetters:
    """The dead-letter topic, which is not always available."""

    def __init__(self, member: Member) -> None:
        self._member = member

    async def send(
        self,
        _partition: Partition,
        record: Record,
        _rejected: Rejected,
        *,
        attempts: int,
        first_failed_at_ms: int,
    ) -> None:
        """Note the dead letter."""
        assert attempts >= 1
        assert first_failed_at_ms >= 0
        await self._member.dead_letter(record.offset)


class Run:
    """One run: `go`, with faults until all callbacks are done, or `outage`."""

    def __init__(self, seed: int, *, conversations: int = CONVERSATIONS) -> None:
        self.loop = SeededLoop(seed)
        chance = self.loop.chance
        offsets, at = [], 0
        for _ in range(RECORDS):
            at += chance.choice((1, 1, 1, 2, 5))
            offsets.append(at)
        keys = [b"conversation-%d" % number for number in range(conversations)]
        self.records = [
            Record(offset, 0, chance.choice((*keys, keys[0])), b"{}", ()) for offset in offsets
        ]
        self.log = Log(self.loop)
        self.target = Target(self.loop, self.records)

    def batch(self, position: Position) -> Batch:
        """Return some of the records after `position`, or one without records at the end."""
        rest = [each for each in self.records if each.offset >= position.next_offset]
        records = rest[: self.loop.chance.randrange(1, 12)]
        at_end = replace_position(position) if not records else reached(records)
        return Batch(
            partition=HERE,
            begins_at=position.next_offset,
            reached=at_end,
            records=tuple(records),
        )

    def go(self) -> "Run":
        """Run to the end, and return itself."""
        self.loop.run(self._main())
        return self

    def outage(self, seconds: float) -> tuple[int, float]:
        """
        Begin with a target that cannot be reached for so long.

        Return how many callbacks were parked then, and how long after it all were done.
        """
        return self.loop.run(self._outage(seconds))

    async def _outage(self, seconds: float) -> tuple[int, float]:
        self.target.is_down = self.target.is_unreachable = True
        member = Member(self)
        await asyncio.sleep(seconds)
        parked = sum(state.parked_records for state in member.handler.states)
        self.target.is_down = False
        began = self.loop.time()
        async with asyncio.timeout(DAY_S):
            while len(self.target.done) < len(self.records):  # noqa: ASYNC110 - polled
                await asyncio.sleep(1)
        member.kill()
        return parked, self.loop.time() - began

    async def _main(self) -> None:
        chance = self.loop.chance
        members = [Member(self)]
        async with asyncio.timeout(DAY_S):
            for _ in range(chance.randrange(3, 12)):
                await asyncio.sleep(chance.choice((0.0, 0.05, 1, 3, 20)))
                self.target.is_down = chance.random() < 0.2
                self.target.is_unreachable = chance.random() < 0.5
                self.target.failing = {
                    b"conversation-%d" % chance.randrange(CONVERSATIONS) for _ in range(2)
                }
                old = members[-1]
                if chance.random() < 0.6:
                    old.kill()
                elif chance.random() < 0.5:
                    await old.handler.release(HERE)
                    old.kill()
                # Else the old one goes on as a zombie beside the new one.
                members.append(Member(self))
            for zombie in members[:-1]:
                zombie.kill()
            self.target.is_down, self.target.failing = False, set()
            wanted = {each.offset for each in self.records}
            while not wanted <= self.target.done:
                await asyncio.sleep(1)
                if members[-1].task.done():
                    members[-1].task.result()
                    raise AssertionError("the last member has ended")
        members[-1].kill()


def replace_position(position: Position) -> Position:
    """Return a position after a transaction marker at the end of the topic."""
    return position._replace(next_offset=position.next_offset + 1)
