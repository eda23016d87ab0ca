"""
The end of aiokafka's clients, also where the broker does not answer any more, or we are cancelled.

Their own stop() waits for the broker. Cut off by a time-out it leaves tasks and connections behind,
one more set with every attempt of an outage; these reach into the clients to end them.
"""

import asyncio
import contextlib
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError, ProducerClosed

STOP_S = 5.0


def heed_cancellation() -> None:
    """
    Raise the cancellation of this task, if one came while a client was closed.

    `AIOKafkaClient.close` takes it for the one of its own task, and it would be lost.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError


def connections(producer: AIOKafkaProducer) -> list[Any]:
    """Return the connections of `producer`, each of which tells whether it is `connected()`."""
    return list(producer.client._conns.values())  # noqa: SLF001


async def stop_producer(producer: AIOKafkaProducer) -> None:
    """Return when nothing of `producer` is left; a transaction under way is left to the broker."""
    with contextlib.suppress(TimeoutError, KafkaError):
        async with asyncio.timeout(STOP_S):
            await producer.stop()
            return
    await _end(producer._sender.sender_task)  # noqa: SLF001
    _fail_batches(producer._message_accumulator)  # noqa: SLF001
    await producer.client.close()


async def stop_consumer(consumer: AIOKafkaConsumer) -> None:
    """Return when nothing of `consumer` is left."""
    with contextlib.suppress(TimeoutError, KafkaError):
        async with asyncio.timeout(STOP_S):
            await consumer.stop()
            return
    if (group := consumer._coordinator) is not None:  # noqa: SLF001
        await _end(group._coordination_task)  # noqa: SLF001
        await _end(group._heartbeat_task)  # noqa: SLF001
        await _end(group._commit_refresh_task)  # noqa: SLF001
    if (fetcher := consumer._fetcher) is not None:  # noqa: SLF001
        for task in (fetcher._fetch_task, *fetcher._pending_tasks):  # noqa: SLF001
            await _end(task)
    await consumer._client.close()  # noqa: SLF001


def _fail_batches(accumulator: Any) -> None:
    batches = [batch for queued in accumulator._batches.values() for batch in queued]  # noqa: SLF001
    batches += accumulator._pending_batches  # noqa: SLF001
    accumulator.fail_all(ProducerClosed())
    for batch in batches:
        # Nobody waits for them any more, and asyncio would say so.
        for future in (batch.future, batch._drain_waiter):  # noqa: SLF001
            if future.done() and not future.cancelled():
                future.exception()


async def _end(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        task.cancel()
        await asyncio.wait((task,), timeout=STOP_S)
