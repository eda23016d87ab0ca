"""
Server-Sent Events: one task reads for all viewers, and each update is encoded once.

Updates of the last 15 minutes are kept, so a viewer that comes back gets what it missed. A viewer
has no queue of its own: it writes the kept updates after the last one that it has. One that does
not read them in time is disconnected, and comes back by itself.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import msgspec
from aiohttp import web
from aiohttp_sse import EventSourceResponse

from consumers.runtime.backoff import RepeatedWarning
from consumers.runtime.handler import Stopped, Unavailable
from consumers.stats import answers
from consumers.stats.health_answers import Health
from consumers.stats.live_counts import AppCounts, LiveAdditions, LiveCounts
from consumers.stats.telemetry import STATS_SLOW_VIEWERS, STATS_UPDATED, STATS_VIEWERS
from consumers.stats.updates import Updates, event_id
from schemas.clients import check_cancellation

UPDATE_S = 1.0
# A viewer that has not read so many bytes, in the memory of this process, is disconnected.
UNREAD_BYTES_MAX = 32 << 10
# Interval of pings, in seconds. A ping shows that a peer has gone, and keeps the page's connection,
# which ends after 8 s of silence.
PING_S = 5.0
SEND_TIMEOUT_S = 20.0
# Of the kernel, for a peer that has gone. It is longer, so that a viewer that is slow is counted.
ACKNOWLEDGE_TIMEOUT_S = 40.0
# How long a browser waits before it comes back.
RETRY_MS = 2000
# How often the state of the pipeline is sent while its findings stay and only numbers change.
NUMBERS_INTERVAL = timedelta(seconds=10)

# What was found of each stage: its state, the runbook's section, and since when it is so.
Findings: TypeAlias = tuple[tuple[str, str, str, datetime | None], ...]


def findings_in(health: Health) -> Findings:
    """Return what was found, without its numbers and ages, which change all the time."""
    return tuple((each.stage, each.state, each.runbook, each.since) for each in health.stages)


class Live:
    """
    The updates of the last 15 minutes, and the tasks that add to them.

    `health` returns the pipeline's state, None while it is not known. `on_update` is called
    before viewers get an update, because each of them may ask for more then.
    """

    def __init__(
        self,
        counts: LiveCounts,
        health: Callable[[], Awaitable[Health | None]] | None,
        on_update: Callable[[], None],
    ) -> None:
        self._on_update = on_update
        self._counts = counts
        self._health = health
        self._shown_health: bytes | None = None
        self._shown_findings: Findings = ()
        self._health_at = datetime.min.replace(tzinfo=UTC)
        self.updates = Updates()
        self._changed = asyncio.Event()
        self.viewer_count = 0
        self._is_over = False
        self._no_update = RepeatedWarning(time.monotonic)

    async def run(self) -> None:
        """
        Add updates every UPDATE_S until cancelled.

        The state of the pipeline has a task of its own: while Valkey is away, it is sent at once.
        """
        async with asyncio.TaskGroup() as group:
            group.create_task(self._repeat(self.update_counts))
            if self._health is not None:
                group.create_task(self._repeat(self.update_health))

    async def _repeat(self, update: Callable[[datetime], Awaitable[None]]) -> None:
        due = time.monotonic()
        while True:
            check_cancellation()
            try:
                await update(datetime.now(UTC))
            except (Unavailable, Stopped) as unavailable:
                self._no_update.log("no live update: %s", unavailable)
            due = max(due + UPDATE_S, time.monotonic())
            await asyncio.sleep(due - time.monotonic())

    async def update_counts(self, now: datetime) -> None:
        """
        Read the counts, and wake all viewers if there are some of a new interval.

        Raises:
            Unavailable: Valkey does not answer.
        """
        added = await self._counts.added(now)
        STATS_UPDATED.set_to_current_time()
        self._on_update()
        if added is not None:
            self._add(now, "now", _data_now(now, added))

    async def update_health(self, now: datetime) -> None:
        """Ask for the pipeline's state, and wake all viewers if it is sent to them."""
        if self._health is not None and (health := await self._health()) is not None:
            self._add_health(now, health)

    def _add_health(self, now: datetime, health: Health) -> None:
        """Add the state immediately if a finding is new, and later if only its numbers are."""
        findings = findings_in(health)
        if findings == self._shown_findings and now < self._health_at + NUMBERS_INTERVAL:
            return
        data = msgspec.json.encode(health)
        if data == self._shown_health:
            return
        self._shown_health, self._shown_findings, self._health_at = data, findings, now
        self._add(now, "health", lambda _: data)

    def _add(self, now: datetime, event: str, data: Callable[[str | None], bytes]) -> None:
        self.updates.add(now, event, data)
        self.updates.forget_old(now)
        self._wake()

    def end(self) -> None:
        """End the streams of all viewers."""
        self._is_over = True
        self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    def has_app(self, app: str) -> bool:
        """Return whether the app has updates of its own."""
        return self._counts.has_app(app)

    async def show(
        self,
        request: web.Request,
        app: str | None,
        since: datetime | None,
        headers: Mapping[str, str],
    ) -> web.StreamResponse:
        """
        Send the updates after `since`, then each new one, until the viewer goes or is slow.

        A header Last-Event-ID, which browsers send when they come back, replaces `since`.
        """
        since = _time_of(request.headers.get("Last-Event-ID", "")) or since
        response = EventSourceResponse(
            headers=headers, sep="\n", ping_interval=PING_S, send_timeout=ACKNOWLEDGE_TIMEOUT_S
        )
        self.viewer_count += 1
        STATS_VIEWERS.set(self.viewer_count)
        try:
            await response.prepare(request)
            async with response:
                await response.write(b"retry: %d\n\n" % RETRY_MS)
                number = self.updates.number_at(since)
                if since is None and self._shown_health is not None:
                    await response.write(_health_now(self._shown_health, self.updates.last_at))
                if request.transport is not None:
                    await self._send(response, request.transport, number, app)
        except ConnectionResetError:
            pass
        finally:
            self.viewer_count -= 1
            STATS_VIEWERS.set(self.viewer_count)
        return response

    async def _send(
        self,
        response: web.StreamResponse,
        transport: asyncio.Transport,
        number: int,
        app: str | None,
    ) -> None:
        """Send the updates after the one with this number, until the viewer goes or is slow."""
        while not transport.is_closing():
            changed = self._changed
            if missed := self.updates.after(number):
                number = missed[-1].number
                text = b"".join(update.text(app) for update in missed)
                if not await _write_in_time(response, transport, text):
                    STATS_SLOW_VIEWERS.inc()
                    transport.abort()
                    return
            if self._is_over:
                return
            # While nothing is added, notice that the viewer has gone.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PING_S):
                    await changed.wait()


async def _write_in_time(
    response: web.StreamResponse, transport: asyncio.Transport, text: bytes
) -> bool:
    """Write to a viewer; return whether it reads, so that little is left in our memory."""
    try:
        async with asyncio.timeout(SEND_TIMEOUT_S):
            await response.write(text)
    except TimeoutError:
        return False
    return transport.get_write_buffer_size() <= UNREAD_BYTES_MAX


def _time_of(event: str) -> datetime | None:
    """Return the time of an event's id; None for any other text, which begins at the end."""
    try:
        at = datetime.fromisoformat(event)
    except ValueError:
        return None
    return at if at.tzinfo is not None else None


def _health_now(health: bytes, last_at: datetime | None) -> bytes:
    at = event_id(last_at or datetime.now(UTC))
    return b"id: %s\nevent: health\ndata: %s\n\n" % (at.encode(), health)


def _data_now(now: datetime, added: LiveAdditions) -> Callable[[str | None], bytes]:
    seconds = added.seconds

    def data(app: str | None) -> bytes:
        of_app = added.total if app is None else added.apps.get(app, AppCounts())
        return msgspec.json.encode(
            answers.LiveNow(
                updated_at=now,
                seconds=round(seconds, 3),
                messages=of_app.messages,
                messages_per_second=round(of_app.messages / seconds, 2) if seconds else 0.0,
                undelivered=of_app.undelivered,
                people=answers.Count(value=of_app.people, error=0.0),
            )
        )

    return data
