"""One keep-alive connection of the load generator, and the meaning of its answers."""

import asyncio
from collections.abc import Callable
from typing import cast

import msgspec

RETRY_S = 0.05
OK_STATUS, NO_CONTENT = 200, 204
END = b"\r\n\r\n"
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


def outcome_of(answer: bytes, ok_status: int = 200) -> str:
    """
    Return "OK" for an OK, else the answer; "" if the answer is incomplete.

    An OK has `ok_status`, and if that is 200, the body of the protocol's OK.
    """
    # These differ from each other and are not parsed, so that they cost no more than others.
    if ok_status == NO_CONTENT and answer.startswith(b"HTTP/1.1 204 ") and answer.endswith(END):
        return "OK"
    head, end, body = answer.partition(END)
    if not end:
        return ""
    status, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)}
    code = int(status.split(" ")[1])
    # Only an answer 204 has no length and no body.
    if code != NO_CONTENT and len(body) < int(headers["content-length"]):
        return ""
    if code != ok_status:
        return f"HTTP {code}"
    return "OK" if ok_status != OK_STATUS or _is_ok(body) else "not OK"


def _is_ok(body: bytes) -> bool:
    try:
        return bool(msgspec.json.decode(body) == OK)
    except msgspec.DecodeError:
        return False
