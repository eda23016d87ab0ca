"""The archive's segments as the `hookline` commands read them: in order, some of them ahead."""

import asyncio
import collections
import itertools
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from consumers.archive import segment
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
        hour = segment.hour(name)
        return (self.since is None or f"{self.since:%Y-%m-%dT%H}" <= hour) and (
            self.until is None or hour < f"{self.until:%Y-%m-%dT%H}"
        )


ALL = Choice()


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


async def listed(store: Store, choice: Choice = ALL) -> list[tuple[Partition, list[str]]]:
    """
    Return the names of the chosen segments, by partition, each in the order of its records.

    Raises:
        Unavailable: the store does not answer.
    """
    found = [
        (partition, [name for name in await store.names(partition) if choice.takes_hour(name)])
        for partition in await store.partitions()
        if choice.takes(partition)
    ]
    return [(partition, names) for partition, names in found if names]


async def in_order(
    names: Iterable[str], read: Callable[[str], Awaitable[Got]]
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

    waiting = iter(names)
    reading = collections.deque(
        (name, asyncio.ensure_future(one(name))) for name in itertools.islice(waiting, AHEAD)
    )
    try:
        while reading:
            name, task = reading[0]
            got = await task
            reading.popleft()
            yield name, got
            reading.extend(
                (name, asyncio.ensure_future(one(name))) for name in itertools.islice(waiting, 1)
            )
    finally:
        for _, task in reading:
            task.cancel()
        await asyncio.gather(*(task for _, task in reading), return_exceptions=True)
