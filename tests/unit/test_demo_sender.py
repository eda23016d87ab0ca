"""The demo's sender tries a second address, and counts the reasons."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import islice

import aiohttp
import pytest

from ops.demo.embedded.child import free_port
from ops.simulate import delivery
from ops.simulate.callbacks import requests
from ops.simulate.delivery import SendResult, UrlRotation, deliver
from ops.simulate.ledger import LedgerEntry, Outcome
from ops.simulate.result import TrafficResult

OK = b'{"ActionStatus":"OK","ErrorInfo":"","ErrorCode":0}'
FULL = b'{"ActionStatus":"FAIL","ErrorInfo":"full","ErrorCode":1}'
(REQUEST,) = islice(requests(("1400000001",), users=2, seed=1), 1)

Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the first try would be too late, or be forgotten, when the process is suspended."""
    monkeypatch.setattr(delivery, "FIRST_TRY_TIMEOUT_S", 180.0)
    monkeypatch.setattr(delivery, "PASSED_OVER_S", 180.0)


def answers(status: int, body: bytes) -> Answer:
    """Return a server's behaviour: it answers each request like this."""

    async def write(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n" % (status, len(body)) + body)

    return write


async def cuts(writer: asyncio.StreamWriter) -> None:
    """Close the connection without an answer."""
    writer.close()


async def hangs(_: asyncio.StreamWriter) -> None:
    """Give no answer, and keep the connection: Python 3.13 closes one that nothing refers to."""
    await asyncio.Event().wait()


@asynccontextmanager
async def address(behaviour: Answer | None) -> AsyncIterator[str]:
    """Yield the URL of a server; None: nothing listens there."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/"
    if behaviour is None:
        yield url
        return

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await behaviour(writer)

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    try:
        yield url
    finally:
        server.close()


async def delivered(*behaviours: Answer | None, answer_timeout_s: float = 180) -> SendResult:
    """Return the delivery of a callback to servers that behave like this."""
    async with AsyncExitStack() as stack:
        urls = [await stack.enter_async_context(address(each)) for each in behaviours]
        session = await stack.enter_async_context(aiohttp.ClientSession())
        rotation = UrlRotation(urls)
        return await deliver(session, REQUEST, rotation, answer_timeout_s=answer_timeout_s)


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        (None, "connection refused"),
        (cuts, "connection cut before the answer"),
        (hangs, "no answer in time"),
        (answers(503, FULL), "answered 503: full"),
    ],
)
async def test_a_callback_that_fails_at_one_address_is_sent_to_the_other(
    first: Answer | None, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The gateway of docker compose does the same."""
    if first is hangs:
        monkeypatch.setattr(delivery, "FIRST_TRY_TIMEOUT_S", 0.3)
    assert await delivered(first, answers(200, OK)) == SendResult(Outcome.OK, 200, (reason,))


@pytest.mark.parametrize("refusal", [(403, FULL), (200, FULL), (200, b"no JSON"), (500, b"[]")])
async def test_a_refusal_is_not_sent_to_the_other_address(refusal: tuple[int, bytes]) -> None:
    """Another replica would refuse it too."""
    send_result = await delivered(answers(*refusal), answers(200, OK))
    assert (send_result.outcome, send_result.status, len(send_result.failed_tries)) == (
        Outcome.OTHER_ANSWER,
        refusal[0],
        1,
    )


async def test_there_is_no_third_try() -> None:
    """Three would not fit into the vendor's 2 s."""
    send_result = await delivered(cuts, None, answers(200, OK))
    reasons = ("connection cut before the answer", "connection refused")
    assert send_result == SendResult(Outcome.UNANSWERED, 0, reasons)


async def test_with_one_address_there_is_no_second_try() -> None:
    """The vendor sends once, and waits for 2 s."""
    reason = "connection cut before the answer"
    assert await delivered(cuts) == SendResult(Outcome.UNANSWERED, 0, (reason,))
    late = SendResult(Outcome.UNANSWERED, 0, ("no answer in time",))
    assert await delivered(hangs, answer_timeout_s=0.3) == late


async def test_an_answer_that_is_late_for_the_vendor_may_be_waited_for() -> None:
    """Else a test on a slow machine would count it as unanswered."""

    async def slow(writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.5)
        await answers(200, OK)(writer)

    assert await delivered(slow) == SendResult(Outcome.OK, 200)
    assert (await delivered(slow, answer_timeout_s=0.2)).outcome is Outcome.UNANSWERED


def test_addresses_take_the_callbacks_in_turn() -> None:
    """The address after it is for the second try."""
    rotation = UrlRotation("abc")
    assert ["".join(rotation.in_turn()) for _ in range(4)] == ["abc", "bca", "cab", "abc"]


def test_an_address_where_a_connection_failed_is_tried_last() -> None:
    """The gateway does the same with a replica that is not ready."""
    rotation = UrlRotation("abc")
    rotation.pass_over("b")
    assert ["".join(rotation.in_turn()) for _ in range(3)] == ["acb", "cab", "cab"]


async def test_a_connection_that_failed_is_noted() -> None:
    """The next callback goes to the other address first."""
    async with address(None) as refusing, address(answers(200, OK)) as answering:
        rotation = UrlRotation((refusing, answering))
        async with aiohttp.ClientSession() as session:
            await deliver(session, REQUEST, rotation)
        assert rotation.is_passed_over(refusing)
        assert not rotation.is_passed_over(answering)


def test_every_callback_that_was_not_answered_ok_has_a_reason() -> None:
    """Second tries are counted by the reason of the first failure, successful or not."""
    result = TrafficResult()
    for outcome, failed in (
        (Outcome.OK, ()),
        (Outcome.OK, ("cut",)),
        (Outcome.UNANSWERED, ("cut", "late")),
        (Outcome.UNANSWERED, ("late",)),
        (Outcome.OTHER_ANSWER, ("full",)),
    ):
        result.add(
            LedgerEntry(
                id="1",
                sdkappid="1",
                command="C",
                sha256="",
                outcome=outcome,
                status=0,
                failed_tries=failed,
                latency_ms=1.0,
            )
        )
    assert (result.sent, result.answers[Outcome.OK], result.ok_percent) == (5, 2, 40)
    assert result.not_ok == {"cut, then late": 1, "late": 1, "full": 1}
    assert result.second_tries == {"cut": 2}
