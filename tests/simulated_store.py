"""An archive's store in memory, and a process's connection to it."""

from collections.abc import Iterable
from functools import partial

from simulated_kafka import Topic, now_ms
from simulated_world import Life

from consumers.archive import segment
from consumers.archive.segment import Summary
from consumers.archive.store import Exists, Gone, Store
from consumers.runtime.batch import Partition


def in_order(names: Iterable[str], partition: Partition) -> list[str]:
    """Return those of a partition in the order of their records."""
    found = [name for name in names if name.startswith(f"{partition}/")]
    return sorted(found, key=lambda name: (segment.first_offset(name), name))


class MemoryStore(Store):
    """Segments in memory, and all that there ever were."""

    def __init__(self, topic: Topic) -> None:
        self.topic = topic
        self.now: dict[str, bytes] = {}
        self.stored_ms: dict[str, int] = {}
        # With those that have expired; one that was written again is there twice.
        self.ever: list[tuple[str, bytes]] = []
        # Where the chains have ended, and since when.
        self.ends: list[tuple[float, dict[Partition, int]]] = [(0, {})]

    async def create(self, name: str, content: bytes) -> None:
        """Keep it, if there is none."""
        if name in self.now:
            raise Exists
        self.keep(name, content)

    def keep(self, name: str, content: bytes) -> None:
        """Keep it."""
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
        """Return them in the order of their records."""
        return [name for name in in_order(self.now, partition) if name > f"{partition}/{after}"]

    async def summary(self, name: str) -> Summary:
        """Return a segment's summary."""
        if name not in self.now:
            raise Gone
        return segment.read_summary(self.now[name])

    async def delete(self, name: str) -> None:
        """Forget it."""
        if self.now.pop(name, None) is None:
            raise Gone


class RemoteStore(Store):
    """A process's connection to the store. A create may land after it was given up."""

    def __init__(self, store: MemoryStore, life: Life) -> None:
        self.store = store
        self.life = life

    async def create(self, name: str, content: bytes) -> None:
        """Have the store do it."""
        await self.life.ask(partial(self.store.create, name, content))

    async def names(self, partition: Partition, *, after: str = "") -> list[str]:
        """Ask the store."""
        return await self.life.ask(partial(self.store.names, partition, after=after))

    async def summary(self, name: str) -> Summary:
        """Ask the store."""
        return await self.life.ask(partial(self.store.summary, name))

    async def delete(self, name: str) -> None:
        """Have the store do it."""
        await self.life.ask(partial(self.store.delete, name))
