"""Let a partition's task wait until the runner has fetched again."""

import asyncio
from collections.abc import Callable


class RoundSignal:
    """Lets a worker wait for a round of the runner's loop, which begins with a fetch."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self._has_begun = asyncio.Event()

    def note_round(self) -> None:
        """Note that a round has begun: end the wait for it."""
        self._has_begun.set()

    async def wait_for_next(self) -> None:
        """Wait for the next round, unless one has begun since the last wait."""
        await self._has_begun.wait()
        self._has_begun.clear()

    async def wait_at_least(self, seconds: float) -> None:
        """Wait `seconds`, then for a round."""
        until = self.clock() + seconds
        while self.clock() < until:
            await self.wait_for_next()
