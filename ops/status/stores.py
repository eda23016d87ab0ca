"""
Measure how much the stores use, and how fast they grow.

Each is asked in a thread that does not keep the end of the process waiting: a file system or a
driver may hang.
"""

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import psycopg
from valkey.asyncio import Valkey

from consumers.archive.store import local_directory
from consumers.counters.server import answering
from consumers.runtime.handler import Unavailable
from consumers.sync.connection import first_line, what_to_check
from ops.status.report import StoreReport

# Each store must answer in this time.
STORE_S_MAX = 2.0
# The walk through an archive ends earlier, to say so.
WALK_S_MAX = 1.5
# Rows of `receipts` from which the size of one is computed.
ROWS_MIN = 1000
DAY_S = 86400.0
Result = TypeVar("Result")

# Estimated rows, as of the last ANALYZE: -1 before it.
_SIZES = (
    "select pg_database_size(current_database()),"
    " coalesce((select reltuples from pg_class where oid = to_regclass('hookline.receipts')), -1)"
)


async def within(seconds: float, call: Callable[[], Result]) -> Result:
    """
    Return the result of a call that blocks, in a thread of its own.

    Raises:
        TimeoutError: the call takes longer. It goes on, but the process can end meanwhile.
    """
    loop = asyncio.get_running_loop()
    outcome: asyncio.Future[Result] = loop.create_future()

    def settle(method: Callable[[Any], None], value: Any) -> None:
        if not outcome.done():
            method(value)

    def work() -> None:
        try:
            result = call()
        except Exception as error:  # noqa: BLE001 - the caller gets it
            method, value = outcome.set_exception, error
        else:
            method, value = outcome.set_result, result  # type: ignore[assignment]
        # The loop may have been closed meanwhile.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, method, value)

    threading.Thread(target=work, daemon=True).start()
    return await asyncio.wait_for(outcome, seconds)


async def archive_store(url: str) -> StoreReport:
    """Return what the archive uses: in a directory, not in an object store."""
    directory = local_directory(url)
    if directory is None:
        return StoreReport(name="archive", not_known_because="an object store is not measured")
    try:
        return await within(STORE_S_MAX, lambda: _directory(directory))
    except TimeoutError:
        return _silent("archive")
    except OSError as error:
        return StoreReport(name="archive", not_known_because=f"{directory}: {error.strerror}")


def _directory(directory: Path) -> StoreReport:
    found = os.statvfs(directory)
    free = found.f_bavail * found.f_frsize
    size = grown = 0
    day_ago, deadline = time.time() - DAY_S, time.monotonic() + WALK_S_MAX
    for entry in _files(directory):
        stat = entry.stat(follow_symlinks=False)
        size += stat.st_size
        grown += stat.st_size if stat.st_mtime >= day_ago else 0
        if time.monotonic() > deadline:
            return StoreReport(
                name="archive",
                disk_free_bytes=free,
                not_known_because=f"it has more files than can be added up in {WALK_S_MAX:g} s",
            )
    return StoreReport(
        name="archive",
        size_bytes=size,
        disk_free_bytes=free,
        bytes_per_day=float(grown),
        full_in_s=round(free / grown * DAY_S, 1) if grown else None,
    )


def _files(directory: Path) -> Iterator["os.DirEntry[str]"]:
    waiting = [directory]
    while waiting:
        with os.scandir(waiting.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(Path(entry.path))
                else:
                    yield entry


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """The bytes of the database for some `rows`, or why they are not known."""

    size_bytes: int | None = None
    rows: float = 0.0
    not_known_because: str = ""

    def report(self, callbacks_per_day: float | None) -> StoreReport:
        """Return it as a store that grows by as many rows as callbacks come in a day."""
        per_day = None
        if callbacks_per_day is not None and self.size_bytes and self.rows >= ROWS_MIN:
            per_day = float(round(callbacks_per_day * self.size_bytes / self.rows))
        return StoreReport(
            name="PostgreSQL",
            size_bytes=self.size_bytes,
            bytes_per_day=per_day,
            not_known_because=self.not_known_because,
        )


async def postgres_store(conninfo: str) -> Database:
    """Return what the database uses."""
    try:
        size, rows = await within(STORE_S_MAX, lambda: _database_size(conninfo))
    except TimeoutError:
        return Database(not_known_because=_silent("PostgreSQL").not_known_because)
    except psycopg.Error as error:
        return Database(not_known_because=f"{first_line(error)}{what_to_check(error)}")
    return Database(size_bytes=size, rows=rows)


def _database_size(conninfo: str) -> tuple[int, float]:
    with psycopg.connect(conninfo, connect_timeout=2, autocommit=True) as connection:
        connection.execute(f"set statement_timeout = '{int(STORE_S_MAX)}s'")
        row = connection.execute(_SIZES).fetchone()
    size, rows = row or (0, 0)
    return int(size), float(rows)


async def valkey_store(valkey: Valkey) -> StoreReport:
    """Return how much memory Valkey uses, and its limit if it has one."""
    try:
        async with asyncio.timeout(STORE_S_MAX), answering():
            memory = await valkey.info("memory")
    except (Unavailable, TimeoutError):
        return _silent("Valkey")
    return StoreReport(
        name="Valkey",
        size_bytes=int(memory["used_memory"]),
        size_bytes_max=int(memory["maxmemory"]) or None,
    )


def _silent(name: str) -> StoreReport:
    return StoreReport(name=name, not_known_because=f"no answer within {STORE_S_MAX:g} s")
