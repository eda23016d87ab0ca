"""The archive with one of its rules relaxed, each in turn; all without the last, `Blind`."""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime

from support.simulation.simulated_archive import Rules
from support.simulation.simulated_kafka import now_ms
from support.simulation.simulated_store import MemoryStore, RemoteStore

from consumers.archive import new_segment, segment, segment_name
from consumers.archive.consumer import Archive
from consumers.archive.store import Store
from consumers.archive.store_errors import SegmentNotFound
from consumers.runtime.batch import Batch, Partition, Position
from consumers.runtime.handler import Elsewhere, Unavailable
from ops.archive import expire


class Blind(Archive):
    """
    Not "a batch begins where the chain ends".

    That rule is for a store that is put back. It hides what most of the others are for, but for a
    moment: between the look and the create.
    """

    async def handle(self, batch: Batch) -> None:
        """Write it without a look at the chain."""
        if batch.packed is None:
            return await super().handle(batch)
        return await self._create(batch.partition, *new_segment.of_batch(batch))


class Overwriting(MemoryStore):
    """Not "created only if absent"."""

    async def create(self, name: str, content: bytes) -> None:
        """Keep it in any case."""
        self.keep(name, content)


class NamedByTheWriter(RemoteStore):
    """Not "its name is made of its first record": the hour is the writer's own."""

    async def create(self, name: str, content: bytes) -> None:
        """Create it under another name."""
        await super().create(self._called(name), content)

    async def summary(self, name: str) -> segment.SegmentSummary:
        """Ask for one that exists: for that of this hour."""
        return await super().summary(name if name in self.store.now else self._called(name))

    def _called(self, name: str) -> str:
        if segment_name.hour(name) == segment_name.BEGINNING:
            return name
        hour = datetime.fromtimestamp(now_ms(self.life.world.loop) / 1000, UTC)
        return name.replace(segment_name.hour(name), f"{hour:%Y-%m-%dT%H}")


class NewestHour(RemoteStore):
    """Not "the last segment is that whose name sorts last": the last one of the newest hour."""

    async def last(self, partition: Partition, *, known: str = "") -> str | None:
        """Look at the newest hour alone."""
        del known
        names = await self.names(partition)
        return max(names, key=lambda name: (segment_name.hour(name), name), default=None)


class Believing(RemoteStore):
    """Not "the hint is no authority": a segment that was seen is taken for the last."""

    async def last(self, partition: Partition, *, known: str = "") -> str | None:
        """Search only where no segment is known."""
        return known or await super().last(partition)


class Hasty(Blind):
    """Not "the next begins only after that is confirmed": it begins at once."""

    def __init__(self, store: RemoteStore) -> None:
        super().__init__(store)
        self._loop = store.life.world.loop
        self._elsewhere: dict[Partition, Elsewhere] = {}

    async def handle(self, batch: Batch) -> None:
        """Take it, and write it sometime."""
        if elsewhere := self._elsewhere.pop(batch.partition, None):
            raise elsewhere
        self._loop.spawn(self._write(batch))

    async def _write(self, batch: Batch) -> None:
        while True:
            try:
                return await super().handle(batch)
            except Elsewhere as elsewhere:
                self._elsewhere[batch.partition] = elsewhere
                return None
            except Unavailable:
                await asyncio.sleep(1)


class Stubborn(Blind):
    """Not "who finds that it exists drops what it holds"."""

    async def handle(self, batch: Batch) -> None:
        """Write it, or take the one that is there for it."""
        try:
            await super().handle(batch)
        except Elsewhere as elsewhere:
            if elsewhere.next_offset is None or elsewhere.next_offset < batch.begins_at:
                raise


class Committed(Blind):
    """Not "behind the last segment that is listed": at the committed offset, or the beginning."""

    def __init__(self, store: RemoteStore) -> None:
        super().__init__(store)
        self._topic = store.store.topic

    async def position(self, partition: Partition) -> Position | None:
        """Ask Kafka."""
        log = self._topic.logs[partition]
        return Position(max(log.start, self._topic.committed.get(partition, 0)))


class Remembering(Blind):
    """Not "behind the last segment that is listed": behind the last that it has seen itself."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._behind: dict[Partition, int] = {}

    async def position(self, partition: Partition) -> Position | None:
        """Ask the store once only."""
        if partition in self._behind:
            return Position(self._behind[partition])
        return await super().position(partition)

    async def handle(self, batch: Batch) -> None:
        """Write it, and remember where it ends."""
        await super().handle(batch)
        self._behind[batch.partition] = batch.next_offset


class NoBeginning(Blind):
    """Not "the first object decides where the chain begins": each begins where the topic does."""

    def __init__(self, store: RemoteStore) -> None:
        super().__init__(store)
        self._begun: dict[Partition, Position] = {}

    async def begin(self, partition: Partition, position: Position) -> None:
        """Remember it alone."""
        self._begun[partition] = position

    async def position(self, partition: Partition) -> Position | None:
        """Ask the store, or the memory."""
        position = await super().position(partition)
        if position is None and partition in self._begun:
            return self._begun[partition]
        return position


async def delete_all(store: Store, going: Sequence[expire.Segment]) -> None:
    """Delete them, and let the chain have no beginning behind them."""
    for each in going:
        with contextlib.suppress(SegmentNotFound):
            await store.delete(each.name)


def above_log_start(each: expire.Segment, *, log_start: int, before_ms: int) -> bool:
    """Tell whether it is old, wherever the topic begins."""
    del log_start
    return max(each.summary.last_timestamp_ms, each.stored_ms) < before_ms


# Without these, records are lost or doubled.
NEEDED = {
    "created in any case": Rules(store=Overwriting, archive=Blind),
    "named by the writer's clock": Rules(remote=NamedByTheWriter, archive=Blind),
    "the next begun before the last is confirmed": Rules(archive=Hasty),
    "the loser keeps what it holds": Rules(archive=Stubborn),
    "begun at the committed offset": Rules(archive=Committed),
    "expired above the log start": Rules(may_go=above_log_start, archive=Blind),
    "what is held has no bound of age": Rules(batch_age_s_max=float("inf"), archive=Blind),
}
# Without these, consumers stop with nothing lost, or verify misses what a chain begins with.
USEFUL = {
    "begun behind the last segment in memory": Rules(archive=Remembering),
    "the beginning is not in the store": Rules(archive=NoBeginning),
    "the last segment is that of the newest hour": Rules(remote=NewestHour),
    "the hint is believed": Rules(remote=Believing),
    "the last segment expires": Rules(keeps_last=False, delete=delete_all, archive=Blind),
}
