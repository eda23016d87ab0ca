"""An archive's store in memory, and a process's connection to it."""

from collections.abc import Iterable
from functools import partial

from support.simulation.simulated_kafka import Topic, now_ms
from support.simulation.simulated_world import Life

from consumers.archive import segment, segment_name
from consumers.archive.listing import Page, find_last_name
from consumers.archive.segment import SegmentSummary
from consumers.archive.store import SegmentStore
from consumers.archive.store_errors import SegmentExists, SegmentNotFound
from consumers.runtime.batch import Partition
from consumers.runtime.handler import TookTooLong, Unavailable

# So few that a short chain is searched like a long one.
PAGE_NAMES = 3


def in_order(names: Iterable[str], partition: Partition) -> list[str]:
    """Return the names of a partition in the order of the chain."""
    return sorted(name for name in names if name.startswith(f"{partition}/"))


class MemoryStore(SegmentStore):
    """Segments in memory, and all segments that ever existed."""

    def __init__(self, topic: Topic) -> None:
        self.topic = topic
        self.now: dict[str, bytes] = {}
        self.stored_ms: dict[str, int] = {}
        # With expired ones; a segment that was written again is in the list twice.
        self.ever: list[tuple[str, bytes]] = []
        # Each end of the chains, and its time.
        self.ends: list[tuple[float, dict[Partition, int]]] = [(0, {})]

    async def create(self, name: str, content: bytes) -> None:
        """Store the segment, if its name is free."""
        if name in self.now:
            raise SegmentExists
        self.keep(name, content)

    def keep(self, name: str, content: bytes) -> None:
        """Store the segment."""
        if name in self.now:
            self.ever.remove((name, self.now[name]))
        self.now[name] = content
        self.stored_ms[name] = int(now_ms(self.topic.world.loop))
        self.ever.append((name, content))
        summary = segment.read_summary(content)
        partition = Partition(summary.topic, summary.partition)
        self.topic.in_sink[partition] = max(
            self.topic.in_sink.get(partition, 0), summary.next_offset
        )
        self.ends.append((self.topic.world.loop.time(), dict(self.topic.in_sink)))

    async def names(self, partition: Partition, *, after: str = "") -> list[str]:
        """Return the names in the order of the chain."""
        return [name for name in in_order(self.now, partition) if name > after]

    async def page(self, partition: Partition, offset: int) -> Page:
        """Return the first names that begin at `offset` or after it."""
        names = await self.names(partition, after=f"{partition}/{segment_name.prefix(offset)}")
        return Page(names[:PAGE_NAMES], has_more=len(names) >= PAGE_NAMES)

    async def summary(self, name: str) -> SegmentSummary:
        """Return a segment's summary."""
        if name not in self.now:
            raise SegmentNotFound
        return segment.read_summary(self.now[name])

    async def delete(self, name: str) -> None:
        """Delete the segment."""
        if self.now.pop(name, None) is None:
            raise SegmentNotFound


class RemoteStore(SegmentStore):
    """A process's connection to the store. A create may take effect after its time-out."""

    def __init__(self, store: MemoryStore, life: Life) -> None:
        self.store = store
        self.life = life

    async def create(self, name: str, content: bytes) -> None:
        """Call the store."""
        try:
            await self.life.ask(partial(self.store.create, name, content))
        except Unavailable as error:
            if self.life.world.hit("timed out"):
                raise TookTooLong(str(error)) from error
            raise

    async def names(self, partition: Partition, *, after: str = "") -> list[str]:
        """Call the store."""
        return await self.life.ask(partial(self.store.names, partition, after=after))

    async def last(self, partition: Partition, *, search_from: str = "") -> str | None:
        """Search as in an object store: page by page, while the store may change."""

        async def page(offset: int) -> Page:
            self.store.topic.world.faults["pages listed"] += 1
            return await self.life.ask(partial(self.store.page, partition, offset))

        offset = segment_name.first_offset(search_from) if search_from else 0
        if self.life.world.hit("hint lies"):
            offset = self.life.world.chance.randrange(4000)
        return await find_last_name(page, search_from=offset, page_names=PAGE_NAMES)

    async def summary(self, name: str) -> SegmentSummary:
        """Call the store."""
        return await self.life.ask(partial(self.store.summary, name))

    async def delete(self, name: str) -> None:
        """Call the store."""
        await self.life.ask(partial(self.store.delete, name))
