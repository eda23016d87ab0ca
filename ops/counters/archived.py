"""Read the records of a partition from the archive, from a given offset on."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from datetime import datetime

from consumers.archive import segment_name
from consumers.archive.segment import SegmentSummary, read_summary
from consumers.archive.store import SegmentStore
from consumers.runtime.batch import Partition, Record
from ops.archive.segments import in_order, naming
from ops.records.archived import chain_from, segment_records


async def first_offset(
    store: SegmentStore, partition: Partition, since: datetime | None
) -> int | None:
    """
    Return the offset at which an archived partition begins, None if it has no segments.

    With `since`, return the first offset of the first segment of that hour or a later one.
    """
    hour = f"{since:%Y-%m-%dT%H}" if since else ""
    async with contextlib.aclosing(store.pages(partition)) as pages:
        async for page in pages:
            for name in page:
                if segment_name.hour(name) >= hour:
                    return segment_name.first_offset(name)
    return None


async def records_from(
    store: SegmentStore, partition: Partition, offset: int
) -> AsyncGenerator[tuple[SegmentSummary, list[Record]]]:
    """
    Yield the records from `offset` on, segment by segment in the order of the chain.

    Raises:
        Unavailable: the store does not answer.
        DamagedSegment: a segment cannot be read.
    """

    async def read(name: str) -> tuple[SegmentSummary, list[Record]]:
        content = await store.read(name)
        with naming(name):
            return await asyncio.to_thread(_records, content, offset)

    names = _names(store, partition, offset)
    async with contextlib.aclosing(in_order(names, read)) as segments:
        async for _, records in segments:
            # A segment that has expired meanwhile is missing in the chain; the caller notices it.
            if records is not None:
                yield records


async def _names(store: SegmentStore, partition: Partition, offset: int) -> AsyncGenerator[str]:
    """Yield the names of the segments that may have `offset`, and of all that follow."""
    async with contextlib.aclosing(chain_from(store, partition, offset)) as pairs:
        async for pair in pairs:
            yield pair[0]


def _records(content: bytes, offset: int) -> tuple[SegmentSummary, list[Record]]:
    return read_summary(content), list(segment_records(content, offset))
