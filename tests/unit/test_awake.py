"""A time-out of the tests that counts only the time in which their process runs."""

import asyncio
import time

import pytest
from support.awake import awake_timeout


async def test_a_suspended_process_uses_up_one_tick() -> None:
    """Otherwise tests would fail that give a fraction of a minute to what takes no time."""
    async with awake_timeout(0.5):
        for _ in range(3):
            time.sleep(0.6)  # noqa: ASYNC251 - nothing else of the process runs
            await asyncio.sleep(0)


async def test_what_hangs_is_ended() -> None:
    """As by a usual time-out, and a block that has ended is not touched."""
    with pytest.raises(TimeoutError):
        async with awake_timeout(0.2):
            await asyncio.Event().wait()
    async with awake_timeout(0.1):
        pass
    await asyncio.sleep(0.2)
