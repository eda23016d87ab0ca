"""
List the names of a partition's segments, and find the last one without the others.

Names sort in the order of the chain (segment_name.py), so the last name is the end of the chain,
whatever hours the names have. In a year a partition gets half a million names. An object store is
asked for the names after an offset, and some twenty such requests find the end. Local directories
are listed by directory_listing.py. Blocking calls run in a few threads, and end soon after a
cancellation.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple, Protocol, TypeVar

import obstore
from obstore.store import ObjectStore

from consumers.archive.segment_name import first_offset, is_name, prefix
from consumers.runtime.batch import Partition
from consumers.runtime.handler import Unavailable

# The number of concurrent calls that list, over all partitions. More would only share the
# interpreter's lock, and take the threads that write segments.
LISTINGS_MAX = 4
# Names in a page of an object store, as many as S3 returns for a request.
PAGE_NAMES = 1000
# A search takes at most twice the binary logarithm of the offsets, and a few more requests if names
# are added meanwhile.
REQUESTS_MAX = 150
Result = TypeVar("Result")


class Page(NamedTuple):
    """
    Names in their order.

    If `has_more`, others may follow, and these names have at least two first offsets.
    """

    names: list[str]
    has_more: bool


class Listing(Protocol):
    """Lists the names in a store."""

    def pages(self, partition: Partition, *, after: str) -> AsyncGenerator[list[str]]:
        """Yield the names that sort after `after`, in their order, in pages."""
        ...

    async def last(self, partition: Partition, *, search_from: str) -> str | None:
        """
        Return the name that sorts last, None if there is none.

        `search_from`: see SegmentStore.last.
        """
        ...


async def find_last_name(
    page: Callable[[int], Awaitable[Page]], *, search_from: int = 0, page_names: int = PAGE_NAMES
) -> str | None:
    """
    Return the last name, None if there is none. `page` returns the names from an offset on.

    `search_from` is the first offset of a name that may exist; it only shortens the search. A page
    with `has_more` has at least `page_names` names.

    Raises:
        Unavailable: the store does not list from an offset on.
    """
    listed = await page(search_from)
    if not listed.names:
        listed = await page(0) if search_from else listed
    if not listed.has_more:
        return listed.names[-1] if listed.names else None
    low = first_offset(listed.names[-1])
    # No name began at `none_from` or after it when the store was asked.
    none_from: int | None = None
    step = max(1, low - first_offset(listed.names[0]))
    for _ in range(REQUESTS_MAX):
        if none_from is None:
            at, step = low + step, step * 4
        elif none_from - low > page_names:
            at = (low + none_from) // 2
        else:
            at = low
        listed = await page(at)
        if listed.names and not listed.has_more:
            return listed.names[-1]
        if listed.names:
            low = max(low, first_offset(listed.names[-1]))
        elif at > low:
            none_from = at
        else:
            raise Unavailable(f"the store lists no names from {prefix(low)} on, but has some")
    raise Unavailable(f"the end of the names was not found with {REQUESTS_MAX} requests")


class BucketListing:
    """Lists the names in an object store, which returns them in their order."""

    def __init__(self, object_store: ObjectStore) -> None:
        self._object_store = object_store
        self._threads = list_threads()

    async def pages(self, partition: Partition, *, after: str) -> AsyncGenerator[list[str]]:
        """
        Yield the names that sort after `after`, in their order, a page for each request.

        Raises:
            Unavailable: the store does not list in order.
            BaseError: the store does not answer.
        """
        async with contextlib.aclosing(self._paths(partition, after)) as pages:
            async for paths in pages:
                yield [path for path in paths if is_name(path)]

    async def last(self, partition: Partition, *, search_from: str) -> str | None:
        """
        Return the name that sorts last, None if there is none.

        Raises:
            Unavailable: the store does not list in order.
            BaseError: the store does not answer.
        """
        return await find_last_name(
            partial(self._page, partition),
            search_from=first_offset(search_from) if search_from else 0,
        )

    async def _page(self, partition: Partition, offset: int) -> Page:
        names = list[str]()
        after = f"{partition}/{prefix(offset)}"
        async with contextlib.aclosing(self._paths(partition, after)) as pages:
            async for paths in pages:
                names += filter(is_name, paths)
                # The page may end with a file that is not a segment.
                if len(paths) >= PAGE_NAMES and is_name(paths[-1]) and not _one_offset(names):
                    return Page(names, has_more=True)
        return Page(names, has_more=False)

    async def _paths(self, partition: Partition, after: str) -> AsyncGenerator[list[str]]:
        chunks = obstore.list(
            self._object_store, str(partition), offset=after or None, chunk_size=PAGE_NAMES
        )
        last = ""
        while listed := await call_in(self._threads, next, chunks, None):
            paths = [last, *(entry["path"] for entry in listed)]
            if paths != sorted(paths):
                raise Unavailable(f"the store does not list the names of {partition} in order")
            last = paths[-1]
            # A store that ignores the offset returns all names.
            yield [path for path in paths[1:] if path > after]


def _one_offset(names: list[str]) -> bool:
    return first_offset(names[0]) == first_offset(names[-1])


def list_threads() -> ThreadPoolExecutor:
    """Return a pool of threads for one listing."""
    return ThreadPoolExecutor(LISTINGS_MAX, "list")


async def call_in(
    threads: ThreadPoolExecutor, call: Callable[..., Result], *arguments: object
) -> Result:
    """Call in a thread. A call that is cancelled before it has begun is never made."""
    return await asyncio.get_running_loop().run_in_executor(threads, call, *arguments)
