"""
Group commit: what has gathered while the last commit ran goes to disk in the next one.

One thread writes. There is no timer: a lone callback is committed at once, and many at once share
one fsync.
"""

import asyncio
import queue
import threading
import time
from typing import NamedTuple

from ingress.row import encode
from ingress.spool import Broken, Full, Spool
from schemas.record import Record
from schemas.telemetry import (
    INGRESS_COMMIT_ROWS,
    INGRESS_COMMIT_S,
    INGRESS_SPOOL_BYTES,
    INGRESS_SPOOL_ROWS,
)

Waiting = list[tuple[bytes, asyncio.Future[None]]]


# The sender waits 2 s; whoever has no commit by now is told so while it still listens.
STORE_S_MAX = 1.5
# After a failed commit the disk is tried again, also without callbacks.
PROBE_S = 1.0


class _Work(NamedTuple):
    group: Waiting
    forwarded: int
    probe: bool
    anew: asyncio.Future[None] | None


class Intake:
    """
    The one way into the spool, and out of it for rows that Kafka has.

    Lives on one event loop; `stored` is set after every commit; `close` ends its thread.
    """

    def __init__(
        self,
        spool: Spool,
        *,
        waiting_rows_max: int,
        waiting_bytes_max: int,
        stored: asyncio.Event,
    ) -> None:
        self._spool = spool
        self._rows_max = waiting_rows_max
        self._bytes_max = waiting_bytes_max
        self._stored = stored
        # As much again may be in the commit that runs.
        self._waiting: Waiting = []
        self._waiting_bytes = 0
        self._forwarded = 0
        self._anew: asyncio.Future[None] | None = None
        self._probe: asyncio.TimerHandle | None = None
        self._idle = asyncio.Event()
        self._idle.set()
        self.fault = ""
        self._loop = asyncio.get_running_loop()
        self._work: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="spool-writer", daemon=True)
        self._thread.start()

    async def store(self, record: Record, received_at_ms: int) -> None:
        """
        Return once `record` is on disk (fsync) under a sequence of its own.

        Raises:
            Full: it was not stored; a bound was reached.
            Broken: it may or may not have been stored; the disk failed.
        """
        content = encode(record, received_at_ms)
        if len(self._waiting) >= self._rows_max:
            raise Full(f"{self._rows_max} callbacks wait for the disk")
        if self._waiting_bytes + len(content) > self._bytes_max:
            raise Full(f"{self._waiting_bytes} bytes wait for the disk")
        on_disk: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append((content, on_disk))
        self._waiting_bytes += len(content)
        self._commit()
        try:
            async with asyncio.timeout(STORE_S_MAX):
                await on_disk
        except TimeoutError as error:
            raise Broken(f"the disk took longer than {STORE_S_MAX:g} s") from error

    async def begin_anew(self) -> None:
        """
        Return once the spool is another origin (see Spool.begin_anew).

        Raises:
            Full, Broken: the disk failed; the spool is as it was.
        """
        self._forwarded = 0
        self._anew = done = self._loop.create_future()
        self._commit()
        await done

    def let_go(self, forwarded: int) -> None:
        """Remove rows up to sequence `forwarded` from the spool, soon: Kafka has them."""
        self._forwarded = forwarded
        self._commit()

    async def close(self) -> None:
        """Return when all that waited is on disk and the thread has ended."""
        while not self._idle.is_set():
            await self._idle.wait()
        if self._probe:
            self._probe.cancel()
        self._work.put(None)
        await asyncio.to_thread(self._thread.join)

    def _commit(self) -> None:
        if not self._idle.is_set():
            return
        self._idle.clear()
        group, self._waiting, self._waiting_bytes = self._waiting, [], 0
        self._work.put(_Work(group, self._forwarded, bool(self.fault), self._anew))
        self._anew = None

    def _write(self) -> None:
        while (work := self._work.get()) is not None:
            failure: Exception | None = None
            begun = time.perf_counter()
            try:
                if work.anew:
                    self._spool.begin_anew()
                contents = [content for content, _ in work.group]
                self._spool.commit(contents, work.forwarded, probe=work.probe)
            except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must hear it
                failure = error
            took_s = time.perf_counter() - begun
            self._loop.call_soon_threadsafe(self._committed, work, failure, took_s)

    def _committed(self, work: _Work, failure: Exception | None, took_s: float) -> None:
        self._idle.set()
        if failure and not isinstance(failure, Full | Broken):
            failure = Broken(repr(failure))
        self.fault = str(failure or "")
        for waiting in (*(on_disk for _, on_disk in work.group), work.anew):
            if waiting is None or waiting.done():
                continue
            if failure:
                waiting.set_exception(failure)
            else:
                waiting.set_result(None)
        INGRESS_SPOOL_ROWS.set(self._spool.rows)
        INGRESS_SPOOL_BYTES.set(self._spool.bytes)
        if work.group and not failure:
            INGRESS_COMMIT_ROWS.observe(len(work.group))
            INGRESS_COMMIT_S.observe(took_s)
            self._stored.set()
        if failure and self._probe is None:
            self._probe = self._loop.call_later(PROBE_S, self._try_again)
        if self._waiting or self._anew or (not failure and self._spool.removable(self._forwarded)):
            self._commit()

    def _try_again(self) -> None:
        self._probe = None
        self._commit()
