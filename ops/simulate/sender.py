"""Send callbacks at a rate; a callback that is not answered in time is unanswered."""

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import BinaryIO

import aiohttp

from ops.simulate import ledger
from ops.simulate.callbacks import SimulatedCallback, requests
from ops.simulate.delivery import ANSWER_TIMEOUT_S, SendResult, UrlRotation, deliver
from ops.simulate.recording import Recording
from ops.simulate.result import TrafficResult
from ops.simulate.signer import Signer


@dataclass(frozen=True, slots=True, kw_only=True)
class TrafficPlan:
    """
    The traffic to send. It ends after `seconds` or `count`, whichever comes first.

    The callbacks go to `urls` in turn; a callback whose first try fails is sent to the next URL.
    Those of a `recording` replace the made-up ones; with a `speed`, they are sent so many times as
    fast as they were recorded, in place of `rate`.
    """

    urls: tuple[str, ...]
    sdkappids: tuple[str, ...]
    rate: float
    seconds: float = float("inf")
    count: int | None = None
    connections: int = 64
    users: int = 500
    seed: int = 1
    signer: Signer = field(default_factory=Signer)
    recording: Recording | None = None
    speed: float | None = None
    answer_timeout_s: float = ANSWER_TIMEOUT_S


async def simulate(
    plan: TrafficPlan, ledger_file: BinaryIO | None, on_answer: Callable[[ledger.LedgerEntry], None]
) -> TrafficResult:
    """
    Send the callbacks of `plan`, each when it is due; call `on_answer` with each entry.

    A callback that has no free connection when it is due is sent late, and its latency shows that:
    a target that hangs delays all callbacks that were due meanwhile (an open loop).
    """
    result = TrafficResult(planned_rate=None if plan.speed else plan.rate)
    began_at = time.monotonic()
    rotation = UrlRotation(plan.urls)
    connector = aiohttp.TCPConnector(limit=plan.connections)
    free = asyncio.Semaphore(plan.connections)

    async def send(request: SimulatedCallback, due: float) -> None:
        query = plan.signer.sign(request.sdkappid, request.query, time.time())
        try:
            sent = await deliver(
                session,
                replace(request, query=query),
                rotation,
                answer_timeout_s=plan.answer_timeout_s,
            )
            entry = _entry(request, sent, (time.monotonic() - due) * 1000)
        finally:
            free.release()
        result.add(entry)
        if ledger_file is not None and entry.id:
            ledger.write(ledger_file, entry)
        on_answer(entry)

    async with (
        aiohttp.ClientSession(connector=connector) as session,
        asyncio.TaskGroup() as sending,
    ):
        scheduled = _scheduled(plan)
        for due_s, request in scheduled:
            due = began_at + due_s
            early_s = due - time.monotonic()
            if early_s > 0:
                await asyncio.sleep(early_s)
            elif time.monotonic() - began_at > plan.seconds:
                result.unsent = 1 + sum(1 for _ in scheduled)
                break
            asked_at = time.monotonic()
            await free.acquire()
            now = time.monotonic()
            result.waited_s += now - asked_at
            result.late_s_max = max(result.late_s_max, now - due)
            sending.create_task(send(request, due))
            result.sending_s = now - began_at + (0 if plan.speed else 1 / plan.rate)
    result.took_s = time.monotonic() - began_at
    return result


def _scheduled(plan: TrafficPlan) -> Iterator[tuple[float, SimulatedCallback]]:
    """Yield the callbacks, each with the time after the beginning at which it is due."""
    recording = plan.recording
    to_send = (
        recording.requests()
        if recording
        else requests(plan.sdkappids, users=plan.users, seed=plan.seed)
    )
    for number, request in enumerate(to_send):
        if recording and plan.speed:
            due_s = (recording.times_s[number] - recording.times_s[0]) / plan.speed
        else:
            due_s = number / plan.rate
        if due_s >= plan.seconds or number == plan.count:
            return
        yield due_s, request


def _entry(request: SimulatedCallback, sent: SendResult, latency_ms: float) -> ledger.LedgerEntry:
    return ledger.LedgerEntry(
        id=request.id,
        sdkappid=request.sdkappid,
        command=request.command,
        sums=request.added.sums.numbers,
        people=request.added.members,
        sha256=hashlib.sha256(request.body).hexdigest(),
        outcome=sent.outcome,
        status=sent.status,
        answer=sent.answer or sent.outcome,
        failed_tries=sent.failed_tries,
        latency_ms=round(latency_ms, 3),
    )
