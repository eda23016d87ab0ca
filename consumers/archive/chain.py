"""The chain of segments of a partition: its beginning and its end."""

import contextlib

from consumers.archive import new_segment
from consumers.archive.segment import SegmentSummary
from consumers.archive.store import Store
from consumers.archive.store_errors import SegmentExists, SegmentNotFound
from consumers.runtime.batch import Partition, Position


async def begin(store: Store, partition: Partition, position: Position) -> None:
    """
    Begin the chain at `position`, unless it has begun already.

    Raises:
        Unavailable: the chain may or may not have begun.
    """
    name, content = new_segment.beginning(partition, position)
    with contextlib.suppress(SegmentExists):
        await store.create(name, content)


async def last(
    store: Store, partition: Partition, *, known: str = ""
) -> tuple[str, SegmentSummary] | None:
    """
    Return name and summary of the chain's last segment, None if the chain has no segment.

    The store's search starts at `known`, the name of a segment that was seen.

    Raises:
        DamagedSegment: the summary cannot be read.
        Unavailable: the store does not answer.
    """
    name = await store.last(partition, known=known)
    return (name, await store.summary(name)) if name else None


async def ending_at(store: Store, known: str, next_offset: int) -> SegmentSummary | None:
    """
    Return the summary of the segment `known` if it ends at `next_offset`, else None.

    Other segments may follow it; then the name that the caller will create exists already.

    Raises:
        DamagedSegment: the summary cannot be read.
        Unavailable: the store does not answer.
    """
    with contextlib.suppress(SegmentNotFound):
        summary = await store.summary(known)
        if summary.next_offset == next_offset:
            return summary
    return None
