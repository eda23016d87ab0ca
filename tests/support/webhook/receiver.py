"""A webhook receiver that verifies each request, and what it has accepted in which order."""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import NamedTuple

from aiohttp import web
from standardwebhooks import Webhook

SECRET = "whsec_" + "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVowMTIzNDU="


class Arrival(NamedTuple):
    """A verified request: its id, the sender of its callback, and the callback's MsgKey."""

    id: str
    person: str
    key: str
    headers: dict[str, str]
    body: bytes


Answer = Callable[[Arrival], Awaitable[web.StreamResponse | int]]


async def ok(_: Arrival) -> int:
    """Accept everything."""
    return 204


class Receiver:
    """Use `receiving`. `answer` decides each answer; `accepted` has the requests answered 2xx."""

    def __init__(self) -> None:
        self.answer: Answer = ok
        self.accepted: list[Arrival] = []
        self._ids: set[str] = set()
        # All verified requests, whatever their answer.
        self.arrivals: list[Arrival] = []
        self.port = 0
        self._server: web.AppRunner | None = None

    @property
    def url(self) -> str:
        """The URL to deliver to."""
        return f"http://127.0.0.1:{self.port}/hook"

    async def start(self) -> None:
        """Listen, on the port of the last time."""
        app = web.Application(client_max_size=32 << 20)
        app.router.add_post("/hook", self._hook)
        self._server = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._server.setup()
        await web.TCPSite(self._server, "127.0.0.1", self.port).start()
        self.port = self._server.addresses[0][1]

    async def stop(self) -> None:
        """Listen no more, and cut all connections."""
        if self._server is not None:
            await self._server.cleanup()
        self._server = None

    async def _hook(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = dict(request.headers)
        Webhook(SECRET).verify(body, headers, json_parse=False)
        document = json.loads(body.decode("utf-8-sig"))
        arrival = Arrival(
            headers["webhook-id"],
            document["From_Account"],
            document["MsgKey"],
            headers,
            body,
        )
        self.arrivals.append(arrival)
        answer = await self.answer(arrival)
        answer = web.Response(status=answer) if isinstance(answer, int) else answer
        if 200 <= answer.status < 300:
            self.accepted.append(arrival)
            self._ids.add(arrival.id)
        return answer

    @property
    def ids(self) -> int:
        """The number of different callbacks that were accepted."""
        return len(self._ids)

    async def has(self, count: int, seconds: float = 180) -> None:
        """Return when so many different callbacks are accepted."""
        async with asyncio.timeout(seconds):
            while self.ids < count:  # noqa: ASYNC110 - polled
                await asyncio.sleep(0.02)

    def repeats(self) -> int:
        """Return how many requests were accepted more than once."""
        return len(self.accepted) - self.ids

    def check(self, keys_by_person: dict[str, list[str]]) -> None:
        """
        Assert that all callbacks were accepted, each person's in this order.

        A repeat has the id and the body of the first one.
        """
        firsts: dict[str, Arrival] = {}
        order: dict[str, list[str]] = {}
        for each in self.accepted:
            first = firsts.setdefault(each.id, each)
            assert (first.key, first.body) == (each.key, each.body)
            if first is each:
                order.setdefault(each.person, []).append(each.key)
        wrong = {
            person: (order.get(person, []), keys)
            for person, keys in keys_by_person.items()
            if order.get(person, []) != keys
        }
        assert not wrong, next(iter(wrong.items()))
        assert order.keys() == keys_by_person.keys()
        assert max(Counter(each.key for each in firsts.values()).values()) == 1


@contextlib.asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """Yield a receiver that listens on the loopback interface."""
    receiver = Receiver()
    await receiver.start()
    try:
        yield receiver
    finally:
        await receiver.stop()
