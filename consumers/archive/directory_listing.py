"""
List the names of a partition's segments in a local directory, and find the last one.

A directory has no order, so all its names are read, in a third of a second for a year's names, or
none of them while a hint is valid.
"""

import contextlib
import itertools
import os
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec

from consumers.archive.listing import PAGE_NAMES, Result, call_in, list_threads
from consumers.archive.segment_name import BEGINNING, hour, is_name
from consumers.runtime.batch import Partition

# Names of a directory that are read before a cancellation is checked, in some 10 ms.
CHUNK_NAMES = 20_000
# Two changes of a directory that are at least this far apart have different times of change, even
# on FAT, which has the coarsest times.
TIME_GRAIN_NS = 2_000_000_000
# The times of a new file and its directory differ by a tick of the kernel's clock at most.
TICK_NS = 20_000_000


class Hint(NamedTuple):
    """The last name in a directory, valid while the directory's time of change is `changed_ns`."""

    changed_ns: int
    last: str


class DirectoryListing:
    """
    Lists the names in a directory, or uses a hint instead.

    A writer that creates a segment leaves a hint beside the partition's directory: the last name,
    and the directory's time of change. The hint is valid as long as the directory has not changed
    since. A wrong hint only costs time: the writer finds that the name after it exists.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._threads = list_threads()
        # The last name of each partition when its directory was read last.
        self._read: dict[Partition, Hint] = {}

    def created(self, name: str) -> None:
        """Leave a hint that `name` is the last, right after it was created. This call blocks."""
        if hour(name) == BEGINNING:
            return  # not the last: an old chain gets a new beginning when segments expire
        path = self._directory / name
        hint_path = _hint_path(path.parent)
        with contextlib.suppress(OSError):
            changed_ns = path.parent.stat().st_mtime_ns
            # Another name was added or removed meanwhile.
            if abs(changed_ns - path.stat().st_ctime_ns) > TICK_NS:
                return
            before = _read_hint(hint_path)
            later = before and before.last > path.name and (path.parent / before.last).exists()
            hint = Hint(changed_ns, before.last if before and later else path.name)
            # All writers use one scratch name: of two concurrent hints one stays, or none.
            scratch = hint_path.with_name(f"{hint_path.name}.new")
            scratch.write_bytes(msgspec.json.encode(hint))
            scratch.replace(hint_path)

    async def pages(self, partition: Partition, *, after: str) -> AsyncGenerator[list[str]]:
        """
        Yield the names that sort after `after`, in their order; all are in memory, 100 bytes each.

        Raises:
            OSError: the directory cannot be read.
        """
        names = await self._call(_sorted, self._path(partition), after.rpartition("/")[2])
        for at in range(0, len(names), PAGE_NAMES):
            yield [f"{partition}/{name}" for name in names[at : at + PAGE_NAMES]]

    async def last(self, partition: Partition, *, search_from: str) -> str | None:
        """
        Return the name that sorts last, None if there is none.

        The names are read only if the directory has changed since a hint or the last read, or if
        the hint is a name before `search_from`. An idle partition asks often.

        Raises:
            OSError: the directory cannot be read.
        """
        path, now_ns = self._path(partition), time.time_ns()
        changed_ns, hints = await call_in(self._threads, _hinted, path, self._read.get(partition))
        for hint in hints:
            # A hint that seems valid may name an earlier segment: two may be created in one tick of
            # the clock, and a copied directory may have any time.
            if hint.last >= search_from.rpartition("/")[2]:
                return f"{partition}/{hint.last}"
        last = await self._call(_last, path)
        if last and now_ns - changed_ns > TIME_GRAIN_NS:
            self._read[partition] = Hint(changed_ns, last)
        return f"{partition}/{last}" if last else None

    def _path(self, partition: Partition) -> Path:
        return self._directory / partition.topic / str(partition.number)

    async def _call(self, call: Callable[..., Result], *arguments: object) -> Result:
        """Call in a thread. The call ends soon after a cancellation."""
        stop = threading.Event()
        try:
            return await call_in(self._threads, call, *arguments, stop)
        finally:
            stop.set()


def _sorted(path: Path, after: str, stop: threading.Event) -> list[str]:
    return sorted(
        name for chunk in _chunks(path, stop) for name in chunk if name > after and is_name(name)
    )


def _last(path: Path, stop: threading.Event) -> str:
    last = ""
    for chunk in _chunks(path, stop):
        for name in chunk:
            if name > last and is_name(name):
                last = name
    return last


def _chunks(path: Path, stop: threading.Event) -> Iterator[list[str]]:
    try:
        entries = os.scandir(path)
    except FileNotFoundError:
        return
    with entries:
        while not stop.is_set():
            chunk = [entry.name for entry in itertools.islice(entries, CHUNK_NAMES)]
            if not chunk:
                return
            yield chunk


def _hint_path(path: Path) -> Path:
    # Not in the directory itself, because the hint would change it.
    return path.with_name(f".end-{path.name}")


def _read_hint(path: Path) -> Hint | None:
    try:
        hint = msgspec.json.decode(path.read_bytes(), type=Hint)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    return hint if is_name(hint.last) and "/" not in hint.last else None


def _hinted(path: Path, read: Hint | None) -> tuple[int, list[Hint]]:
    """Return the directory's time of change, 0 if it does not exist, and the valid hints."""
    try:
        changed_ns = path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0, []
    return changed_ns, [
        hint
        for hint in (read, _read_hint(_hint_path(path)))
        if hint and hint.changed_ns == changed_ns and (path / hint.last).exists()
    ]
