"""
Group commit: callbacks that arrive while a commit runs go to disk in the next one.

There is no timer: a single callback is committed immediately, and concurrent ones share one fsync.
"""

import asyncio
import logging
import time
from collections.abc import Callable

from ingress.spool.disk import Corrupt, DiskFailed, LimitReached, ReopenRequired
from ingress.spool.fullness import Fullness
from ingress.spool.row import encode
from ingress.spool.spool import Spool
from ingress.spool.writer_thread import (
    JobResult,
    OnCommit,
    OtherWrite,
    PendingRow,
    WriterJob,
    WriterThread,
)
from schemas.outgoing_record import OutgoingRecord
from schemas.telemetry import INGRESS_COMMIT_ROWS, INGRESS_COMMIT_S, INGRESS_STORE_S

# TIM waits 2 s. Fail a callback whose commit takes longer than this, while the HTTP client can
# still read the answer; one that first waited for the commit before may wait twice as long.
DISK_TIMEOUT_S = 1.5
# After a failed commit the disk is tried again at this interval, also without callbacks.
DISK_PROBE_INTERVAL_S = 1.0
# When the process stops, it waits no longer than this for a commit that hangs.
STOP_TIMEOUT_S = 5.0

log = logging.getLogger(__name__)


class GroupCommit:
    """
    Decides what goes into each commit of a spool, and reports its result to the callers that wait.

    Belongs to the thread of one event loop. At most one commit runs, in the writer's thread.
    """

    def __init__(self, spool: Spool, *, rows_max: int, bytes_max: int) -> None:
        self._spool = spool
        self._rows_max = rows_max
        self._bytes_max = bytes_max
        # Why the last commit failed, or the disk hangs; "" if it succeeded.
        self.fault = ""
        self.fullness = Fullness(spool.bytes_max)
        self.fullness.note(spool.state.used_bytes, has_refused=False)
        # Set whenever the spool's last number has changed.
        self.rows_stored = asyncio.Event()
        self._last_number = spool.state.last_number
        # Has the reason as its result once the file is not a spool any more.
        self.corruption: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        # The rows of the next commit. The commit that runs may hold as many again.
        self._pending: list[PendingRow] = []
        self._pending_bytes = 0
        self._pending_since = 0.0
        self._forwarded_sequence = 0
        self._other_write: OtherWrite | None = None
        self._is_committing = False
        self._is_stopping = False
        self._disk_hangs = False
        self._hang_timer: asyncio.TimerHandle | None = None
        self._probe_timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._thread = WriterThread(spool.writer, self._on_job_finished)

    def put(self, record: OutgoingRecord, received_at_ms: int, on_commit: OnCommit) -> None:
        """
        Take a record into the next commit.

        Raises:
            LimitReached, DiskFailed: see AsyncSpool.put.
        """
        if self._disk_hangs:
            raise DiskFailed(self.fault)
        content = encode(record, received_at_ms)
        if len(self._pending) >= self._rows_max:
            raise LimitReached(f"{self._rows_max} callbacks wait for the disk")
        if self._pending_bytes + len(content) > self._bytes_max:
            raise LimitReached(f"{self._pending_bytes} bytes wait for the disk")
        if not self._pending:
            self._pending_since = time.perf_counter()
        self._pending.append(PendingRow(content, received_at_ms, record, on_commit))
        self._pending_bytes += len(content)
        self._commit_soon()

    async def run_between_commits(self, run: Callable[[], None]) -> None:
        """
        Return once `run` has run in the writer's thread, between two commits. One at a time.

        The commit of callbacks that follows may still run.

        Raises:
            LimitReached, DiskFailed: the disk failed; a later `state` of the spool has the outcome.
        """
        if self._other_write and not self._other_write.finished.done():
            raise AssertionError("another write waits to run between two commits")
        self._other_write = write = OtherWrite(run, self._loop.create_future())
        self._commit_soon()
        await write.finished

    def remove_forwarded_soon(self, sequence: int) -> None:
        """Note that Kafka has the rows up to `sequence`; the next commits remove them."""
        self._forwarded_sequence = sequence
        self._commit_soon()

    def report_corruption(self, reason: str) -> None:
        """Note that the file is not a spool any more; see `corruption`."""
        if not self.corruption.done():
            self.corruption.set_result(reason)

    async def stop(self) -> bool:
        """
        Return True once all pending callbacks are on disk or have failed, and the thread has ended.

        Forwarded rows may stay in the file: the next holder reads the cursor and removes them.
        Returns False if a commit hangs for STOP_TIMEOUT_S: the thread still uses the spool.
        """
        self._is_stopping = True  # else a long backlog of forwarded rows would look like a hang
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                while self._is_committing:  # noqa: ASYNC110 - only at the end of a process
                    await asyncio.sleep(0.001)
        except TimeoutError:
            log.critical("the disk hangs; stopping without the commit that waits for it")
            return False
        if self._probe_timer:
            self._probe_timer.cancel()
        await self._thread.stop()
        return True

    def _commit_soon(self) -> None:
        if not self._is_committing:
            self._is_committing = True
            # Callbacks that the loop has already read go into the same commit.
            self._loop.call_soon(self._begin_commit)

    def _begin_commit(self) -> None:
        rows, self._pending, self._pending_bytes = self._pending, [], 0
        write, self._other_write = self._other_write, None
        if self._spool.is_closed:
            self._reopen_or_probe()
        self._hang_timer = self._loop.call_later(DISK_TIMEOUT_S, self._fail_as_hanging, rows)
        self._thread.begin(
            WriterJob(rows, self._pending_since, self._forwarded_sequence, bool(self.fault), write)
        )

    def _on_job_finished(self, job: WriterJob, result: JobResult) -> None:
        """Report a job's success or failure; begin another job if there is work for it."""
        was_hanging, self._disk_hangs = self._disk_hangs, False
        self._is_committing = False
        if self._hang_timer:
            self._hang_timer.cancel()
        failure = self._recover_from(result.failure) if result.failure else None
        self.fault = str(failure or "")
        has_refused = isinstance(failure, LimitReached)
        self.fullness.note(self._spool.state.used_bytes, has_refused=has_refused)
        if not was_hanging:  # else they were failed by the timer
            _report(job.rows, failure)
        if job.other_write and result.other_write_failure:
            self._fail_other_write(job.other_write, result.other_write_failure)
        # Also a job without rows may find those of an uncertain commit in the file.
        if (last_number := self._spool.state.last_number) != self._last_number:
            self._last_number = last_number
            self.rows_stored.set()
        if not failure:
            self._note_commit(job, result.took_s)
            self._release_mapped_memory()
        else:
            self._probe_later()
        can_remove = self._spool.state.has_removable_block(self._forwarded_sequence)
        if failure or self._is_stopping:
            can_remove = False
        if self._pending or self._other_write or can_remove:
            self._commit_soon()

    def _fail_other_write(self, write: OtherWrite, failure: Exception) -> None:
        if not write.finished.done():  # else its caller was cancelled
            write.finished.set_exception(self._recover_from(failure))

    def _note_commit(self, job: WriterJob, took_s: float) -> None:
        if job.rows:
            self._spool.remember(
                [(row.received_at_ms, row.record) for row in job.rows],
                sum(len(row.content) for row in job.rows),
            )
            INGRESS_COMMIT_ROWS.observe(len(job.rows))
            INGRESS_COMMIT_S.observe(took_s)
            INGRESS_STORE_S.observe(time.perf_counter() - job.pending_since)

    def _release_mapped_memory(self) -> None:
        if self._spool.should_reopen():
            self._reopen_or_probe()

    def _reopen_or_probe(self) -> None:
        """Reopen the file, or try again soon: while it is closed, nothing can be forwarded."""
        try:
            self._spool.reopen()
        except (LimitReached, DiskFailed):
            self._probe_later()
        except Corrupt as corrupt:
            self.report_corruption(str(corrupt))

    def _recover_from(self, failure: Exception) -> LimitReached | DiskFailed:
        """
        Reopen the file if `failure` requires it; return the failure that the callers get.

        If the file is not a spool any more, `corruption` is set, and the process ends.
        """
        if isinstance(failure, ReopenRequired):
            # No other thread uses the file now: no commit runs.
            try:
                self._spool.reopen()
            except (LimitReached, DiskFailed, Corrupt) as error:
                failure = error
        if isinstance(failure, Corrupt):
            self.report_corruption(str(failure))
        return (
            failure if isinstance(failure, LimitReached | DiskFailed) else DiskFailed(repr(failure))
        )

    def _fail_as_hanging(self, rows: list[PendingRow]) -> None:
        self._disk_hangs, self._hang_timer = True, None
        self.fault = f"the disk takes longer than {DISK_TIMEOUT_S:g} s"
        _report(rows, DiskFailed(self.fault))
        # These are not in the commit that hangs, and will not be in any other.
        pending, self._pending, self._pending_bytes = self._pending, [], 0
        _report(pending, DiskFailed(self.fault))

    def _probe_later(self) -> None:
        if self._probe_timer is None:
            self._probe_timer = self._loop.call_later(DISK_PROBE_INTERVAL_S, self._probe)

    def _probe(self) -> None:
        self._probe_timer = None
        self._commit_soon()


def _report(rows: list[PendingRow], failure: LimitReached | DiskFailed | None) -> None:
    for row in rows:
        try:
            row.on_commit(failure)
        except Exception:
            # The other callbacks of the commit must still be answered.
            log.exception("a callback could not be answered because of a bug")
