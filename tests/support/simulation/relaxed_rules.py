"""The archive with one of its rules relaxed, each in turn; most also relax that of `Blind`."""

import asyncio
import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime

from support.simulation.simulated_archive import Rules
from support.simulation.simulated_kafka import now_ms
from support.simulation.simulated_store import MemoryStore, RemoteStore

from consumers.archive import new_segment, segment, segment_name
from consumers.archive.consumer import ArchiveHandler
from consumers.archive.store import SegmentStore
from consumers.archive.store_errors import SegmentNotFound
from consumers.runtime.batch import Batch, Partition, Position
from consumers.runtime.handler import PositionDiffers, Unavailable
from ops.archive import expire


class Blind(ArchiveHandler):
    """
    Not "a batch begins where the chain ends".

    That rule is for a store that is restored. It hides the effect of most other rules, except
    between the check and the create.
    """

    async def handle(self, batch: Batch) -> None:
        """Write the batch without a check of the chain."""
        if batch.packed is None:
            return await super().handle(batch)
        return await self._create(batch.partition, *new_segment.of_batch(batch))


class Overwriting(MemoryStore):
    """Not "created only if absent"."""

    async def create(self, name: str, content: bytes) -> None:
        """Store the segment in any case."""
        self.keep(name, content)


class NamedByTheWriter(RemoteStore):
    """Not "its name is made of its first record": the hour is the writer's own."""

    async def create(self, name: str, content: bytes) -> None:
        """Create the segment under another name."""
        await super().create(self._called(name), content)

    async def summary(self, name: str) -> segment.SegmentSummary:
        """Ask for an existing segment: for that of this hour."""
        return await super().summary(name if name in self.store.now else self._called(name))

    def _called(self, name: str) -> str:
        if segment_name.hour(name) == segment_name.BEGINNING:
            return name
        hour = datetime.fromtimestamp(now_ms(self.life.world.loop) / 1000, UTC)
        return name.replace(segment_name.hour(name), f"{hour:%Y-%m-%dT%H}")


class NewestHour(RemoteStore):
    """Not "the last segment is that whose name sorts last": the last one of the newest hour."""

    async def last(self, partition: Partition, *, search_from: str = "") -> str | None:
        """Look only at the newest hour."""
        del search_from
        names = await self.names(partition)
        return max(names, key=lambda name: (segment_name.hour(name), name), default=None)


class Believing(RemoteStore):
    """Not "the hint may be wrong": a segment that was seen is taken for the last."""

    async def last(self, partition: Partition, *, search_from: str = "") -> str | None:
        """Search only if no segment is known."""
        return search_from or await super().last(partition)


class Hasty(Blind):
    """Not "the next begins only after that is confirmed": it begins at once."""

    def __init__(self, store: RemoteStore) -> None:
        super().__init__(store)
        self._loop = store.life.world.loop
        self._differs: dict[Partition, PositionDiffers] = {}

    async def handle(self, batch: Batch) -> None:
        """Take the batch, and write it later."""
        if differs := self._differs.pop(batch.partition, None):
            raise differs
        self._loop.spawn(self._write(batch))

    async def _write(self, batch: Batch) -> None:
        while True:
            try:
                return await super().handle(batch)
            except PositionDiffers as differs:
                self._differs[batch.partition] = differs
                return None
            except Unavailable:
                await asyncio.sleep(1)


class Stubborn(Blind):
    """Not "a writer that finds the name taken drops its batch"."""

    async def handle(self, batch: Batch) -> None:
        """Write the batch, or treat the existing segment as the batch."""
        try:
            await super().handle(batch)
        except PositionDiffers as differs:
            if differs.next_offset is None or differs.next_offset < batch.begins_at:
                raise


class Committed(Blind):
    """Not "after the last segment that is listed": at the committed offset, or the beginning."""

    def __init__(self, store: RemoteStore) -> None:
        super().__init__(store)
        self._topic = store.store.topic

    async def position(self, partition: Partition) -> Position | None:
        """Return the committed offset."""
        log = self._topic.logs[partition]
        return Position(max(log.start, self._topic.committed.get(partition, 0)))


class Remembering(Blind):
    """Not "after the last segment that is listed": after the last that it has seen itself."""

    def __init__(self, store: SegmentStore) -> None:
        super().__init__(store)
        self._ends: dict[Partition, int] = {}

    async def position(self, partition: Partition) -> Position | None:
        """Ask the store only once."""
        if partition in self._ends:
            return Position(self._ends[partition])
        return await super().position(partition)

    async def handle(self, batch: Batch) -> None:
        """Write the batch, and remember its end."""
        await super().handle(batch)
        self._ends[batch.partition] = batch.next_offset


class NoBeginning(Blind):
    """Not "the first object decides where the chain begins": each begins where the topic does."""

    def __init__(self, store: RemoteStore) -> None:
        super().__init__(store)
        self._begun: dict[Partition, Position] = {}

    async def store_first_position(self, partition: Partition, position: Position) -> None:
        """Remember the position, but do not store it."""
        self._begun[partition] = position

    async def position(self, partition: Partition) -> Position | None:
        """Return the stored position, or the remembered one."""
        position = await super().position(partition)
        if position is None and partition in self._begun:
            return self._begun[partition]
        return position


async def delete_all(store: SegmentStore, going: Sequence[expire.StoredSegment]) -> None:
    """Delete the segments, and create no beginning after them."""
    for each in going:
        with contextlib.suppress(SegmentNotFound):
            await store.delete(each.name)


def above_log_start(each: expire.StoredSegment, *, log_start: int, before_ms: int) -> bool:
    """Return whether the segment is old, wherever the topic begins."""
    del log_start
    return max(each.summary.last_timestamp_ms, each.stored_ms) < before_ms


# Without one of these rules, records are lost or doubled.
NEEDED = {
    "created in any case": Rules(store=Overwriting, archive=Blind),
    "named by the writer's clock": Rules(remote=NamedByTheWriter, archive=Blind),
    "the next begun before the last is confirmed": Rules(archive=Hasty),
    "the loser keeps its batch": Rules(archive=Stubborn),
    "begun at the committed offset": Rules(archive=Committed),
    "expired above the log start": Rules(may_expire=above_log_start, archive=Blind),
    "held batches have no limit of age": Rules(batch_overdue_s_max=float("inf"), archive=Blind),
}
# Without one of these rules, consumers stop although no record is lost, or `verify` does not find
# the beginning of a chain.
USEFUL = {
    "begun after the last segment in memory": Rules(archive=Remembering),
    "the beginning is not in the store": Rules(archive=NoBeginning),
    "the last segment is that of the newest hour": Rules(remote=NewestHour),
    "the hint is believed": Rules(remote=Believing),
    "the last segment expires": Rules(keeps_last=False, delete=delete_all, archive=Blind),
}
