"""
Group commit: what has gathered while the last commit ran goes to disk in the next one.

One thread writes. There is no timer: a lone callback is committed at once, and many at once share
one fsync.
"""

import asyncio
import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

import msgspec

from ingress.spool.disk import Broken, Corrupt, Full, Panic
from ingress.spool.row import encode
from ingress.spool.spool import Spool
from schemas.record import OutgoingRecord
from schemas.telemetry import INGRESS_ANSWER_S, INGRESS_COMMIT_ROWS, INGRESS_COMMIT_S

# Told once what came of a row: None when it is on disk (fsync).
OnDisk = Callable[[Full | Broken | None], None]


class Waiting(msgspec.Struct, gc=False):
    """A callback that is not on disk yet: its row's content, and what was encoded in it."""

    content: bytes
    received_at_ms: int
    record: OutgoingRecord
    on_disk: OnDisk


# The sender waits 2 s; whoever has no commit by now is told so while it still listens.
STORE_S_MAX = 1.5
# After a failed commit the disk is tried again, also without callbacks.
PROBE_S = 1.0
# At the end a disk that hangs is not waited for longer.
CLOSE_S_MAX = 5.0

log = logging.getLogger(__name__)


class _Work(NamedTuple):
    group: list[Waiting]
    since: float
    forwarded: int
    probe: bool
    task: Callable[[], None] | None
    done: asyncio.Future[None] | None


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
        self._waiting: list[Waiting] = []
        self._waiting_bytes = 0
        # When the first of them came.
        self._waiting_since = 0.0
        self._forwarded = 0
        self._task: Callable[[], None] | None = None
        self._done: asyncio.Future[None] | None = None
        self._probe: asyncio.TimerHandle | None = None
        self._overdue: asyncio.TimerHandle | None = None
        self._committing = False
        self._hangs = False
        self.fault = ""
        # Done, with the reason, when the file is found to be no spool any more.
        self.corrupt: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._loop = asyncio.get_running_loop()
        self._work: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._write, name="spool-writer", daemon=True)
        self._thread.start()

    def put(self, record: OutgoingRecord, received_at_ms: int, on_disk: OnDisk) -> None:
        """
        Take a record; `on_disk` is told once what came of it.

        Broken means that it may or may not have been stored.

        Raises:
            Full: it is not stored, and `on_disk` is not told; a bound is reached.
            Broken: the same; the disk hangs.
        """
        if self._hangs:
            raise Broken(self.fault)
        content = encode(record, received_at_ms)
        if len(self._waiting) >= self._rows_max:
            raise Full(f"{self._rows_max} callbacks wait for the disk")
        if self._waiting_bytes + len(content) > self._bytes_max:
            raise Full(f"{self._waiting_bytes} bytes wait for the disk")
        if not self._waiting:
            self._waiting_since = time.perf_counter()
        self._waiting.append(Waiting(content, received_at_ms, record, on_disk))
        self._waiting_bytes += len(content)
        self._commit_soon()

    async def between(self, task: Callable[[], None]) -> None:
        """
        Return once `task` has run in the writer's thread, between two commits. One at a time.

        Raises:
            Full, Broken: the disk failed; what `task` did was not kept.
        """
        self._task, self._done = task, self._loop.create_future()
        done = self._done
        self._commit_soon()
        await done

    def let_go(self, forwarded: int) -> None:
        """Remove rows up to sequence `forwarded` from the spool, soon: Kafka has them."""
        self._forwarded = forwarded
        self._spool.forget(forwarded)
        self._commit_soon()

    def find_corrupt(self, why: str) -> None:
        """Note that the file is no spool any more; see `corrupt`."""
        if not self.corrupt.done():
            self.corrupt.set_result(why)

    async def close(self) -> bool:
        """
        Return when all that waited is on disk and the thread has ended.

        Returns False if the disk hangs for CLOSE_S_MAX: the thread is still in the spool.
        """
        try:
            async with asyncio.timeout(CLOSE_S_MAX):
                while self._committing:  # noqa: ASYNC110 - only at the end of a process
                    await asyncio.sleep(0.001)
        except TimeoutError:
            log.critical("the disk hangs; what waits for it is left behind")
            return False
        if self._probe:
            self._probe.cancel()
        self._work.put(None)
        await asyncio.to_thread(self._thread.join)
        return True

    def _commit_soon(self) -> None:
        if not self._committing:
            self._committing = True
            # What the loop has read by now goes into the same commit.
            self._loop.call_soon(self._commit)

    def _commit(self) -> None:
        group, self._waiting, self._waiting_bytes = self._waiting, [], 0
        task, self._task = self._task, None
        done, self._done = self._done, None
        self._overdue = self._loop.call_later(STORE_S_MAX, self._hang, group)
        self._work.put(
            _Work(group, self._waiting_since, self._forwarded, bool(self.fault), task, done)
        )

    def _write(self) -> None:
        while (work := self._work.get()) is not None:
            failure: Exception | None = None
            task_failure: Exception | None = None
            begun = time.perf_counter()
            if work.task:
                try:
                    work.task()
                except Exception as error:  # noqa: BLE001 - who asked for it must hear it
                    task_failure = error
            try:
                contents = [waiting.content for waiting in work.group]
                self._spool.commit(contents, work.forwarded, probe=work.probe)
            except Exception as error:  # noqa: BLE001 - whatever it is, those who wait must hear it
                failure = error
            took_s = time.perf_counter() - begun
            self._loop.call_soon_threadsafe(self._committed, work, failure, task_failure, took_s)
            del work  # the bodies need not wait for the next commit to be freed

    def _committed(
        self,
        work: _Work,
        failure: Exception | None,
        task_failure: Exception | None,
        took_s: float,
    ) -> None:
        hung, self._hangs = self._hangs, False
        self._committing = False
        if self._overdue:
            self._overdue.cancel()
        failed = self._mended(failure) if failure else None
        self.fault = str(failed or "")
        if not hung:
            _tell(work.group, failed)
        if work.done and not work.done.done():
            if task_failure:
                work.done.set_exception(self._mended(task_failure))
            else:
                work.done.set_result(None)
        if work.group and not failed:
            self._spool.remember(
                [(each.received_at_ms, each.record) for each in work.group],
                sum(len(each.content) for each in work.group),
            )
            INGRESS_COMMIT_ROWS.observe(len(work.group))
            INGRESS_COMMIT_S.observe(took_s)
            INGRESS_ANSWER_S.observe(time.perf_counter() - work.since)
            self._stored.set()
        if failure and self._probe is None:
            self._probe = self._loop.call_later(PROBE_S, self._try_again)
        if not failed and self._spool.is_much_mapped():
            # If this fails the next commit is a Panic, and it is tried again.
            with contextlib.suppress(Broken, Full, Corrupt):
                self._spool.reopen()
        if self._waiting or self._task or (not failed and self._spool.removable(self._forwarded)):
            self._commit_soon()

    def _mended(self, failure: Exception) -> Full | Broken:
        """Return what failed; after a panic the spool is opened again."""
        if isinstance(failure, Panic):
            # Nothing else uses it now: the writer rests, and readers live on this loop.
            try:
                self._spool.reopen()
            except (Broken, Full, Corrupt) as error:
                failure = error
        if isinstance(failure, Corrupt):
            self.find_corrupt(str(failure))
        return failure if isinstance(failure, Full | Broken) else Broken(repr(failure))

    def _hang(self, group: list[Waiting]) -> None:
        self._hangs, self._overdue = True, None
        self.fault = f"the disk takes longer than {STORE_S_MAX:g} s"
        _tell(group, Broken(self.fault))
        # These are in no commit yet, and will be in none.
        waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
        _tell(waiting, Full(self.fault))

    def _try_again(self) -> None:
        self._probe = None
        self._commit_soon()


def _tell(group: list[Waiting], failure: Full | Broken | None) -> None:
    for waiting in group:
        try:
            waiting.on_disk(failure)
        except Exception:
            # One's trouble is not the others', who wait behind it.
            log.exception("an answer failed")
