"""A partition's segments in their order: where the chain begins, and where it ends."""

import contextlib
from datetime import UTC, datetime, timedelta

from consumers.archive import segment
from consumers.archive.segment import Summary, first_offset
from consumers.archive.store import Exists, Gone, Store
from consumers.runtime.batch import Partition

# Segments of older hours are not listed where younger ones are there. The second is longer than
# Kafka keeps what a chain may lack: a year's names take longer than `lane.HANDLE_S` to be listed.
RECENT = (timedelta(days=2), timedelta(days=10))


async def begin(store: Store, partition: Partition, next_offset: int) -> None:
    """
    Have the chain begin at `next_offset`; where it has begun already, that stays.

    Raises:
        Unavailable: it may or may not have begun.
    """
    name, content = segment.beginning(partition, next_offset)
    with contextlib.suppress(Exists):
        await store.create(name, content)


async def last(store: Store, partition: Partition, *, known: str = "") -> Summary | None:
    """
    Return the summary of the chain's last segment, None if it has none.

    `known` is the name of a segment that was seen. It matters after a clock that was days ahead:
    segments of those hours hide that of the hours before them none is listed any more.

    Raises:
        Damaged: it cannot be read.
        Unavailable: the store does not answer.
    """
    now, names = datetime.now(UTC), list[str]()
    since = [f"{now - recent:%Y-%m-%dT%H}" for recent in RECENT]
    if known:
        since.insert(1, segment.hour(known))
    for after in (*since, ""):
        names = names or await store.names(partition, after=after)
    if known and (not names or first_offset(known) > first_offset(names[-1])):
        with contextlib.suppress(Gone):
            return await store.summary(known)
    return await store.summary(names[-1]) if names else None
