"""
The load generator, a process of its own: `python -m bench.ingress.load`.

Closed loop: every connection sends its next request when the last one is answered. Open loop
(`--rate`): requests are due at fixed times, and latency counts from then, also while no connection
is free. A request without an answer after 2 s is given up, as the sender does. `--target`,
`--method` and `--ok-status` are for a server that does not speak the vendor's protocol.
"""

import asyncio
import contextlib
import gc
import time
from array import array
from collections import Counter, deque
from pathlib import Path
from typing import Any

import click
import msgspec
import uvloop

from bench.ingress.callbacks import VENDOR, Shape, requests
from bench.ingress.connection import Connection, outcome_of
from schemas.process import stop_on_signals

# The sender's time-out, which cannot be adjusted.
ANSWER_S_MAX = 2.0
# Requests that are due within one tick of this clock are sent together; libuv has no finer clock.
TICK_S = 0.001
SWEEP_S = 0.05
# A server that is unreachable for this time ends the run.
CONNECT_S_MAX = 60.0
# Different answers that are kept with their meaning, so that equal ones are parsed once.
KNOWN_MAX = 1000


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The answers. `others` counts every answer except the protocol's OK with HTTP status 200."""

    ok: int
    others: dict[str, int]
    unanswered: int
    # Of the clock `perf_counter`, which all processes share.
    began_at: float = 0.0
    seconds: float
    p50_ms: float
    p99_ms: float
    max_ms: float
    cpu_s: float

    @property
    def answered(self) -> int:
        """Requests that got any answer."""
        return self.ok + sum(self.others.values())

    @property
    def failed(self) -> int:
        """Requests that were not answered OK within the sender's time."""
        return self.unanswered + sum(self.others.values())

    @property
    def ok_per_s(self) -> float:
        """OKs a second, up to the last answer."""
        return self.ok / self.seconds if self.seconds else 0.0


class Load:
    """One run against ports of the loopback interface."""

    def __init__(
        self, ports: tuple[int, ...], *, connections: int, rate: float, shape: Shape = VENDOR
    ) -> None:
        self._rate = rate
        self._requests = requests(time.time_ns(), shape)
        self._ok_status = shape.ok_status
        self._connections = [
            Connection(ports[number % len(ports)], self._answered) for number in range(connections)
        ]
        self._idle: deque[Connection] = deque()
        # Due times of requests that found no free connection.
        self._due: deque[float] = deque()
        self._sending = True
        self._known: dict[bytes, str] = {}
        self._answers: Counter[str] = Counter()
        self._unanswered = 0
        self._latencies_s = array("d")
        self._last_answer_at = 0.0

    async def run(self, seconds: float, stop: asyncio.Event, *, start_at: float = 0.0) -> Report:
        """
        Send for the given time or until `stop`, wait for the last answers, and report.

        It begins when connected, but not before `start_at` of the clock `perf_counter`.
        """
        await asyncio.gather(*(connection.connect() for connection in self._connections))
        await asyncio.sleep(start_at - time.perf_counter())
        begun, cpu_begun = time.perf_counter(), time.process_time()
        for connection in self._connections:
            self._free(connection)
        async with asyncio.TaskGroup() as tasks:
            helpers = [tasks.create_task(self._sweep())]
            if self._rate:
                helpers.append(tasks.create_task(self._pace(begun, seconds)))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), seconds)
            self._sending = False
            while self._due or any(each.due_at for each in self._connections):  # noqa: ASYNC110 - a few looks
                await asyncio.sleep(SWEEP_S / 10)
            for helper in helpers:
                helper.cancel()
        for connection in self._connections:
            if connection.transport is not None:
                connection.transport.close()
        return self._report(begun, time.process_time() - cpu_begun)

    def _free(self, connection: Connection) -> None:
        if self._due:
            connection.send(next(self._requests), self._due.popleft())
        elif self._rate:
            self._idle.append(connection)
        elif self._sending:
            connection.send(next(self._requests), time.perf_counter())

    def _answered(self, connection: Connection, answer: bytes) -> bool:
        outcome = self._known.get(answer)
        if outcome is None:
            outcome = outcome_of(answer, self._ok_status)
            if not outcome:
                return False
            # The header Date adds a new answer every second, and an offset one each time.
            if len(self._known) == KNOWN_MAX:
                self._known.clear()
            self._known[answer] = outcome
        self._last_answer_at = time.perf_counter()
        self._answers[outcome] += 1
        if outcome == "OK":
            self._latencies_s.append(self._last_answer_at - connection.due_at)
        connection.due_at = 0.0
        self._free(connection)
        return True

    async def _pace(self, begun: float, seconds: float) -> None:
        scheduled = 0
        while self._sending:
            now = time.perf_counter()
            while (
                at := begun + scheduled / self._rate
            ) <= now and scheduled < seconds * self._rate:
                scheduled += 1
                self._due.append(at)
            while self._due and self._idle:
                connection = self._idle.popleft()
                if connection.transport is not None:
                    connection.send(next(self._requests), self._due.popleft())
            await asyncio.sleep(TICK_S)

    async def _sweep(self) -> None:
        """Give up requests that wait too long, and reconnect closed connections."""
        while True:
            too_old = time.perf_counter() - ANSWER_S_MAX
            while self._due and self._due[0] < too_old:
                self._due.popleft()
                self._unanswered += 1
            for connection in self._connections:
                transport = connection.transport
                if connection.due_at and (transport is None or connection.due_at < too_old):
                    connection.due_at = 0.0
                    self._unanswered += 1
                    if transport is not None:
                        transport.abort()  # and it is cut off at the next sweep
                elif transport is None:
                    async with asyncio.timeout(CONNECT_S_MAX):
                        await connection.connect()
                    if connection not in self._idle:
                        self._free(connection)
            await asyncio.sleep(SWEEP_S)

    def _report(self, begun: float, cpu_s: float) -> Report:
        ordered = sorted(self._latencies_s) or [0.0]
        return Report(
            ok=self._answers.pop("OK", 0),
            others=dict(self._answers),
            unanswered=self._unanswered,
            began_at=begun,
            seconds=max(self._last_answer_at - begun, 0.0),
            p50_ms=ordered[len(ordered) // 2] * 1000,
            p99_ms=ordered[len(ordered) * 99 // 100] * 1000,
            max_ms=ordered[-1] * 1000,
            cpu_s=cpu_s,
        )


@click.command()
@click.option(
    "--port",
    "ports",
    type=int,
    multiple=True,
    required=True,
    help="Port on the loopback interface.",
)
@click.option("--connections", default=64, show_default=True)
@click.option("--seconds", default=5.0, show_default=True)
@click.option("--rate", default=0.0, help="Requests per second; default: as fast as answers come.")
@click.option("--start-at", default=0.0, help="Begin then, on the clock of Python's perf_counter.")
@click.option("--method", default=VENDOR.method, show_default=True)
@click.option("--target", default=VENDOR.target, help="Default: the vendor's, with parameters.")
@click.option(
    "--ok-status",
    default=VENDOR.ok_status,
    show_default=True,
    help="HTTP status of an OK; 200 needs the body of the protocol's OK, too.",
)
@click.option("--ids", is_flag=True, help="Add headers that differ in each request.")
@click.option("--report", type=click.Path(path_type=Path), required=True, help="File for JSON.")
def main(
    *,
    ports: tuple[int, ...],
    connections: int,
    seconds: float,
    rate: float,
    start_at: float,
    report: Path,
    **shape: Any,
) -> None:
    """Send callbacks and write a report of the answers, also if SIGTERM ends the run early."""

    async def run() -> Report:
        load = Load(ports, connections=connections, rate=rate, shape=Shape(**shape))
        # Garbage collections of this process must not make answers look slow.
        gc.collect()
        gc.disable()
        return await load.run(seconds, stop_on_signals(), start_at=start_at)

    report.write_bytes(msgspec.json.encode(uvloop.run(run())))


if __name__ == "__main__":
    main()
