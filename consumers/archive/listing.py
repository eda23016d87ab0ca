"""
List the names of a partition's segments, and find the last one without the others.

Names sort in the order of the chain (`segment.name`), so the last name is the end of the chain,
whatever hours the names have. A year has half a million names a partition. An object store is asked
for the names from an offset on, and some twenty such requests find the end. A directory has no
order, but its names are read in a third of a second. Blocking calls run in few threads, and each
ends soon after a cancellation.
"""

import asyncio
import contextlib
import itertools
import os
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol, TypeVar

import msgspec
import obstore
from obstore.store import ObjectStore

from consumers.archive.segment import BEGINNING, first_offset, hour, is_name, name_from
from consumers.runtime.batch import Partition
from consumers.runtime.handler import Unavailable

# The number of calls that list at once, over all partitions. More would only share one
# interpreter's lock, and take the threads that write segments.
LISTINGS_MAX = 4
# Names of an object store in a page, as many as S3 returns for a request.
PAGE_NAMES = 1000
# Names of a directory that are read in one call, some 10 ms.
CHUNK_NAMES = 20_000
# A search takes at most twice the binary logarithm of the offsets, and some if names are added.
REQUESTS_MAX = 150
# A later change of a directory gives it another time of change. FAT has the coarsest times.
TIME_GRAIN_NS = 2_000_000_000
# The times of a new file and its directory are equal, or differ by a tick of the kernel's clock.
TICK_NS = 20_000_000

Got = TypeVar("Got")


class Page(NamedTuple):
    """Names in their order. `full`: more may follow; then they do not all begin at one offset."""

    names: list[str]
    full: bool


class Hint(NamedTuple):
    """The last name in a directory, as long as its time of change is still `changed_ns`."""

    changed_ns: int
    last: str


class Listing(Protocol):
    """The names in a store."""

    def pages(self, partition: Partition, *, after: str) -> AsyncGenerator[list[str]]:
        """Yield the names that sort after `after`, in their order, in pages."""
        ...

    async def last(self, partition: Partition, *, known: str) -> str | None:
        """Return the name that sorts last, None if there is none. `known` may be the last."""
        ...


async def search(
    page: Callable[[int], Awaitable[Page]], *, known: int = 0, page_names: int = PAGE_NAMES
) -> str | None:
    """
    Return the last name, None if there is none, by few pages of the names from an offset on.

    `known` is the first offset of a name that was seen. It only makes the search shorter. A full
    page has `page_names` names at least.

    Raises:
        Unavailable: the store does not list from an offset on.
    """
    found = await page(known)
    if not found.names:
        found = await page(0) if known else found
    if not found.full:
        return found.names[-1] if found.names else None
    low = first_offset(found.names[-1])
    # When the store was asked, no name began at `none_from` or after it.
    none_from: int | None = None
    step = max(1, low - first_offset(found.names[0]))
    for _ in range(REQUESTS_MAX):
        if none_from is None:
            at, step = low + step, step * 4
        elif none_from - low > page_names:
            at = (low + none_from) // 2
        else:
            at = low
        found = await page(at)
        if found.names and not found.full:
            return found.names[-1]
        if found.names:
            low = max(low, first_offset(found.names[-1]))
        elif at > low:
            none_from = at
        else:
            raise Unavailable(f"the store lists no names from {name_from(low)} on, but has some")
    raise Unavailable(f"the end of the names was not found with {REQUESTS_MAX} requests")


class BucketListing:
    """The names in an object store, which lists them in their order."""

    def __init__(self, opened: ObjectStore) -> None:
        self._opened = opened
        self._threads = _threads()

    async def pages(self, partition: Partition, *, after: str) -> AsyncGenerator[list[str]]:
        """
        Yield the names that sort after `after`, in their order, a request each.

        Raises:
            Unavailable: the store does not list in order.
            BaseError: the store does not answer.
        """
        async with contextlib.aclosing(self._paths(partition, after)) as pages:
            async for paths in pages:
                yield [path for path in paths if is_name(path)]

    async def last(self, partition: Partition, *, known: str) -> str | None:
        """
        Return the name that sorts last, None if there is none.

        Raises:
            Unavailable: the store does not list in order.
            BaseError: the store does not answer.
        """
        return await search(
            partial(self._page, partition), known=first_offset(known) if known else 0
        )

    async def _page(self, partition: Partition, offset: int) -> Page:
        names = list[str]()
        after = f"{partition}/{name_from(offset)}"
        async with contextlib.aclosing(self._paths(partition, after)) as pages:
            async for paths in pages:
                names += filter(is_name, paths)
                # Files of other names may be the last.
                if len(paths) >= PAGE_NAMES and is_name(paths[-1]) and not _one_offset(names):
                    return Page(names, full=True)
        return Page(names, full=False)

    async def _paths(self, partition: Partition, after: str) -> AsyncGenerator[list[str]]:
        found = obstore.list(
            self._opened, str(partition), offset=after or None, chunk_size=PAGE_NAMES
        )
        last = ""
        while listed := await _call(self._threads, next, found, None):
            paths = [last, *(each["path"] for each in listed)]
            if paths != sorted(paths):
                raise Unavailable(f"the store does not list the names of {partition} in order")
            last = paths[-1]
            # A store that ignores the offset lists all.
            yield [path for path in paths[1:] if path > after]


class DirectoryListing:
    """
    The names in a directory, which has no order: all of them are read, or none.

    A writer that creates a segment leaves a hint beside the partition's directory: the last name,
    and the time at which the directory changed. The hint is valid as long as the directory has not
    changed since. A hint that is wrong nevertheless only costs time: the writer finds the next
    segment by its name.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._threads = _threads()
        # The result of the last read of each partition.
        self._read: dict[Partition, Hint] = {}

    def created(self, name: str) -> None:
        """Leave the hint that `name` may be the last, right after it was created. This blocks."""
        if hour(name) == BEGINNING:
            return  # an old chain gets a new beginning when its first segments expire
        path = self._directory / name
        hint_path = _hint_path(path.parent)
        with contextlib.suppress(OSError):
            changed_ns = path.parent.stat().st_mtime_ns
            # Else another name was added or removed meanwhile.
            if abs(changed_ns - path.stat().st_ctime_ns) > TICK_NS:
                return
            before = _read_hint(hint_path)
            later = before and before.last > path.name and (path.parent / before.last).exists()
            hint = Hint(changed_ns, before.last if before and later else path.name)
            # The same for all writers: of two hints at once either one stays, or none.
            scratch = hint_path.with_name(f"{hint_path.name}.new")
            scratch.write_bytes(msgspec.json.encode(hint))
            scratch.replace(hint_path)

    async def pages(self, partition: Partition, *, after: str) -> AsyncGenerator[list[str]]:
        """
        Yield the names that sort after `after`, in their order. They are in memory, 100 bytes each.

        Raises:
            OSError: the directory cannot be read.
        """
        names = await self._call(_sorted, self._path(partition), after.rpartition("/")[2])
        for at in range(0, len(names), PAGE_NAMES):
            yield [f"{partition}/{name}" for name in names[at : at + PAGE_NAMES]]

    async def last(self, partition: Partition, *, known: str) -> str | None:
        """
        Return the name that sorts last, None if there is none.

        The names are read only if the directory has changed since a hint or the last read, or if
        the hint is of a name before `known`, because an idle partition is looked at often.

        Raises:
            OSError: the directory cannot be read.
        """
        path, now_ns = self._path(partition), time.time_ns()
        changed_ns, hints = await _call(self._threads, _hinted, path, self._read.get(partition))
        for each in hints:
            # Two names may come in one tick of the clock, and a copy has the time that it is given.
            if each.last >= known.rpartition("/")[2]:
                return f"{partition}/{each.last}"
        last = await self._call(_last, path)
        if last and now_ns - changed_ns > TIME_GRAIN_NS:
            self._read[partition] = Hint(changed_ns, last)
        return f"{partition}/{last}" if last else None

    def _path(self, partition: Partition) -> Path:
        return self._directory / partition.topic / str(partition.number)

    async def _call(self, call: Callable[..., Got], *arguments: object) -> Got:
        """Call in a thread, which ends soon after a cancellation."""
        stop = threading.Event()
        try:
            return await _call(self._threads, call, *arguments, stop)
        finally:
            stop.set()


def _one_offset(names: list[str]) -> bool:
    return first_offset(names[0]) == first_offset(names[-1])


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
    # Not in the directory, which would change.
    return path.with_name(f".end-{path.name}")


def _read_hint(path: Path) -> Hint | None:
    try:
        hint = msgspec.json.decode(path.read_bytes(), type=Hint)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    return hint if is_name(hint.last) and "/" not in hint.last else None


def _hinted(path: Path, read: Hint | None) -> tuple[int, list[Hint]]:
    """Return the directory's time of change, 0 without one, and the valid hints."""
    try:
        changed_ns = path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0, []
    return changed_ns, [
        each
        for each in (read, _read_hint(_hint_path(path)))
        if each and each.changed_ns == changed_ns and (path / each.last).exists()
    ]


def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(LISTINGS_MAX, "list")


async def _call(threads: ThreadPoolExecutor, call: Callable[..., Got], *arguments: object) -> Got:
    """Call in a thread. Cancelled before it has begun, the call is never made."""
    return await asyncio.get_running_loop().run_in_executor(threads, call, *arguments)
