"""
Share one answer among all who ask the same question before the next update of /v1/live.

So a thousand open pages cost as many reads of Valkey as one of them.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Hashable
from contextlib import suppress
from typing import Any

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

    async def answer(
        self, question: Hashable, make: Callable[[], Coroutine[Any, Any, bytes]]
    ) -> bytes:
        """Return the shared answer, or have `make` make it; raise what that raises."""
        began_at, task = self._answers.get(question, (0.0, None))
        if task is None or time.monotonic() >= began_at + SHARED_S:
            task = asyncio.create_task(make())
            task.add_done_callback(self._bound)
            self._answers.pop(question, None)
            self._answers[question] = time.monotonic(), task
        # One who asks may go; the others still wait.
        return await asyncio.shield(task)

    def forget(self) -> None:
        """Have every later question answered again."""
        self._answers.clear()

    async def close(self) -> None:
        """Stop making answers."""
        making = [task for _, task in self._answers.values() if not task.done()]
        self.forget()
        for task in making:
            task.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await task

    def _bound(self, _: asyncio.Task[bytes]) -> None:
        """Drop the failures, then the oldest complete answers until the rest is within bounds."""
        sizes: dict[Hashable, int] = {}
        for question, (_began, task) in tuple(self._answers.items()):
            if task.done() and (task.cancelled() or task.exception()):
                del self._answers[question]
            elif task.done():
                sizes[question] = len(task.result())
        total = sum(sizes.values())
        for question, size in sizes.items():
            if total <= ANSWERS_BYTES_MAX and len(self._answers) <= ANSWERS_MAX:
                break
            del self._answers[question]
            total -= size
