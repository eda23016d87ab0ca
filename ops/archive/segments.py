"""
List and read the archive's segments, for the `hookline` commands.

Names are listed page by page: the names of several years would fill the memory.
"""

import asyncio
import collections
import contextlib
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from consumers.archive import segment_name
from consumers.archive.segment import DamagedSegment
from consumers.archive.store import SegmentStore, local_directory, open_store
from consumers.archive.store_errors import CannotOpenStore, SegmentNotFound
from consumers.runtime.batch import Partition
from consumers.runtime.handler import Unavailable
from ops.failure import ExitCode, Failure

_WHAT_TO_CHECK = "check ARCHIVE_URL (of a command: --archive)"
# The number of segments that are read at the same time. Their compressed content is in memory.
AHEAD = 4

Content = TypeVar("Content")


class ArchiveUnreadable(Failure):
    """There is no such archive, or its store does not answer."""


class ArchiveDamaged(Failure):
    """A segment differs from the one that the archive consumer wrote."""

    exit_code = ExitCode.FAULT


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentFilter:
    """
    Selects segments; None selects all.

    `since` and `until` are hours of the records' time, in UTC; `until` is exclusive.
    """

    topic: str | None = None
    partition: int | None = None
    since: datetime | None = None
    until: datetime | None = None

    def selects(self, partition: Partition) -> bool:
        """Return whether the segments of a partition are selected."""
        return self.topic in (None, partition.topic) and self.partition in (None, partition.number)

    def selects_hour(self, name: str) -> bool:
        """Return whether the hour of the segment `name` is selected."""
        hour = segment_name.hour(name)
        return (self.since is None or f"{self.since:%Y-%m-%dT%H}" <= hour) and (
            self.until is None or hour < f"{self.until:%Y-%m-%dT%H}"
        )


ALL = SegmentFilter()


def open_archive(url: str) -> SegmentStore:
    """
    Open the archive at `url`.

    Raises:
        ArchiveUnreadable: it does not exist, or cannot be opened.
    """
    directory = local_directory(url)
    if directory is not None and not directory.is_dir():
        raise ArchiveUnreadable(
            f"the archive {url} does not exist: no such directory; {_WHAT_TO_CHECK}"
        )
    try:
        return open_store(url)
    except CannotOpenStore as error:
        raise ArchiveUnreadable(str(error)) from error


def archive_failure_text(error: Unavailable) -> str:
    """Return why the archive's store cannot be used, and what to check."""
    return f"the archive does not answer: {error}; {_WHAT_TO_CHECK}"


@contextlib.contextmanager
def reading_archive(url: str) -> Iterator[SegmentStore]:
    """
    Yield the archive at `url`; turn the errors of its store into failures of the command.

    Raises:
        ArchiveUnreadable: it does not exist, or does not answer.
        ArchiveDamaged: a segment is damaged.
    """
    store = open_archive(url)
    try:
        yield store
    except Unavailable as error:
        raise ArchiveUnreadable(archive_failure_text(error)) from error
    except DamagedSegment as error:
        raise ArchiveDamaged(str(error)) from error


@contextlib.contextmanager
def naming(name: str) -> Iterator[None]:
    """
    Add the name of a segment to the error of reading it.

    Raises:
        DamagedSegment: the segment is damaged; the text begins with `name`.
    """
    try:
        yield
    except DamagedSegment as damaged:
        raise DamagedSegment(f"{name}: {damaged}") from damaged


async def segment_names(store: SegmentStore, only: SegmentFilter = ALL) -> AsyncGenerator[str]:
    """
    Yield the names of the selected segments, partition by partition in the order of the chains.

    Raises:
        Unavailable: the store does not answer.
    """
    for partition in await store.partitions():
        if only.selects(partition):
            async with contextlib.aclosing(store.pages(partition)) as pages:
                async for page in pages:
                    for name in filter(only.selects_hour, page):
                        yield name


async def in_order(
    names: Iterable[str] | AsyncIterable[str], read: Callable[[str], Awaitable[Content]]
) -> AsyncGenerator[tuple[str, Content | None]]:
    """
    Yield each name with the result of `read`, None if the segment was deleted meanwhile.

    AHEAD segments are read at the same time.

    Raises:
        Unavailable: the store does not answer.
        DamagedSegment: `read` found a segment that cannot be read.
    """

    async def read_unless_deleted(name: str) -> Content | None:
        try:
            return await read(name)
        except SegmentNotFound:
            return None

    reading = collections.deque[tuple[str, asyncio.Task[Content | None]]]()
    try:
        async with contextlib.aclosing(_each(names)) as listed:
            async for name in listed:
                reading.append((name, asyncio.create_task(read_unless_deleted(name))))
                if len(reading) == AHEAD:
                    yield reading[0][0], await reading[0][1]
                    reading.popleft()
        while reading:
            yield reading[0][0], await reading[0][1]
            reading.popleft()
    finally:
        for _, task in reading:
            task.cancel()
        await asyncio.gather(*(task for _, task in reading), return_exceptions=True)


async def _each(names: Iterable[str] | AsyncIterable[str]) -> AsyncGenerator[str]:
    if isinstance(names, AsyncIterable):
        async for name in names:
            yield name
    else:
        for name in names:
            yield name
