"""
The thread that writes into a spool, one job after the other.

Jobs go to the thread through a queue, and results come back as calls on the event loop. The
thread has the spool's writer and nothing else of it.
"""

import asyncio
import queue
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import msgspec

from ingress.spool.disk import DiskFailed, LimitReached
from ingress.spool.writer import SpoolWriter
from schemas.outgoing_record import OutgoingRecord

# Called once with the result of the commit of a row: None if the row is on disk (fsync).
OnCommit = Callable[[LimitReached | DiskFailed | None], None]


class PendingRow(msgspec.Struct, gc=False):
    """A row that is not on disk yet: its content, and from what this was encoded."""

    content: bytes
    received_at_ms: int
    record: OutgoingRecord
    on_commit: OnCommit


class OtherWrite(NamedTuple):
    """
    A write other than a commit of rows; `finished` gets its result.

    A success is reported before the rows of the same job are committed. A failure is reported after
    that: then no write runs, so the file can be reopened first.
    """

    run: Callable[[], None]
    finished: asyncio.Future[None]


class WriterJob(NamedTuple):
    """`other_write` in a transaction of its own, then the commit: a transaction with the rows."""

    rows: list[PendingRow]
    # The time at which the first of them came.
    pending_since: float
    # Rows up to this sequence are removed.
    forwarded_sequence: int
    is_probe: bool
    other_write: OtherWrite | None


class JobResult(NamedTuple):
    """The failures of a job's commit and of its other write, None for success."""

    failure: Exception | None
    other_write_failure: Exception | None
    took_s: float


class WriterThread:
    """Runs jobs until `stop`; `on_finished` is called on the event loop after each of them."""

    def __init__(
        self, writer: SpoolWriter, on_finished: Callable[[WriterJob, JobResult], None]
    ) -> None:
        self._writer = writer
        self._on_finished = on_finished
        self._loop = asyncio.get_running_loop()
        self._jobs: queue.SimpleQueue[WriterJob | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="spool-writer", daemon=True)
        self._thread.start()

    def begin(self, job: WriterJob) -> None:
        """Let the thread run `job` next."""
        self._jobs.put(job)

    async def stop(self) -> None:
        """Return when the thread has ended, after the jobs that were begun."""
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            began_at = time.perf_counter()
            other_write_failure = self._other_write(job.other_write) if job.other_write else None
            failure = _failure(partial(self._commit, job))
            result = JobResult(failure, other_write_failure, time.perf_counter() - began_at)
            self._loop.call_soon_threadsafe(self._on_finished, job, result)
            del job  # or its bodies would stay in memory until the next job

    def _other_write(self, write: OtherWrite) -> Exception | None:
        """Run the other write of a job; its caller gets a success before the rows are committed."""
        if (failure := _failure(write.run)) is None:
            self._loop.call_soon_threadsafe(_report_success, write)
        return failure

    def _commit(self, job: WriterJob) -> None:
        contents = [row.content for row in job.rows]
        self._writer.commit(contents, job.forwarded_sequence, probe=job.is_probe)


def _report_success(write: OtherWrite) -> None:
    """Let the caller of the write continue, unless the caller was cancelled."""
    if not write.finished.done():
        write.finished.set_result(None)


def _failure(write: Callable[[], None]) -> Exception | None:
    """Return the exception that `write` raises, even of a bug: the waiting callers must get it."""
    try:
        write()
    except Exception as error:  # noqa: BLE001
        return error
    return None
