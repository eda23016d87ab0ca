"""An event loop whose order and time depend only on a seed."""

import asyncio
import heapq
import itertools
import random
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any, TypeVar

T = TypeVar("T")

STEPS_MAX = 1_000_000


class SeededLoop(asyncio.BaseEventLoop):
    """
    Of all that could run next it takes any; time passes only when nothing could.

    Threads are not started: what is meant for one runs on the loop, some time later.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.chance = random.Random(seed)  # noqa: S311 - a simulation
        self.steps = 0
        # Exceptions that were not caught; with one of them a run has failed.
        self.complaints: list[dict[str, Any]] = []
        self._now_s = 0.0
        self._soon: list[asyncio.Handle] = []
        self._later: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._numbers = itertools.count()
        self._kept: list[asyncio.Task[Any]] = []

    def run(self, main: Coroutine[Any, Any, T]) -> T:
        """Run `main` and return its result; cancel all other tasks then."""
        asyncio._set_running_loop(self)  # noqa: SLF001 - documented as for those who write loops
        try:
            task = self.create_task(main)
            self._until_done(task)
            rest = asyncio.all_tasks(self)
            for each in rest:
                each.cancel()
            for each in rest:
                self._until_done(each)
            return task.result()
        finally:
            asyncio._set_running_loop(None)  # noqa: SLF001
            self.close()

    def begin(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Return a task that the loop keeps."""
        task = self.create_task(coroutine)
        self._kept.append(task)
        return task

    def spawn(self, coroutine: Coroutine[Any, Any, object]) -> None:
        """Run a coroutine for whose end no other task waits."""
        self._kept.append(self.create_task(coroutine))

    async def sometime(self) -> None:
        """Return at once, or after other tasks have run, or after some seconds."""
        roll = self.chance.random()
        if roll > 0.9:
            await asyncio.sleep(self.chance.choice((0.01, 1, 5)))
        elif roll > 0.4:
            await asyncio.sleep(0)

    def _until_done(self, task: asyncio.Task[Any]) -> None:
        soon, random_ = self._soon, self.chance.random
        while not task.done():
            if not soon:
                self._pass_time()
            self.steps += 1
            if self.steps > STEPS_MAX:
                raise AssertionError("it goes round in circles")
            index = int(random_() * len(soon))
            soon[index], soon[-1] = soon[-1], soon[index]
            handle = soon.pop()
            if not handle.cancelled():
                handle._run()  # noqa: SLF001 - as every loop does

    def _pass_time(self) -> None:
        while self._later and (not self._soon or self._later[0][0] <= self._now_s):
            at_s, _, timer = heapq.heappop(self._later)
            if not timer.cancelled():
                self._now_s = max(self._now_s, at_s)
                self._soon.append(timer)
        if not self._soon:
            raise AssertionError("all wait for each other")

    def time(self) -> float:
        """Return the simulated time in seconds."""
        return self._now_s

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """Run the callback before time passes."""
        handle = asyncio.Handle(callback, args, self, context)
        self._soon.append(handle)
        return handle

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        """Run the callback at its time."""
        timer = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._later, (when, next(self._numbers), timer))
        return timer

    def run_in_executor(  # type: ignore[override]
        self, _executor: object, func: Callable[..., T], *args: Any
    ) -> asyncio.Task[T]:
        """Run the function later."""

        async def run() -> T:
            await self.sometime()
            return func(*args)

        return self.create_task(run())

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Note an exception that was not caught."""
        self.complaints.append(context)
