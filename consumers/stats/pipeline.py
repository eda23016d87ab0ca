"""The state of the pipeline in words: every part is asked how it is, every POLL_S."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import aiohttp

from consumers.stats.findings import Finding
from consumers.stats.health import Timeline, find, health
from consumers.stats.health_answers import Health
from consumers.stats.process_statuses import ProcessStatuses
from consumers.stats.processes import ANSWER_S_MAX, Processes, Watched
from consumers.stats.store import DEFAULT_ZONE
from schemas.clients import check_cancellation

POLL_S = 2.0


class Pipeline:
    """Use `watched_pipeline`."""

    def __init__(self, processes: Processes) -> None:
        self._processes = processes
        self._timeline = Timeline()
        self._polling = asyncio.Lock()
        self._findings: list[Finding] = []
        self._measured: ProcessStatuses | None = None

    async def current(self, zone: ZoneInfo = DEFAULT_ZONE) -> Health:
        """Return the state of the pipeline, at most 2 POLL_S old, with times of `zone`."""
        measured = await self.measured()
        return health(self._findings, self._timeline, measured.now, zone)

    async def measured(self) -> ProcessStatuses:
        """Return the answers that `current` describes, at most POLL_S old."""
        async with self._polling:
            now = datetime.now(UTC)
            last = self._measured
            if last is None or not timedelta() <= now - last.now < timedelta(seconds=POLL_S):
                last = self._measured = await self._processes.ask()
                self._findings = find(last)
                for finding in self._findings:
                    self._timeline.note(finding, last.now)
            return last

    async def watch(self) -> None:
        """Measure until cancelled, so that it is known since when something is wrong."""
        while True:
            check_cancellation()
            await self.measured()
            await asyncio.sleep(POLL_S)


@contextlib.asynccontextmanager
async def watched_pipeline(watched: Watched) -> AsyncIterator[Pipeline]:
    """Yield the state of the pipeline, kept up to date."""
    timeout = aiohttp.ClientTimeout(total=ANSWER_S_MAX)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        processes = Processes(session, watched)
        pipeline = Pipeline(processes)
        watching = asyncio.create_task(pipeline.watch())
        try:
            yield pipeline
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching
            await processes.close()
