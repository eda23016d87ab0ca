"""
The target of all deliveries, a process of its own: `python -m bench.sync.webhook.receiver`.

It answers 204 and reads no more than it needs, so that it costs far less than any sender. Callbacks
of the account FAILING may get another answer. `GET /` returns a Report; `GET /begin` returns one,
too, and begins to count again.
"""

import asyncio
import re
import time
from array import array
from datetime import datetime
from typing import cast

import click
import msgspec
import uvloop

from schemas.process import stop_on_signals

FAILING = "failing"
_FAILING = f'"{FAILING}"'.encode()
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *([0-9]+)")
_ID = re.compile(rb"(?i)\r\nwebhook-id: *([^\r]*)")
_TIME = re.compile(rb"(?i)\r\nce-time: *([^\r]*)")
_ACCEPTED = b"HTTP/1.1 204 No Content\r\n\r\n"
_FAILED = b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """
    The deliveries so far: `accepted` with 204, of `different` ids, and `failed`.

    The milliseconds are from a callback's `ce-time` until its delivery is accepted, of the
    `others`: all that are not of FAILING.
    """

    accepted: int
    others: int
    different: int
    failed: int
    cpu_s: float
    p50_ms: float
    p99_ms: float
    max_ms: float


class Target:
    """Answers requests. `fails`: those of FAILING get 500."""

    def __init__(self, *, fails: bool) -> None:
        self._fails = fails
        self._begin()

    def _begin(self) -> None:
        self._ids: set[bytes] = set()
        self._accepted = self._failed = 0
        self._waits_s = array("d")

    def answer(self, head: bytes, body: bytes) -> bytes:
        """Return the answer to a request."""
        if head.startswith(b"GET "):
            report = msgspec.json.encode(self.report())
            if head.startswith(b"GET /begin "):
                self._begin()
            return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(report), report)
        is_failing = _FAILING in body
        if is_failing and self._fails:
            self._failed += 1
            return _FAILED
        self._accepted += 1
        self._ids.add(_value(_ID, head))
        if not is_failing:
            sent = datetime.fromisoformat(_value(_TIME, head).decode())
            self._waits_s.append(time.time() - sent.timestamp())
        return _ACCEPTED

    def report(self) -> Report:
        """Return the deliveries so far."""
        ordered = sorted(self._waits_s) or [0.0]
        return Report(
            accepted=self._accepted,
            others=len(self._waits_s),
            different=len(self._ids),
            failed=self._failed,
            cpu_s=time.process_time(),
            p50_ms=ordered[len(ordered) // 2] * 1000,
            p99_ms=ordered[len(ordered) * 99 // 100] * 1000,
            max_ms=ordered[-1] * 1000,
        )


def _value(header: re.Pattern[bytes], head: bytes) -> bytes:
    match = header.search(head)
    return match[1] if match else b""


class Connection(asyncio.Protocol):
    """One connection: requests with Content-Length, one after the other."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._received = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport for the answers."""
        # uvloop's transports are of no class of asyncio.
        self._transport = cast("asyncio.WriteTransport", transport)

    def data_received(self, data: bytes) -> None:
        """Answer each complete request."""
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[: end + 2]
            length = int(_value(_LENGTH, head) or 0)
            if len(self._received) < end + 4 + length:
                return
            body = self._received[end + 4 : end + 4 + length]
            self._received = self._received[end + 4 + length :]
            if self._transport is not None:
                self._transport.write(self._target.answer(head, body))


async def _serve(port: int, target: Target) -> None:
    stop = stop_on_signals()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(target), "127.0.0.1", port)
    await stop.wait()
    server.close()


@click.command()
@click.option("--port", type=int, required=True)
@click.option("--fails", is_flag=True)
def main(*, port: int, fails: bool) -> None:
    """Answer until SIGTERM."""
    uvloop.run(_serve(port, Target(fails=fails)))


if __name__ == "__main__":
    main()
