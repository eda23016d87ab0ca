"""Faults of processes and between processes, at every await, by a seed."""

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar, cast

from support.simulation.seeded_loop import SeededLoop

from consumers.runtime.handler import Unavailable

T = TypeVar("T")


class World:
    """The probability of each fault, the number of times it happened, and the faults found."""

    def __init__(self, loop: SeededLoop) -> None:
        self.loop = loop
        self.chance = loop.chance
        self.rates: dict[str, float] = {}
        self.faults: Counter[str] = Counter()
        self.wrong: list[str] = []

    def hit(self, fault: str) -> bool:
        """Return whether the fault happens now."""
        if self.chance.random() >= self.rates.get(fault, 0):
            return False
        self.faults[fault] += 1
        return True


class Life:
    """
    A process that may be killed, or sleep: then it does nothing, and does not know it.

    Calls that it has already made take effect nevertheless, now or later.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.alive = True
        # The longest time for which it was suspended.
        self.slept_s = 0.0
        self._awake = asyncio.Event()
        self._awake.set()
        self._woken = asyncio.Event()

    @property
    def asleep(self) -> bool:
        """Return whether the process is suspended or dead."""
        return not self._awake.is_set()

    def kill(self) -> None:
        """Kill the process."""
        self.alive = False
        self._awake.clear()

    async def sleep(self, duration_s: float) -> None:
        """Suspend the process for a time."""
        if self.asleep:
            return
        fell_asleep_at = self.world.loop.time()
        self._awake.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._woken.wait(), duration_s)
        self._woken.clear()
        self.slept_s = max(self.slept_s, self.world.loop.time() - fell_asleep_at)
        if self.alive:
            self._awake.set()

    def wake(self) -> None:
        """Let a suspended process continue."""
        if self.asleep:
            self._woken.set()

    async def passes(self) -> None:
        """Return later, if the process runs by then."""
        await self.world.loop.sometime()
        if self.world.hit("sleep"):
            self.world.loop.spawn(self.sleep(self.world.chance.choice((1, 40, 100))))
            await asyncio.sleep(0)
        while self.asleep:
            await self._awake.wait()

    async def ask(self, call: Callable[[], Awaitable[T]]) -> T:
        """
        Return what another one answers.

        Raises:
            Unavailable: it was not asked, or its answer is lost.
        """
        await self.passes()
        if self.world.hit("unavailable"):
            raise Unavailable("it was not asked")
        answering = self.world.loop.begin(self._answer(call))
        await asyncio.wait([answering])
        await self.passes()
        if self.world.hit("answer lost"):
            raise Unavailable("its answer is lost")
        answer, failure = answering.result()
        if failure:
            raise failure
        return cast("T", answer)

    async def _answer(self, call: Callable[[], Awaitable[T]]) -> tuple[T | None, Exception | None]:
        await self.world.loop.sometime()
        if self.world.hit("slow"):
            # The longest time is after the caller's time-out.
            await asyncio.sleep(self.world.chance.choice((3, 10, 25, 100, 1000)))
        try:
            return await call(), None
        except Exception as failure:  # noqa: BLE001 - the caller gets it
            return None, failure


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Log nothing, because that would take most of a run's time."""
    logging.disable()
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
