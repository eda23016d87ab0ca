"""Cancellations and errors of aiokafka: a swallowed one is raised, the others are outages."""

import asyncio
import contextlib
import gc
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError, ProducerFenced
from aiokafka.structs import OffsetAndMetadata

from schemas.clients import BREAKAGES, check_cancellation, close_client, kafka_failures
from schemas.unread_failures import expect_unread_failures


async def test_a_cancellation_that_was_swallowed_is_raised() -> None:
    """`AIOKafkaClient.close` swallows it while it waits for its own task."""
    swallowed = asyncio.Event()

    async def work() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
        swallowed.set()
        check_cancellation()
        raise AssertionError("the task continued after its cancellation")

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    await swallowed.wait()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_time_out_is_not_a_cancellation() -> None:
    """That holds for a time-out that was raised and for one that was swallowed."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0):
            await asyncio.sleep(60)
    async with asyncio.timeout(0):
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(60)
    check_cancellation()


async def test_a_task_that_the_client_cancels_itself_is_an_outage() -> None:
    """The caller was not cancelled."""
    inner = asyncio.create_task(asyncio.sleep(60))
    inner.cancel()
    with pytest.raises(KafkaError, match="cancelled a task of its own"), kafka_failures():
        await inner


async def test_a_cancellation_of_the_caller_stays_one() -> None:
    """This holds even if the caller awaits a task of the client, which is cancelled with it."""
    inner = asyncio.create_task(asyncio.sleep(60))

    async def call() -> None:
        with kafka_failures():
            await inner

    calling = asyncio.create_task(call())
    await asyncio.sleep(0)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling


async def test_a_time_out_stays_one() -> None:
    """This holds for a time-out around the block and for one within it."""

    async def within() -> None:
        with kafka_failures():
            async with asyncio.timeout(0):
                await asyncio.sleep(60)

    async def around() -> None:
        async with asyncio.timeout(0):
            with kafka_failures():
                await asyncio.sleep(60)

    for kind in (within, around):
        with pytest.raises(TimeoutError):
            await kind()


def fail_in(module: str, error: Exception) -> None:
    """Raise `error` in a function of `module`."""
    names: dict[str, Any] = {"__name__": module}
    exec("def fail(error): raise error", names)  # noqa: S102 - its frame has the module's name
    names["fail"](error)


@pytest.mark.parametrize("kind", BREAKAGES)
def test_an_exception_that_a_broken_connection_causes_is_an_outage(kind: type[Exception]) -> None:
    """The exception is kept as the cause."""
    with pytest.raises(KafkaError) as raised, kafka_failures():
        fail_in("aiokafka.conn", kind("broken"))
    assert type(raised.value.__cause__) is kind


@pytest.mark.parametrize("kind", BREAKAGES)
def test_an_exception_that_aiokafka_did_not_raise_is_no_outage(kind: type[Exception]) -> None:
    """Otherwise a bug in the block would look like an outage, and be repeated for ever."""
    with pytest.raises(kind), kafka_failures():
        fail_in("ingress.forward.forwarder", kind("bug"))


@pytest.mark.parametrize("kind", [TypeError, NameError, ZeroDivisionError, MemoryError])
def test_a_bug_stays_one(kind: type[Exception]) -> None:
    """It ends the process."""
    with pytest.raises(kind), kafka_failures():
        fail_in("aiokafka.conn", kind("bug"))


@pytest.mark.parametrize("fails", ["before", "while", "after"])
async def test_a_transaction_that_fails_after_its_caller_has_left_is_not_reported(
    fails: str,
) -> None:
    """
    Its caller has given up, as the forwarder does after its time-out, and closes the producer.

    On a machine that stands still, the producer's tasks may end after the bound of its closing.
    """
    reports: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, report: reports.append(report))
    expect_unread_failures(asyncio.get_running_loop())
    producer = AIOKafkaProducer(transactional_id="x")
    transactions = producer._txn_manager  # noqa: SLF001
    transactions.set_pid_and_epoch(1, 0)
    transactions.begin_transaction()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0):
            sent = {TopicPartition("t", 0): OffsetAndMetadata(1, "")}
            await producer.send_offsets_to_transaction(sent, "group")
    if fails == "before":
        transactions.error_transaction(ProducerFenced())
    closing = asyncio.create_task(close_client(producer))
    if fails == "after":
        await closing
    else:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    transactions.fatal_error(ProducerFenced())
    await closing
    await asyncio.sleep(0)
    del producer, transactions, closing
    gc.collect()
    assert reports == []
