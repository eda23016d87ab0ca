"""Ask a file system for its free space, without waiting for a disk that does not answer."""

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

# A question that takes longer, as on a network mount whose server is gone, has no answer.
DISK_ANSWER_S_MAX = 0.5


def _free_bytes(path: Path) -> int:
    statistics = os.statvfs(path)
    return statistics.f_bavail * statistics.f_frsize


class DiskSpace:
    """
    The free space of the file system that has `path`.

    At most one question is under way. It has a thread of its own: one that hangs keeps neither the
    event loop nor the end of the process waiting.
    """

    def __init__(self, path: Path, free_bytes: Callable[[Path], int] = _free_bytes) -> None:
        self._path = path
        self._free_bytes = free_bytes
        self._asked: asyncio.Future[int | None] | None = None
        self._asked_at = 0.0

    async def free(self) -> int | None:
        """
        Return the bytes that the process may still write, None if they are not known.

        That is the case if the file system fails, or does not answer within DISK_ANSWER_S_MAX.
        """
        if self._asked is None or self._asked.done():
            self._asked, self._asked_at = (
                asyncio.get_running_loop().create_future(),
                time.monotonic(),
            )
            threading.Thread(target=self._ask, args=(self._asked,), daemon=True).start()
        asked = self._asked
        left_s = self._asked_at + DISK_ANSWER_S_MAX - time.monotonic()
        await asyncio.wait((asked,), timeout=max(0.0, left_s))
        return asked.result() if asked.done() else None

    def _ask(self, asked: "asyncio.Future[int | None]") -> None:
        answer: int | None = None
        with contextlib.suppress(OSError):
            answer = self._free_bytes(self._path)
        # The loop may have been closed while the file system did not answer.
        with contextlib.suppress(RuntimeError):
            asked.get_loop().call_soon_threadsafe(_set, asked, answer)


def _set(asked: "asyncio.Future[int | None]", answer: int | None) -> None:
    if not asked.cancelled():
        asked.set_result(answer)
