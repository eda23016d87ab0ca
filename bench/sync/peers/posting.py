"""
Post each record to URL by aiohttp, IN_FLIGHT requests at once: a webhook without any promise.

Headers and body are those of the product's webhook; with SECRET, it signs them as well. A request
that fails is not repeated, callbacks of one conversation overtake each other, and offsets are
committed by the clock.
"""

import asyncio
import base64
import hashlib
import hmac
import os
import time
from collections.abc import Sequence

import aiohttp
from aiokafka import ConsumerRecord, TopicPartition

from bench.peers.reading import run

Record = ConsumerRecord[bytes, bytes]
# As `WEBHOOK_TIMEOUT_S`.
TIMEOUT_S = 10


class Poster:
    """Posts from one queue, of which each of its tasks takes the next record."""

    def __init__(self, url: str, secret: str, in_flight: int) -> None:
        self._url = url
        self._key = base64.b64decode(secret.removeprefix("whsec_"))
        self._in_flight = in_flight
        self._queue: asyncio.Queue[Record] = asyncio.Queue(in_flight)
        self._tasks: list[asyncio.Task[None]] = []

    async def take(self, _: TopicPartition, records: Sequence[Record]) -> None:
        """Put the records into the queue; wait while it is full."""
        if not self._tasks:
            # Within the running loop: a session belongs to one.
            session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=self._in_flight),
                timeout=aiohttp.ClientTimeout(TIMEOUT_S),
            )
            self._tasks = [
                asyncio.create_task(self._post_all(session)) for _ in range(self._in_flight)
            ]
        for record in records:
            await self._queue.put(record)

    async def end(self) -> None:
        """Return when everything is posted."""
        await self._queue.join()

    async def _post_all(self, session: aiohttp.ClientSession) -> None:
        while True:
            record = await self._queue.get()
            async with session.post(
                self._url, data=record.value, headers=self._headers(record)
            ) as answer:
                await answer.read()
            self._queue.task_done()

    def _headers(self, record: Record) -> dict[str, str]:
        headers = {name.replace("_", "-"): value.decode() for name, value in record.headers}
        now_s = int(time.time())
        headers |= {"webhook-id": headers["ce-id"], "webhook-timestamp": str(now_s)}
        if self._key:
            signed = f"{headers['ce-id']}.{now_s}.".encode() + (record.value or b"")
            made = base64.b64encode(hmac.digest(self._key, signed, hashlib.sha256))
            headers["webhook-signature"] = "v1," + made.decode()
        return headers


def main() -> None:
    """Post RECORDS records."""
    poster = Poster(os.environ["URL"], os.environ["SECRET"], int(os.environ["IN_FLIGHT"]))
    run(poster.take, end=poster.end)


if __name__ == "__main__":
    main()
