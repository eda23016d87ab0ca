"""List the segments of an archive that were not read yet, while a writer and `expire` run."""

import contextlib
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass

from consumers.archive import segment_name
from consumers.archive.store import SegmentStore
from consumers.archive.store_errors import SegmentNotFound
from consumers.runtime.batch import Partition


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSegments:
    """The segments of a partition after the name `after`, up to and including `until`."""

    partition: Partition
    after: str
    until: str
    count: int


async def new_segments(
    store: SegmentStore, read_up_to: Mapping[Partition, str]
) -> list[NewSegments]:
    """
    Return the current segments of each partition after the name in `read_up_to`.

    Raises:
        Unavailable: the store does not answer.
    """
    partitions: list[NewSegments] = []
    for partition in await store.partitions():
        after, until, count = read_up_to.get(partition, ""), "", 0
        # This costs less than listing if there are no new names.
        if await store.last(partition, search_from=after) in (None, after):
            continue
        async with contextlib.aclosing(store.pages(partition, after=after)) as pages:
            async for page in pages:
                count += len(page)
                until = page[-1] if page else until
        if count:
            partitions.append(
                NewSegments(partition=partition, after=after, until=until, count=count)
            )
    return partitions


async def names_of(store: SegmentStore, new: NewSegments) -> AsyncGenerator[str]:
    """
    Yield the names of new segments, except those that were deleted meanwhile.

    Raises:
        Unavailable: the store does not answer.
    """
    async with contextlib.aclosing(store.pages(new.partition, after=new.after)) as pages:
        async for page in pages:
            for name in page:
                if name > new.until:
                    return
                yield name


async def moved_beginning(
    store: SegmentStore, partition: Partition, deleted: str
) -> tuple[str, bytes] | None:
    """
    Return name and content of the chain's new beginning after the segment `deleted` has expired.

    Return None if the chain has no new beginning.

    Raises:
        Unavailable: the store does not answer.
    """
    async with contextlib.aclosing(store.pages(partition, after=deleted)) as pages:
        async for page in pages:
            for name in page:
                # A later run of expire may have deleted it, and created another beginning.
                with contextlib.suppress(SegmentNotFound):
                    if segment_name.hour(name) == segment_name.BEGINNING:
                        return name, await store.read(name)
    return None
