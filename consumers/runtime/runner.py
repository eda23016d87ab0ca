"""
The loop of every consumer: fetch, and let each partition's lane deliver.

Crash-only: rebalance, shutdown and crash abandon held records the same way. They are not in the
sink, so they are fetched again from the sink's position.
"""

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence

from aiokafka.errors import KafkaError

from consumers.runtime.batch import Limits, Partition
from consumers.runtime.brake import Brake
from consumers.runtime.handler import Handler
from consumers.runtime.lane import HANDLE_S, DeadLetters, Lane, Work
from consumers.runtime.source import OutOfRange, Source
from schemas.telemetry import (
    CONSUMER_HELD_BYTES,
    CONSUMER_LAG,
    CONSUMER_OLDEST_S,
    CONSUMER_PAUSED,
    CONSUMER_REBALANCES,
)

# A turn takes a fetch of 10 s at most (`source.CALL_S`); joining and a new client take longer.
TURN_S_MAX = 120.0
GAUGES_S = 0.1
# A handler that is told to end after HANDLE_S and does not.
HANDLING_S_MAX = HANDLE_S + 15.0


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
        set_aside_max: int = 100,
        held_bytes_max: int = 64 << 20,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._work = Work(
            name=name,
            handler=handler,
            limits=limits,
            dead_letters=dead_letters,
            brake=Brake(set_aside_max),
            rebuild=rebuild,
            clock=clock,
        )
        self._held_bytes_max = held_bytes_max
        self._lanes: dict[Partition, Lane] = {}
        self._tasks: dict[Lane, asyncio.Task[None]] = {}
        self._failed: BaseException | None = None
        self._turned_at = clock()
        self._measured_at = -GAUGES_S

    def given(self, source: Source, partitions: Sequence[Partition]) -> None:
        """Begin a lane for each of `partitions`."""
        CONSUMER_REBALANCES.inc()
        self._end()
        for partition in partitions:
            lane = self._lanes[partition] = Lane(partition, source, self._work)
            self._tasks[lane] = asyncio.create_task(lane.run(), name=str(partition))

    async def taken(self) -> None:
        """Drop what is held, and return when no delivery is in flight."""
        tasks = self._end()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._note_failure(tasks)

    async def run(self, source: Source, stop: asyncio.Event) -> None:
        """
        Deliver until `stop` is set.

        Raises:
            Stopped: going on by itself would lose or double records.
        """
        try:
            while not stop.is_set():
                await self.turn(source)
        finally:
            await self.taken()

    async def turn(self, source: Source) -> None:
        """
        Do one round of the loop.

        Raises:
            Stopped: a lane must not go on by itself; whatever else it raised is a bug.
        """
        crowded = self._make_room()
        thirsty = [] if crowded else [p for p, lane in self._lanes.items() if lane.thirsty]
        # No await between the fetch and this: what came belongs to the lanes that there are.
        try:
            for partition, (records, reached) in (await source.fetch(thirsty)).items():
                if lane := self._lanes.get(partition):
                    lane.take(records, reached=reached)
        except OutOfRange as error:
            for partition, offset in error.offsets.items():
                if lane := self._lanes.get(partition):
                    lane.refuse(offset)
        for lane in self._lanes.values():
            lane.stir()
        self._turned_at = self._work.clock()
        if self._turned_at - self._measured_at >= GAUGES_S:
            self._measured_at = self._turned_at
            self._measure(source)
        # Lanes go on, however much there is to be fetched.
        await asyncio.sleep(0)
        self._raise_failure()

    def hanging(self) -> str | None:
        """Say what hangs, None if nothing does. A sink that is away is waited for, not hanging."""
        now = self._work.clock()
        if now - self._turned_at > TURN_S_MAX:
            return f"the loop has not turned for {now - self._turned_at:.0f} s"
        for lane in self._lanes.values():
            if lane.handling_since is not None and now - lane.handling_since > HANDLING_S_MAX:
                return f"a write of {lane.partition} has taken {now - lane.handling_since:.0f} s"
        return None

    def alive(self) -> None:
        """Note that the process is about to make a new client, which is no hanging."""
        self._turned_at = self._work.clock()

    def _end(self) -> list[asyncio.Task[None]]:
        tasks, self._tasks, self._lanes = self._tasks, {}, {}
        for lane, task in tasks.items():
            lane.end(task)
        return list(tasks.values())

    def _make_room(self) -> bool:
        """Tell whether nothing more may be held now; complete the largest batch that grows."""
        if sum(lane.line.held for lane in self._lanes.values()) < self._held_bytes_max:
            return False
        max(self._lanes.values(), key=lambda lane: lane.line.growing).line.complete()
        return True

    def _raise_failure(self) -> None:
        self._note_failure(self._tasks.values())
        if any(task.cancelled() for task in self._tasks.values()):
            # Not by us: the partition would stand still, and nothing would show it.
            raise RuntimeError("a handler let a cancellation out that nobody asked for")
        if isinstance(self._failed, KafkaError | OSError):
            # Above it would pass for one of the client, or of a port.
            raise RuntimeError(f"a handler let {self._failed!r} out") from self._failed  # noqa: TRY004
        if self._failed is not None:
            raise self._failed

    def _note_failure(self, tasks: Iterable[asyncio.Task[None]]) -> None:
        for task in tasks:
            if task.done() and not task.cancelled() and task.exception():
                self._failed = self._failed or task.exception()

    def _measure(self, source: Source) -> None:
        lanes = self._lanes.values()
        CONSUMER_HELD_BYTES.set(sum(lane.line.held for lane in lanes))
        CONSUMER_PAUSED.set(sum(lane.away for lane in lanes))
        lags = {lane: lane.lag(source.end(lane.partition)) for lane in lanes}
        CONSUMER_LAG.set(sum(lags.values()))
        now_s = time.time()
        CONSUMER_OLDEST_S.set(
            max((lane.oldest_s(now_s, behind=lag > 0) for lane, lag in lags.items()), default=0.0)
        )
