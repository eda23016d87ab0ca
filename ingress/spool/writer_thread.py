"""
The thread that writes into a spool, one commit after the other.

Commits go to the thread through a queue, and results come back as calls on the event loop. The
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

# Called once with the result of a callback's commit: None if the callback is on disk (fsync).
OnCommit = Callable[[LimitReached | DiskFailed | None], None]


class PendingCallback(msgspec.Struct, gc=False):
    """A callback that is not on disk yet: the content of its row, and from what it was encoded."""

    content: bytes
    received_at_ms: int
    record: OutgoingRecord
    on_commit: OnCommit


class OtherWrite(NamedTuple):
    """A write other than a commit of callbacks; `finished` gets its result."""

    run: Callable[[], None]
    finished: asyncio.Future[None]


class Commit(NamedTuple):
    """Work for the thread: `other_write` in a transaction, then the callbacks in another one."""

    callbacks: list[PendingCallback]
    # The time at which the first of them came.
    pending_since: float
    # Rows up to this sequence are removed.
    forwarded_sequence: int
    is_probe: bool
    other_write: OtherWrite | None


class CommitResult(NamedTuple):
    """The failures of a commit and of its other write, None for success."""

    failure: Exception | None
    other_write_failure: Exception | None
    took_s: float


class WriterThread:
    """Runs commits until `stop`; `on_finished` is called on the event loop after each of them."""

    def __init__(
        self, writer: SpoolWriter, on_finished: Callable[[Commit, CommitResult], None]
    ) -> None:
        self._writer = writer
        self._on_finished = on_finished
        self._loop = asyncio.get_running_loop()
        self._commits: queue.SimpleQueue[Commit | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="spool-writer", daemon=True)
        self._thread.start()

    def begin(self, commit: Commit) -> None:
        """Let the thread run `commit` next."""
        self._commits.put(commit)

    async def stop(self) -> None:
        """Return when the thread has ended, after the commits that were begun."""
        self._commits.put(None)
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        while (commit := self._commits.get()) is not None:
            began_at = time.perf_counter()
            other_write_failure = _failure(commit.other_write.run) if commit.other_write else None
            failure = _failure(partial(self._commit, commit))
            result = CommitResult(failure, other_write_failure, time.perf_counter() - began_at)
            self._loop.call_soon_threadsafe(self._on_finished, commit, result)
            del commit  # or its bodies would stay in memory until the next commit

    def _commit(self, commit: Commit) -> None:
        contents = [callback.content for callback in commit.callbacks]
        self._writer.commit(contents, commit.forwarded_sequence, probe=commit.is_probe)


def _failure(write: Callable[[], None]) -> Exception | None:
    """Return the exception that `write` raises, even of a bug: the waiting callers must get it."""
    try:
        write()
    except Exception as error:  # noqa: BLE001
        return error
    return None
