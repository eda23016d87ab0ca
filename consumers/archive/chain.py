"""A partition's segments in their order: where the chain begins, and where it ends."""

import contextlib
from datetime import UTC, datetime, timedelta

from consumers.archive import segment
from consumers.archive.segment import Summary
from consumers.archive.store import Exists, Store
from consumers.runtime.batch import Partition

# Segments of older hours are not listed where younger ones are there.
RECENT = timedelta(days=2)


async def begin(store: Store, partition: Partition, next_offset: int) -> None:
    """
    Have the chain begin at `next_offset`; where it has begun already, that stays.

    Raises:
        Unavailable: it may or may not have begun.
    """
    name, content = segment.beginning(partition, next_offset)
    with contextlib.suppress(Exists):
        await store.create(name, content)


async def last(store: Store, partition: Partition) -> Summary | None:
    """
    Return the summary of the chain's last segment, None if it has none.

    A clock that was days ahead may leave a later segment behind: then this one's successor exists
    when it is to be created, and the writer goes on behind that, up to the end.

    Raises:
        Damaged: it cannot be read.
        Unavailable: the store does not answer.
    """
    since = datetime.now(UTC) - RECENT
    names = await store.names(partition, after=f"{since:%Y-%m-%dT%H}")
    names = names or await store.names(partition)
    return await store.summary(names[-1]) if names else None
