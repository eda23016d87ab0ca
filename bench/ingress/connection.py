"""One keep-alive connection of the load generator, and the meaning of its answers."""

import asyncio
from collections.abc import Callable
from typing import cast

import msgspec

RETRY_S = 0.05
OK = {"ActionStatus": "OK", "ErrorInfo": "", "ErrorCode": 0}


class Connection(asyncio.Protocol):
    """One keep-alive connection, without pipelining. `due_at` is 0 while it has no request."""

    def __init__(self, port: int, answered: Callable[["Connection", bytes], bool]) -> None:
        self.due_at = 0.0
        self.transport: asyncio.Transport | None = None
        self._port = port
        self._answered = answered
        self._part = b""

    async def connect(self) -> None:
        """Return when connected; retry while the server does not listen."""
        while self.transport is None:
            try:
                await asyncio.get_running_loop().create_connection(
                    lambda: self, "127.0.0.1", self._port
                )
            except OSError:
                await asyncio.sleep(RETRY_S)

    def send(self, request: bytes, due_at: float) -> None:
        """Send a request that was due at `due_at`, now or earlier."""
        assert self.transport is not None  # noqa: S101 - the caller looked
        self.due_at = due_at
        self.transport.write(request)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # uvloop's transports do not inherit from asyncio's classes.
        self.transport, self._part = cast("asyncio.Transport", transport), b""

    def data_received(self, data: bytes) -> None:
        """Report a complete answer; keep a part of one."""
        answer = self._part + data if self._part else data
        self._part = b"" if self._answered(self, answer) else answer

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that the connection is closed."""
        del exc
        self.transport = None


def outcome_of(answer: bytes) -> str:
    """Return "OK" for the protocol's OK, else the answer; "" if the answer is incomplete."""
    head, found, body = answer.partition(b"\r\n\r\n")
    if not found:
        return ""
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)}
    if len(body) < int(headers["content-length"]):
        return ""
    code = status.split(" ")[1]
    if code != "200":
        return f"HTTP {code}"
    try:
        return "OK" if msgspec.json.decode(body) == OK else "not OK"
    except msgspec.DecodeError:
        return "not OK"
