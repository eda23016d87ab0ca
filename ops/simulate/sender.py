"""Be the sender: callbacks at a rate, each answered within 2 s or given up, none sent again."""

import asyncio
import hashlib
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import aiohttp
import orjson

from ops.simulate import ledger
from ops.simulate.callbacks import Request, requests

# Not adjustable at the sender (protocol §1).
ANSWER_S_MAX = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What to send. It ends after `seconds` or `count`, whichever comes first."""

    url: str
    sdkappids: tuple[str, ...]
    rate: float
    seconds: float = float("inf")
    count: int | None = None
    connections: int = 64
    users: int = 500
    seed: int = 1


@dataclass(slots=True)
class TrafficResult:
    """The answers to the callbacks that were sent."""

    answers: Counter[str] = field(default_factory=Counter)
    commands: Counter[str] = field(default_factory=Counter)
    latencies_ms: list[float] = field(default_factory=list)
    took_s: float = 0.0

    @property
    def sent(self) -> int:
        """The number of callbacks that were sent."""
        return sum(self.answers.values())

    def percentile_ms(self, percent: float) -> float:
        """Return the latency that `percent` of the OKs stayed within; 0 without any."""
        if not self.latencies_ms:
            return 0.0
        ordered = sorted(self.latencies_ms)
        return ordered[min(int(len(ordered) * percent / 100), len(ordered) - 1)]

    def as_dict(self) -> dict[str, object]:
        """Return the result for `--json`."""
        return {
            "sent": self.sent,
            "ok": self.answers["ok"],
            "refused": self.answers["refused"],
            "unanswered": self.answers["unanswered"],
            "by_command": dict(self.commands),
            "seconds": round(self.took_s, 3),
            "latency_ms": {
                f"p{percent:g}": round(self.percentile_ms(percent), 3)
                for percent in (50, 90, 99, 99.9, 100)
            },
        }


async def simulate(
    plan: Plan, ledger_file: BinaryIO | None, on_answer: Callable[[ledger.Entry], None]
) -> TrafficResult:
    """Send the callbacks of `plan`; call `on_answer` with each entry of the ledger."""
    result = TrafficResult()
    begun = time.monotonic()
    timeout = aiohttp.ClientTimeout(total=ANSWER_S_MAX)
    connector = aiohttp.TCPConnector(limit=plan.connections)
    room = asyncio.Semaphore(plan.connections)

    async def send(request: Request) -> None:
        try:
            entry = await _send(session, plan.url, request)
        finally:
            room.release()
        result.answers[entry.outcome] += 1
        result.commands[entry.command] += 1
        if entry.outcome == "ok":
            result.latencies_ms.append(entry.latency_ms)
        if ledger_file is not None:
            ledger.write(ledger_file, entry)
        on_answer(entry)

    async with (
        aiohttp.ClientSession(connector=connector, timeout=timeout) as session,
        asyncio.TaskGroup() as sending,
    ):
        for at_s, request in _schedule(plan):
            if (early_s := begun + at_s - time.monotonic()) > 0:
                await asyncio.sleep(early_s)
            elif time.monotonic() - begun > plan.seconds:
                break
            await room.acquire()
            sending.create_task(send(request))
    result.took_s = time.monotonic() - begun
    return result


def _schedule(plan: Plan) -> Iterator[tuple[float, Request]]:
    made = requests(plan.sdkappids, users=plan.users, seed=plan.seed)
    for number, request in enumerate(made):
        at_s = number / plan.rate
        if at_s >= plan.seconds or (plan.count is not None and number >= plan.count):
            return
        yield at_s, request


async def _send(session: aiohttp.ClientSession, url: str, request: Request) -> ledger.Entry:
    begun = time.monotonic()
    status, outcome = 0, "unanswered"
    try:
        async with session.post(f"{url}?{request.query}", data=request.body) as response:
            status = response.status
            outcome = "ok" if _accepted(status, await response.read()) else "refused"
    except (aiohttp.ClientError, TimeoutError, OSError):
        status, outcome = 0, "unanswered"
    return ledger.Entry(
        id=request.id,
        sdkappid=request.sdkappid,
        command=request.command,
        kinds=request.statistic.kinds,
        people=request.statistic.people,
        sha256=hashlib.sha256(request.body).hexdigest(),
        outcome=outcome,  # type: ignore[arg-type]  # one of the three above
        status=status,
        latency_ms=round((time.monotonic() - begun) * 1000, 3),
    )


def _accepted(status: int, body: bytes) -> bool:
    if status != 200:
        return False
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return isinstance(answer, dict) and answer.get("ActionStatus") == "OK"
