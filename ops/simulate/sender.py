"""Send callbacks at a rate; a callback that is not answered within 2 s is unanswered."""

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import aiohttp

from ops.simulate import ledger
from ops.simulate.callbacks import SimulatedCallback, requests
from ops.simulate.delivery import UrlRotation, deliver
from ops.simulate.result import TrafficResult


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficPlan:
    """
    The traffic to send. It ends after `seconds` or `count`, whichever comes first.

    The callbacks go to `urls` in turn; a callback whose first try fails is sent to the next URL.
    """

    urls: tuple[str, ...]
    sdkappids: tuple[str, ...]
    rate: float
    seconds: float = float("inf")
    count: int | None = None
    connections: int = 64
    users: int = 500
    seed: int = 1


async def simulate(
    plan: TrafficPlan, ledger_file: BinaryIO | None, on_answer: Callable[[ledger.LedgerEntry], None]
) -> TrafficResult:
    """Send the callbacks of `plan`; call `on_answer` with each entry of the ledger."""
    result = TrafficResult(planned_rate=plan.rate)
    began_at = time.monotonic()
    rotation = UrlRotation(plan.urls)
    connector = aiohttp.TCPConnector(limit=plan.connections)
    free = asyncio.Semaphore(plan.connections)

    async def send(request: SimulatedCallback) -> None:
        try:
            entry = await _send(session, request, rotation)
        finally:
            free.release()
        result.add(entry)
        if ledger_file is not None:
            ledger.write(ledger_file, entry)
        on_answer(entry)

    async with (
        aiohttp.ClientSession(connector=connector) as session,
        asyncio.TaskGroup() as sending,
    ):
        for number, request in enumerate(_requests(plan)):
            early_s = began_at + number / plan.rate - time.monotonic()
            if early_s > 0:
                await asyncio.sleep(early_s)
            elif time.monotonic() - began_at > plan.seconds:
                break
            asked_at = time.monotonic()
            await free.acquire()
            result.waited_s += time.monotonic() - asked_at
            sending.create_task(send(request))
            result.sending_s = time.monotonic() - began_at + 1 / plan.rate
    result.took_s = time.monotonic() - began_at
    return result


def _requests(plan: TrafficPlan) -> Iterator[SimulatedCallback]:
    endless = requests(plan.sdkappids, users=plan.users, seed=plan.seed)
    for number, request in enumerate(endless):
        if number / plan.rate >= plan.seconds or number == plan.count:
            return
        yield request


async def _send(
    session: aiohttp.ClientSession, request: SimulatedCallback, rotation: UrlRotation
) -> ledger.LedgerEntry:
    began_at = time.monotonic()
    delivery = await deliver(session, request, rotation)
    return ledger.LedgerEntry(
        id=request.id,
        sdkappid=request.sdkappid,
        command=request.command,
        sums=request.added.sums.numbers,
        people=request.added.people,
        sha256=hashlib.sha256(request.body).hexdigest(),
        outcome=delivery.outcome,
        status=delivery.status,
        failed_tries=delivery.failed_tries,
        latency_ms=round((time.monotonic() - began_at) * 1000, 3),
    )
