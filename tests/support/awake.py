"""A time-out that counts only the time in which this process runs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

# While this process does not run, at most one tick passes.
TICK_S = 0.05


@asynccontextmanager
async def awake_timeout(seconds: float) -> AsyncIterator[None]:
    """Raise TimeoutError when this process has run for so long, as `asyncio.timeout` does."""
    loop = asyncio.get_running_loop()
    next_tick: asyncio.TimerHandle | None = None

    async with asyncio.timeout(None) as limit:

        def tick(left: int) -> None:
            nonlocal next_tick
            if left > 0:
                next_tick = loop.call_later(TICK_S, tick, left - 1)
            else:
                limit.reschedule(loop.time())

        tick(round(seconds / TICK_S))
        try:
            yield
        finally:
            if next_tick is not None:
                next_tick.cancel()
