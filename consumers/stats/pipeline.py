"""
Ask every process of the pipeline how it is, every POLL_S, for the state of the pipeline in words.

A process that does not answer in time is asked again before it counts as one that does not answer,
with its last answer meanwhile: a single slow answer is no news. Then its last answer is forgotten.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

import aiohttp
import msgspec
from valkey.asyncio import Valkey

from consumers.counters.server import answering
from consumers.runtime.handler import Unavailable
from consumers.runtime.status import ConsumerStatus
from consumers.stats.addresses import Addresses
from consumers.stats.answers import Health
from consumers.stats.findings import Finding
from consumers.stats.health import Timeline, find, health
from consumers.stats.process_statuses import Answers, IngressStatus, ProcessStatuses, SilentProcess
from consumers.stats.store import DEFAULT_ZONE

POLL_S = 2.0
# A process, and the name server before that, must answer in this time. All are asked concurrently.
ANSWER_S_MAX = 1.5
ANSWER_BYTES_MAX = 1 << 20

Status = TypeVar("Status", IngressStatus, ConsumerStatus)


class Pipeline:
    """Use `watched_pipeline`."""

    def __init__(
        self,
        valkey: Valkey,
        session: aiohttp.ClientSession,
        *,
        ingress: Sequence[str],
        consumers: Sequence[tuple[str, str]],
    ) -> None:
        self._valkey = valkey
        self._session = session
        self._ingress = [Addresses(url) for url in ingress]
        self._consumers: dict[str, list[Addresses]] = {}
        for name, url in consumers:
            self._consumers.setdefault(name, []).append(Addresses(url))
        self._timeline = Timeline()
        self._polling = asyncio.Lock()
        self._findings: list[Finding] = []
        self._measured_at: datetime | None = None
        # When each address answered last, and Valkey as "".
        self._answered_at: dict[str, datetime] = {}
        # The answers of the last time, by address; an absent one was missed then.
        self._last_statuses: dict[str, Any] = {}
        self._asked_urls: set[str] = set()

    async def current(self, zone: ZoneInfo = DEFAULT_ZONE) -> Health:
        """Return the state of the pipeline, at most 2 POLL_S old, with times of `zone`."""
        at = await self._refresh_if_old()
        return health(self._findings, self._timeline, at, zone)

    async def close(self) -> None:
        """End the requests to the name server."""
        for name in (*self._ingress, *chain.from_iterable(self._consumers.values())):
            await name.close()

    async def watch(self) -> None:
        """Measure until cancelled, so that it is known since when something is wrong."""
        while True:
            await self._refresh_if_old()
            await asyncio.sleep(POLL_S)

    async def _refresh_if_old(self) -> datetime:
        """Measure unless that was done in the last POLL_S; return when it was done."""
        async with self._polling:
            now = datetime.now(UTC)
            at = self._measured_at
            if at is None or not timedelta() <= now - at < timedelta(seconds=POLL_S):
                measured = await self._measure()
                self._findings = find(measured)
                for finding in self._findings:
                    self._timeline.note(finding, measured.now)
                at = self._measured_at = measured.now
            return at

    async def _measure(self) -> ProcessStatuses:
        self._asked_urls = {""}
        async with asyncio.TaskGroup() as tasks:
            valkey = tasks.create_task(self._ask_valkey())
            ingress = tasks.create_task(self._ask_all(self._ingress, IngressStatus))
            consumers = {
                name: tasks.create_task(self._ask_all(urls, ConsumerStatus))
                for name, urls in self._consumers.items()
            }
        # Addresses of processes that were replaced.
        for url in self._answered_at.keys() - self._asked_urls:
            self._answered_at.pop(url)
            self._last_statuses.pop(url, None)
        return ProcessStatuses(
            now=datetime.now(UTC),
            ingress=ingress.result() if self._ingress else None,
            consumers={name: task.result() for name, task in consumers.items()},
            valkey=valkey.result(),
        )

    async def _ask_valkey(self) -> SilentProcess | None:
        try:
            async with asyncio.timeout(ANSWER_S_MAX), answering():
                await self._valkey.ping()
        except (Unavailable, TimeoutError):
            return (
                None
                if self._last_statuses.pop("", None)
                else SilentProcess(self._answered_at.get(""))
            )
        self._answered_at[""], self._last_statuses[""] = datetime.now(UTC), True
        return None

    async def _ask_all(self, names: Sequence[Addresses], kind: type[Status]) -> Answers[Status]:
        addresses = await asyncio.gather(*(name.find(ANSWER_S_MAX) for name in names))
        urls = dict.fromkeys(url for each in addresses for url in each)
        return await asyncio.gather(*(self._ask(url, kind) for url in urls))

    async def _ask(self, url: str, kind: type[Status]) -> Status | SilentProcess:
        self._asked_urls.add(url)
        try:
            async with (
                asyncio.timeout(ANSWER_S_MAX),
                self._session.get(f"{url}/status", allow_redirects=False) as response,
            ):
                status = msgspec.json.decode(await _body(response), type=kind)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError):
            # ValueError: the answer is too long, or not that of such a process.
            last: Status | None = self._last_statuses.pop(url, None)
            return last or SilentProcess(self._answered_at.get(url))
        self._answered_at[url], self._last_statuses[url] = datetime.now(UTC), status
        return status


async def _body(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    async for part in response.content.iter_any():
        body += part
        if len(body) > ANSWER_BYTES_MAX:
            raise ValueError(f"an answer of more than {ANSWER_BYTES_MAX} bytes")
    return bytes(body)


@contextlib.asynccontextmanager
async def watched_pipeline(
    valkey: Valkey, *, ingress: Sequence[str], consumers: Sequence[tuple[str, str]]
) -> AsyncIterator[Pipeline]:
    """
    Yield the state of the pipeline, kept up to date.

    `ingress` are the admin ports of the replicas, as URLs; `consumers` are pairs of a consumer's
    name and such a URL.
    """
    timeout = aiohttp.ClientTimeout(total=ANSWER_S_MAX)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        pipeline = Pipeline(valkey, session, ingress=ingress, consumers=consumers)
        watching = asyncio.create_task(pipeline.watch())
        try:
            yield pipeline
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
            await pipeline.close()
