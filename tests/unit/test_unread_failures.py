"""Failures that no caller waits for: those of connections are expected, all others are reported."""

import asyncio
import contextlib
import gc
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import uvloop
from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.cluster import ClusterMetadata
from aiokafka.consumer.subscription_state import SubscriptionState
from aiokafka.errors import KafkaConnectionError, KafkaError
from aiokafka.producer.message_accumulator import MessageAccumulator

from schemas.unread_failures import expect_unread_failures

Reports = list[dict[str, Any]]


def expecting() -> Reports:
    """Return what the running loop reports from now on."""
    loop = asyncio.get_running_loop()
    reports: Reports = []
    loop.set_exception_handler(lambda _, report: reports.append(report))
    expect_unread_failures(loop)
    # Each client of a process calls it.
    expect_unread_failures(loop)
    return reports


async def collected() -> None:
    """Return when the callbacks that are due have run, and unused futures are gone."""
    for _ in range(3):
        await asyncio.sleep(0)
    gc.collect()


async def a_name_that_nobody_needs_any_more() -> None:
    """Give up a connection while its host name is looked up; the lookup fails later."""
    loop = asyncio.get_running_loop()
    # With this flag the lookup fails without a question to a name server.
    connecting = asyncio.create_task(
        loop.create_connection(asyncio.Protocol, "kafka", 9092, flags=socket.AI_NUMERICHOST)
    )
    await asyncio.sleep(0)
    connecting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await connecting
    # The lookups use threads of the process, and this one begins after the other.
    with contextlib.suppress(OSError):
        await loop.getaddrinfo("kafka", 9092, flags=socket.AI_NUMERICHOST)


def test_a_host_name_that_is_unknown_after_the_connection_was_given_up_is_not_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The loop of all services goes on with the lookup, and each reports the outage itself."""
    caplog.set_level(logging.DEBUG, "schemas.unread_failures")

    async def run() -> Reports:
        reports = expecting()
        async with asyncio.timeout(180):
            while not (reports or caplog.messages):
                await a_name_that_nobody_needs_any_more()
                await collected()
        return reports

    assert uvloop.run(run()) == []
    assert "gaierror" in caplog.messages[0]


async def a_batch() -> None:
    """Cancel the caller that waits for a batch, which fails later, before it was sent."""
    accumulator = MessageAccumulator(ClusterMetadata(), 1000, 0, 30)
    builder = accumulator.create_builder()
    builder.append(timestamp=None, key=None, value=b"x")
    sent = await accumulator.add_batch(builder, TopicPartition("t", 0), 1)
    sent.cancel()
    await asyncio.sleep(0)
    accumulator.fail_all(KafkaConnectionError("gone"))


async def an_assignment() -> None:
    """Wait for an assignment and the first record in a way that leaves both when time is over."""
    subscription = SubscriptionState()
    fetches = {asyncio.get_running_loop().create_future()}
    subscription.register_fetch_waiters(fetches)
    await asyncio.wait([subscription.wait_for_assignment(), *fetches], timeout=0)
    subscription.abort_waiters(KafkaConnectionError("gone"))


async def a_task_of_aiokafka() -> None:
    """Start a task whose result nobody reads; it fails, because no broker is known."""
    await asyncio.wait([asyncio.create_task(AIOKafkaClient().fetch_all_metadata())])


@pytest.mark.parametrize("leave", [a_batch, an_assignment, a_task_of_aiokafka])
async def test_a_failure_inside_a_client_whose_caller_has_left_is_not_reported(
    leave: Callable[[], Awaitable[None]],
) -> None:
    """It is the same outage that the caller reports."""
    reports = expecting()
    await leave()
    await collected()
    assert reports == []


async def fail(error: Exception) -> None:
    """Fail."""
    raise error


@pytest.mark.parametrize(
    ("error", "is_task"),
    [(ValueError("bug"), False), (OSError("disk"), False), (KafkaError("ended"), True)],
)
async def test_failures_of_our_own_are_reported(error: Exception, *, is_task: bool) -> None:
    """A bug, a disk that fails, and a task of ours that ends although its work is not done."""
    reports = expecting()
    if is_task:
        await asyncio.wait([asyncio.create_task(fail(error))])
    else:
        asyncio.get_running_loop().create_future().set_exception(error)
    await collected()
    assert [report["exception"] for report in reports] == [error]


async def test_without_another_handler_asyncio_reports_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The loop of a service has no handler of its own."""
    expect_unread_failures(asyncio.get_running_loop())
    asyncio.get_running_loop().create_future().set_exception(ValueError("bug"))
    await collected()
    assert "Future exception was never retrieved" in caplog.text
