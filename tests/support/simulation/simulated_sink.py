"""A sink in memory that many processes write, and checks of its records after each write."""

import asyncio
from dataclasses import replace
from typing import Any

from support.fakes import MemoryDeadLetters, MemorySink
from support.simulation.simulated_kafka import Topic
from support.simulation.simulated_world import World

from consumers.runtime.batch import Batch, Partition, Position, Record
from consumers.runtime.handler import Unavailable


class CheckedSink(MemorySink):
    """Keeps effect and position together; after each write its records are those before it."""

    def __init__(self, topic: Topic, dead_letters: MemoryDeadLetters) -> None:
        super().__init__()
        self._topic = topic
        self._dead_letters = dead_letters
        # Each state of the sink: its time, the positions, the last records.
        self.stood: list[tuple[float, dict[Partition, int], dict[Partition, Any]]] = []

    def bad(self, offset: int) -> bool:
        """Return whether the record can never be applied."""
        return offset in self.rejects or offset in self.chokes_on

    async def store_first_position(self, partition: Partition, position: Position) -> None:
        """Begin, and note the state."""
        await super().store_first_position(partition, position)
        self.note()

    async def handle(self, batch: Batch) -> None:
        """Apply the batch, and check the sink."""
        if isinstance(batch.packed, PackedList):
            batch = replace(batch, records=[*batch.packed.records, *batch.records], packed=None)
        await super().handle(batch)
        self.note()
        self.check(batch.partition)

    def note(self) -> None:
        """Note the present state."""
        self.stood.append((self._topic.world.loop.time(), dict(self.expects), dict(self.last)))
        for partition, at in self.expects.items():
            self._topic.in_sink[partition] = max(self._topic.in_sink.get(partition, 0), at)

    def check(self, partition: Partition) -> None:
        """Note each fault: a gap, a record twice, a rejected record that is not a dead letter."""
        before = [
            record.offset
            for record in self._topic.logs[partition].records
            if record.offset < self.expects[partition]
        ]
        applied = self.applied.get(partition, [])
        if applied != [offset for offset in before if not self.bad(offset)]:
            self._topic.world.wrong.append(f"{partition} has {applied} of {before}")
        for offset in filter(self.bad, before):
            if offset not in self._dead_letters.offsets:
                self._topic.world.wrong.append(f"{partition}: {offset} is not a dead letter")


class PackedList:
    """Packed records that are as large as before, some more at every await."""

    def __init__(self) -> None:
        self.records: list[Record] = []

    @property
    def held_bytes(self) -> int:
        """Count records instead of bytes."""
        return len(self.records)

    async def add(self, records: list[Record]) -> None:
        """Take the records sometime, as a thread does."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self.records.extend, tuple(records))
        records.clear()


class FailingDeadLetters(MemoryDeadLetters):
    """A dead-letter topic that is sometimes unavailable."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    async def send(self, *record: Any, **tried: Any) -> None:
        """Send the record, or fail."""
        if self._world.hit("no dead letters"):
            raise Unavailable("no dead letters now")
        await super().send(*record, **tried)
