"""Clients of an ingress that note every answer. They never repeat a callback."""

import asyncio
import json
import secrets
import statistics
import time
from collections.abc import Sequence
from itertools import count
from types import TracebackType
from typing import Self

from support.processes.ingress import ANSWER_S_MAX, Answer, Connection, post, until

PEOPLE = 50
# A refusal comes at once, not after a time-out; the bound is for a busy machine.
REFUSED_S_MAX = 60.0


class Senders:
    """Clients with a connection each, which send one callback after another."""

    def __init__(
        self,
        *ports: int,
        connections: int = 16,
        sizes: Sequence[int] = (420,),
        pause_s: float = 0.0,
        rounds: int | None = None,
    ) -> None:
        """Prepare them; each sends `rounds` callbacks, of these sizes in turn, or until `stop`."""
        self.ok: dict[str, float] = {}
        self.refused: list[tuple[Answer, float]] = []
        self.unanswered: list[str] = []
        self._mark = secrets.token_hex(4)
        self._numbers = count(1)
        self._ports = ports
        self._connections = connections
        self._pause_s = pause_s
        self._rounds = rounds
        self._sizes = sizes
        self._stopping = False
        self._clients: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Start sending."""
        self._clients = [
            asyncio.create_task(self._client(self._ports[at % len(self._ports)]))
            for at in range(self._connections)
        ]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        """Stop, or cancel all clients if the test has failed already."""
        if kind is None:
            await self.stop()
        for client in self._clients:
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    async def stop(self) -> None:
        """Send nothing more and return when every request is answered or its connection ended."""
        self._stopping = self._rounds is None
        ended = "every request has had its answer or its end"
        await until(lambda: all(client.done() for client in self._clients), ended, ANSWER_S_MAX + 5)
        await asyncio.gather(*self._clients)

    async def until_more_refused(self, more: int) -> None:
        """Return when so many more callbacks were refused than now."""
        goal = len(self.refused) + more
        await until(lambda: len(self.refused) >= goal, f"{more} more are refused")

    async def until_more_ok(self, more: int = 1) -> None:
        """Return when so many more callbacks were answered OK than now."""
        goal = len(self.ok) + more
        await until(lambda: len(self.ok) >= goal, f"{more} more are answered OK")

    def p99_s(self, since: int = 0) -> float:
        """Return the 99th percentile of seconds to an OK, without the first `since` OKs."""
        return statistics.quantiles(list(self.ok.values())[since:], n=100)[98]

    async def _client(self, port: int) -> None:
        connection: Connection | None = None
        sent = 0
        try:
            while not self._stopping and sent != self._rounds:
                try:
                    connection = connection or await Connection.open(port)
                except OSError:
                    await asyncio.sleep(0.02)
                    continue
                key = self._next_key()
                if not await self._send(connection, key):
                    connection.close()
                    connection = None
                sent += 1
                if self._pause_s:
                    await asyncio.sleep(self._pause_s)
        finally:
            if connection:
                connection.close()

    def _next_key(self) -> str:
        return f"{self._mark}-{next(self._numbers)}"

    async def _send(self, connection: Connection, key: str) -> bool:
        """Send one callback and note its answer; return whether the connection may be kept."""
        number = int(key.rpartition("-")[2])
        begun = time.monotonic()
        try:
            connection.send(post(body(key, number, self._sizes[number % len(self._sizes)])))
            answer = await connection.answer()
        except (OSError, EOFError):
            self.unanswered.append(key)
            return False
        took_s = time.monotonic() - begun
        if answer.status == 200 and json.loads(answer.body)["ActionStatus"] == "OK":
            self.ok[key] = took_s
        else:
            self.refused.append((answer, took_s))
            # A refusal comes at once; without a pause, clients would flood the ingress.
            await asyncio.sleep(0.02)
        return answer.headers.get("connection", "").lower() != "close"


def body(key: str, number: int, size: int) -> bytes:
    """Return a message of `size` bytes with the MsgKey `key`."""
    document = {
        "CallbackCommand": "C2C.CallbackAfterSendMsg",
        "From_Account": f"user{number % PEOPLE}",
        "To_Account": "Jonh",
        "MsgKey": key,
        "MsgBody": [{"MsgType": "TIMTextElem", "MsgContent": {"Text": ""}}],
    }
    document["CloudCustomData"] = ""
    document["CloudCustomData"] = "x" * (size - len(json.dumps(document)))
    return json.dumps(document).encode()


def assert_refused_as_documented(senders: Senders) -> None:
    """Assert that every refusal is 503 and FAIL, has Retry-After, and came in time."""
    for answer, took_s in senders.refused:
        said = json.loads(answer.body)
        assert (answer.status, said["ActionStatus"], said["ErrorCode"]) == (503, "FAIL", 1)
        assert int(answer.headers["retry-after"]) >= 1
        assert took_s < REFUSED_S_MAX
