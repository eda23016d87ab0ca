"""A cancellation that aiokafka takes for its own is heeded later."""

import asyncio
import contextlib

import pytest

from schemas.clients import heed_cancellation


async def test_a_cancellation_that_was_swallowed_is_raised() -> None:
    """As by `AIOKafkaClient.close` while it waits for its own task."""
    swallowed = asyncio.Event()

    async def work() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        swallowed.set()
        heed_cancellation()
        raise AssertionError("it went on")

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    await swallowed.wait()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_time_out_is_no_cancellation() -> None:
    """Neither one that was raised nor one that was swallowed."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0):
            await asyncio.sleep(60)
    async with asyncio.timeout(0):
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
    heed_cancellation()
