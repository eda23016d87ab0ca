"""A partition's chain of segments: where it begins, and where it ends."""

import contextlib

from consumers.archive import new_segment
from consumers.archive.segment import SegmentSummary
from consumers.archive.store import Exists, Gone, Store
from consumers.runtime.batch import Partition, Position


async def begin(store: Store, partition: Partition, position: Position) -> None:
    """
    Begin the chain at `position`; a chain that has begun already stays as it is.

    Raises:
        Unavailable: it may or may not have begun.
    """
    name, content = new_segment.beginning(partition, position)
    with contextlib.suppress(Exists):
        await store.create(name, content)


async def last(
    store: Store, partition: Partition, *, known: str = ""
) -> tuple[str, SegmentSummary] | None:
    """
    Return name and summary of the chain's last segment, None if it has none.

    The store's search starts at `known`, the name of a segment that was seen.

    Raises:
        Damaged: the summary cannot be read.
        Unavailable: the store does not answer.
    """
    name = await store.last(partition, known=known)
    return (name, await store.summary(name)) if name else None


async def ends_at(store: Store, known: str, next_offset: int) -> SegmentSummary | None:
    """
    Return the summary of the segment `known` if it ends at `next_offset`, else None.

    Other segments may follow it; then the name that the caller creates is taken already.

    Raises:
        Damaged: the summary cannot be read.
        Unavailable: the store does not answer.
    """
    with contextlib.suppress(Gone):
        summary = await store.summary(known)
        if summary.next_offset == next_offset:
            return summary
    return None
