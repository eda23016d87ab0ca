"""A topic and its consumers' clients in memory; simulation.py has the group."""

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import TypeVar

from aiokafka.errors import KafkaError
from support.builders import a_record
from support.simulation.seeded_loop import SeededLoop
from support.simulation.simulated_world import Life, World

from consumers.runtime.batch import Partition, Record
from consumers.runtime.source import FetchedRecords, LogIdentity, OutOfRange
from schemas.outgoing_record import ORIGIN

T = TypeVar("T")

HOUR_MS = 3_600_000
FIRST_MS = 1_700_000_000_000
YEAR_MS = 366 * 24 * HOUR_MS
RETENTION_S = 3600.0
# The share of transactions before which the broker's clock is set to another year, or right.
CLOCK_JUMPS = 0.1


def now_ms(loop: SeededLoop) -> float:
    """Return the time of day, in ms since 1970."""
    return FIRST_MS + loop.time() * 1000


class Log:
    """A partition: all records that ever existed, its present beginning, its end."""

    def __init__(self, world: World, start: int, value: bytes) -> None:
        self.records: list[Record] = []
        self.start = self.end = self.first = start
        # The origin of the records that are produced next.
        self.origin = b"o" * 16
        self._world = world
        self._value = value
        # The present error of the broker's clock.
        self._skew_ms = 0

    def produce(self) -> None:
        """Append a transaction: some records and a marker, or the marker of an aborted one."""
        chance = self._world.chance
        count = chance.randint(1, 4)
        if chance.random() < 0.9:
            self._skew_ms += chance.choice((0, 0, HOUR_MS // 3, -HOUR_MS // 2))
            if chance.random() < CLOCK_JUMPS:
                self._skew_ms = chance.choice((0, YEAR_MS, -YEAR_MS, 9 * YEAR_MS))
                self._world.faults["clock jumps"] += 1
            timestamp_ms = int(now_ms(self._world.loop)) + self._skew_ms
            made = (
                a_record(offset, timestamp_ms=timestamp_ms, value=self._value)
                for offset in range(self.end, self.end + count)
            )
            self.records += [self._of_origin(record) for record in made]
        self.end += count + 1

    def cut(self, end: int, origin: bytes) -> None:
        """Lose the records from `end` on; later records are of another origin."""
        self.records = [record for record in self.records if record.offset < end]
        self.end, self.start, self.origin = end, min(self.start, end), origin

    def _of_origin(self, record: Record) -> Record:
        headers = [(n, self.origin if n == ORIGIN else v) for n, v in record.headers]
        return record._replace(headers=tuple(headers))

    def retain(self, start: int) -> None:
        """Let retention delete the records before `start`."""
        if start > self.start:
            self.start = start
            self._world.faults["retention"] += 1

    def read(self, at: int) -> FetchedRecords:
        """Return some records from `at` on, or none, and the offset of the next fetch."""
        index = next((i for i, r in enumerate(self.records) if r.offset >= at), len(self.records))
        records = self.records[index : index + self._world.chance.randint(0, 4)]
        # After the markers that follow, or before them, if they have not been read yet.
        index += len(records)
        next_at = self.records[index].offset if index < len(self.records) else self.end
        after_last = records[-1].offset + 1 if records else at
        return FetchedRecords(records, self._world.chance.choice((after_last, next_at)))


class Topic:
    """A topic as the brokers have it."""

    def __init__(self, world: World, *, partitions: int, value: bytes) -> None:
        self.world = world
        # Disjoint offsets reveal a mix-up of partitions.
        self.logs = {Partition("t", n): Log(world, 1000 * n, value) for n in range(partitions)}
        self.committed: dict[Partition, int] = {}
        # The highest position that the sink ever had; no higher offset may be committed.
        self.in_sink: dict[Partition, int] = {}
        self.generation = 0
        self.id: str | None = "the first topic"
        # The text of the error with which consumers may stop after a change of the topic.
        self.changed = ""
        # The number of restores from an older copy.
        self.restored = 0
        self.poll_s = 3.0
        # While a process is suspended for hours.
        self.poll_s_max = 200.0

    def recreate(self) -> None:
        """Delete the topic and create it again: with the same name, another id, and no records."""
        self.id, self.changed = "the second topic", "created again"
        self.committed.clear()
        for log in self.logs.values():
            log.start = log.first
            log.cut(log.first, b"n" * 16)

    def restore(self) -> None:
        """Restore an older copy: the same id, and the records of that time."""
        self.restored += 1
        self.changed = "restored from an older copy"
        for log in self.logs.values():
            ends = [record.offset for record in log.records if record.offset >= log.start]
            log.cut(self.world.chance.choice([*ends[-6:], log.end]), b"n" * 16)


class Source:
    """A client of one process."""

    def __init__(self, topic: Topic, life: Life) -> None:
        self._topic = topic
        self._life = life
        self._generation = -1
        self._positions: dict[Partition, int | None] = {}

    def assign(self, partitions: Sequence[Partition], generation: int) -> None:
        """Assign partitions, without a position."""
        self._generation = generation
        self._positions = dict.fromkeys(partitions)

    async def fetch(self, partitions: Collection[Partition]) -> Mapping[Partition, FetchedRecords]:
        """Return some records or none, from the positions after the wait."""
        await self._life.passes()
        world, logs = self._topic.world, self._topic.logs
        more = any(logs[p].end > (self._positions.get(p) or 0) for p in partitions)
        if not more or world.chance.random() < 0.3:
            await asyncio.sleep(world.chance.random() * self._topic.poll_s)
            await self._life.passes()
        if world.hit("client lost"):
            raise KafkaError
        wanted = {p: at for p in partitions if (at := self._positions.get(p)) is not None}
        refused = {p: at for p, at in wanted.items() if not logs[p].start <= at <= logs[p].end}
        if refused:
            raise OutOfRange(refused)
        fetched = {partition: logs[partition].read(at) for partition, at in wanted.items()}
        self._positions |= {
            partition: each.next_fetch_offset for partition, each in fetched.items()
        }
        return fetched

    def seek(self, partition: Partition, next_offset: int) -> None:
        """Fetch from `next_offset` on, if the partition is assigned."""
        if partition in self._positions:
            self._positions[partition] = next_offset

    def cached_end_offset(self, partition: Partition) -> int | None:
        """Return the end of the partition."""
        return self._topic.logs[partition].end

    async def committed(self, partition: Partition) -> int | None:
        """Return the group's committed offset."""
        return await self._life.ask(
            partial(_returned, lambda: self._topic.committed.get(partition))
        )

    async def log_start(self, partition: Partition) -> int:
        """Return the log start offset of the partition."""
        return await self._life.ask(partial(_returned, lambda: self._topic.logs[partition].start))

    async def end_offset(self, partition: Partition) -> int:
        """Return the end of the partition."""
        return await self._life.ask(partial(_returned, lambda: self._topic.logs[partition].end))

    async def log_identity(self, _partition: Partition, *, since: float) -> LogIdentity:
        """Return the identity of the topic."""
        del since
        return await self._life.ask(
            partial(_returned, lambda: LogIdentity(self._topic.id, self._topic.restored))
        )

    def commit(self, partition: Partition, next_offset: int) -> None:
        """Commit the offset, if the client is still a member."""
        if next_offset > self._topic.in_sink.get(partition, -1):
            wrong = f"{partition}: {next_offset} is committed and not in the sink"
            self._topic.world.wrong.append(wrong)
        self._topic.world.loop.spawn(self._commit(partition, next_offset, self._generation))

    async def _commit(self, partition: Partition, next_offset: int, generation: int) -> None:
        await self._life.passes()
        if generation == self._topic.generation and not self._topic.world.hit("not committed"):
            self._topic.committed[partition] = next_offset


async def _returned(read: Callable[[], T]) -> T:
    return read()
