"""
Share one answer among all who ask the same question before the next update of /v1/live.

So a thousand open pages cost as many reads of Valkey as one of them.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Hashable
from contextlib import suppress

# How long an answer is shared if there are no updates, as while Valkey is away.
SHARED_S = 1.0
# The largest number of answers, and of their bytes, that are shared after they are complete.
ANSWERS_MAX = 64
ANSWERS_BYTES_MAX = 16 << 20


class SharedAnswers:
    """Answers as bytes, by question. An answer that is being made has as many waiters as ask."""

    def __init__(self) -> None:
        # In the order in which they were asked for, with the time at which each one began.
        self._answers: dict[Hashable, tuple[float, asyncio.Task[bytes]]] = {}
        self._bytes = 0

    async def answer(self, question: Hashable, make: Callable[[], Awaitable[bytes]]) -> bytes:
        """Return the shared answer, or have `make` make it; raise what that raises."""
        begun, task = self._answers.get(question, (0.0, None))
        if task is None or time.monotonic() >= begun + SHARED_S:
            self._forget(question)
            task = asyncio.ensure_future(self._made(question, make))
            self._answers[question] = time.monotonic(), task
        # One who asks may go; the others still wait.
        return await asyncio.shield(task)

    def forget(self) -> None:
        """Have every later question answered again."""
        self._answers.clear()
        self._bytes = 0

    async def close(self) -> None:
        """Stop making answers."""
        making = [task for _, task in self._answers.values() if not task.done()]
        self.forget()
        for task in making:
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task

    async def _made(self, question: Hashable, make: Callable[[], Awaitable[bytes]]) -> bytes:
        try:
            made = await make()
        except BaseException:
            if self._is_current(question):
                del self._answers[question]
            raise
        if self._is_current(question):
            self._bytes += len(made)
            self._bound()
        return made

    def _is_current(self, question: Hashable) -> bool:
        """Return whether the answer that this task makes is still the shared one."""
        _, task = self._answers.get(question, (0.0, None))
        return task is asyncio.current_task()

    def _bound(self) -> None:
        complete = [question for question, (_, task) in self._answers.items() if task.done()]
        for question in complete:
            if self._bytes <= ANSWERS_BYTES_MAX and len(self._answers) <= ANSWERS_MAX:
                break
            self._forget(question)

    def _forget(self, question: Hashable) -> None:
        _, task = self._answers.pop(question, (0.0, None))
        if task is not None and task.done() and not task.cancelled() and not task.exception():
            self._bytes -= len(task.result())
