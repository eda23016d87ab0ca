"""Let a partition's task wait until the runner has fetched again."""

import asyncio
from collections.abc import Callable

from schemas.clients import check_cancellation


class RoundSignal:
    """Lets a worker wait until the runner has fetched, which it does in each round of its loop."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self._has_fetched = asyncio.Event()

    def note_fetched(self) -> None:
        """Note that the runner has fetched: end the wait for it."""
        self._has_fetched.set()

    async def wait_for_next(self) -> None:
        """Wait for the next fetch, unless the runner has fetched since the last wait."""
        # Each loop of a worker waits here. After a swallowed cancellation no fetch would follow.
        check_cancellation()
        await self._has_fetched.wait()
        self._has_fetched.clear()

    async def wait_at_least(self, seconds: float) -> None:
        """Wait `seconds`, then for a fetch."""
        until = self.clock() + seconds
        while self.clock() < until:
            await self.wait_for_next()
