"""
The archive's segments as the `hookline` commands read them: in order, some of them ahead.

Names are listed when they are needed: the names of several years would fill the memory.
"""

import asyncio
import collections
import contextlib
from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from consumers.archive import segment_name
from consumers.archive.store import Gone, NoStore, Store, local_directory, open_store
from consumers.runtime.batch import Partition

# How many segments are read at once. So many are in memory, compressed.
AHEAD = 4

Got = TypeVar("Got")


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which segments; None is all. Hours are of record time, in UTC, `until` is not among them."""

    topic: str | None = None
    partition: int | None = None
    since: datetime | None = None
    until: datetime | None = None

    def takes(self, partition: Partition) -> bool:
        """Tell whether a partition's segments are among them."""
        return self.topic in (None, partition.topic) and self.partition in (None, partition.number)

    def takes_hour(self, name: str) -> bool:
        """Tell whether the segment's hour is among them."""
        hour = segment_name.hour(name)
        return (self.since is None or f"{self.since:%Y-%m-%dT%H}" <= hour) and (
            self.until is None or hour < f"{self.until:%Y-%m-%dT%H}"
        )


ALL = Choice()


@dataclass(frozen=True, slots=True, kw_only=True)
class Fresh:
    """The number of names that a partition has after one name, up to another."""

    partition: Partition
    after: str
    until: str
    count: int


def open_archive(url: str) -> Store:
    """
    Open the archive at `url`, which must be there.

    Raises:
        NoStore: it is not, or it cannot be opened.
    """
    directory = local_directory(url)
    if directory is not None and not directory.is_dir():
        raise NoStore(f"the archive {url} is not there: no such directory")
    return open_store(url)


async def chosen(store: Store, choice: Choice = ALL) -> AsyncGenerator[str]:
    """
    Yield the names of the chosen segments, partition by partition in the order of the chains.

    Raises:
        Unavailable: the store does not answer.
    """
    for partition in await store.partitions():
        if choice.takes(partition):
            async with contextlib.aclosing(store.pages(partition)) as pages:
                async for page in pages:
                    for name in filter(choice.takes_hour, page):
                        yield name


async def fresh(store: Store, reached: Mapping[Partition, str]) -> list[Fresh]:
    """
    Return which segments there are now, in each partition after the name that was `reached` in it.

    Raises:
        Unavailable: the store does not answer.
    """
    found: list[Fresh] = []
    for partition in await store.partitions():
        after, until, count = reached.get(partition, ""), "", 0
        # Cheaper than a list if there are no new names.
        if await store.last(partition, known=after) in (None, after):
            continue
        async with contextlib.aclosing(store.pages(partition, after=after)) as pages:
            async for page in pages:
                count += len(page)
                until = page[-1] if page else until
        if count:
            found.append(Fresh(partition=partition, after=after, until=until, count=count))
    return found


async def names_of(store: Store, those: Fresh) -> AsyncGenerator[str]:
    """
    Yield the names of the segments that were found, less those that were deleted meanwhile.

    Raises:
        Unavailable: the store does not answer.
    """
    async with contextlib.aclosing(store.pages(those.partition, after=those.after)) as pages:
        async for page in pages:
            for name in page:
                if name > those.until:
                    return
                yield name


async def moved_beginning(
    store: Store, partition: Partition, gone: str
) -> tuple[str, bytes] | None:
    """
    Return name and content of the beginning that the chain has since `gone` expired, if any.

    Raises:
        Unavailable: the store does not answer.
    """
    async with contextlib.aclosing(store.pages(partition, after=gone)) as pages:
        async for page in pages:
            for name in page:
                # A later expiry may have deleted it, and created another beginning.
                with contextlib.suppress(Gone):
                    if segment_name.hour(name) == segment_name.BEGINNING:
                        return name, await store.read(name)
    return None


async def in_order(
    names: Iterable[str] | AsyncIterable[str], read: Callable[[str], Awaitable[Got]]
) -> AsyncGenerator[tuple[str, Got | None]]:
    """
    Yield each name with what `read` returned for it, None where the segment was deleted meanwhile.

    Raises:
        Unavailable: the store does not answer.
        Damaged: `read` found a segment that cannot be read.
    """

    async def one(name: str) -> Got | None:
        try:
            return await read(name)
        except Gone:
            return None

    reading = collections.deque[tuple[str, asyncio.Task[Got | None]]]()
    try:
        async with contextlib.aclosing(_each(names)) as waiting:
            async for name in waiting:
                reading.append((name, asyncio.create_task(one(name))))
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
