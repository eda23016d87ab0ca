"""The real archive on a store in memory: suspended writers, late creates, expiry."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import orjson
import pytest
from support.fakes import MemoryDeadLetters
from support.simulation.seeded_loop import SeededLoop
from support.simulation.simulated_kafka import Topic, now_ms
from support.simulation.simulated_store import MemoryStore, RemoteStore, in_order
from support.simulation.simulated_world import Life, World, silent
from support.simulation.simulation import Simulation

from consumers.archive import segment
from consumers.archive.consumer import ArchiveHandler
from consumers.archive.store import SegmentStore
from consumers.archive.store_errors import SegmentNotFound
from consumers.runtime import batch_queue, partition_worker
from consumers.runtime.batch import Limits, Partition
from consumers.runtime.handler import Handler, Unavailable
from ops.archive import expire, soundness

RATES = {
    "not notified": (0.2, 0.6),
    "unavailable": (0.02, 0.2),
    "answer lost": (0.02, 0.2),
    "timed out": (0.5, 1),
    "slow": (0.02, 0.1),
    "hint lies": (0.1, 0.5),
    "sleep": (0.002, 0.02, 0.1),
    "not committed": (0.3, 0.9),
    "client lost": (0.005, 0.02),
}
RETENTION_S = 7200.0
EXPIRY_AGE_S = 3600.0
SLEEP_S = 5 * 3600.0
SETTLED_S = 1000


async def _delete(store: SegmentStore, going: Sequence[expire.StoredSegment]) -> None:
    await expire.delete(store, going, lambda: None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The rules by which the chain is written and expired; a test may relax one."""

    store: Callable[[Topic], MemoryStore] = MemoryStore
    remote: Callable[[MemoryStore, Life], RemoteStore] = RemoteStore
    archive: Callable[[RemoteStore], Handler] = ArchiveHandler
    batch_overdue_s_max: float = partition_worker.BATCH_OVERDUE_S_MAX
    keeps_last: bool = True
    delete: Callable[[SegmentStore, Sequence[expire.StoredSegment]], Awaitable[None]] = _delete
    may_expire: Callable[..., bool] = expire.may_expire


class ArchiveRun:
    """A simulated run of one seed."""

    def __init__(self, seed: int, rules: Rules) -> None:
        self.loop = SeededLoop(seed)
        chance = self.chance = self.loop.chance
        self._rules = rules
        world = World(self.loop)
        self.faults, self.wrong = world.faults, world.wrong
        # Faults: records that are missing between others, or that are in the archive twice.
        self.broken: list[str] = []
        self.simulation = Simulation(
            world,
            partitions=chance.randint(1, 2),
            value=b"{}",
            connect=lambda life: rules.archive(rules.remote(self.store, life)),
            limits=Limits(
                records=chance.choice((1, 3, 8, 100)),
                bytes=chance.choice((400, 2000, 1 << 40)),
                age_s=chance.choice((0.5, 5, 60)),
                period_s=3600,
            ),
            dead_letters=MemoryDeadLetters(),
        )
        self.topic = self.simulation.topic
        self.topic.poll_s_max = 600
        self.store = rules.store(self.topic)
        self._retention_rate = chance.choice((0.05, 0.8))
        # The connection that expires segments.
        self._operator = RemoteStore(self.store, Life(world))

    def go(self) -> "ArchiveRun":
        """Run to the end; `wrong` has the faults of the archive."""
        loop = self.loop

        with silent(), pytest.MonkeyPatch.context() as patch:
            patch.setattr(partition_worker, "BATCH_OVERDUE_S_MAX", self._rules.batch_overdue_s_max)
            # The batches of the simulation are far smaller.
            patch.setattr(batch_queue, "LOWERED_BYTES_MIN", 300)
            loop.run(self._main())
        self.wrong += [*self.broken, *map(str, loop.complaints)]
        return self

    async def _main(self) -> None:
        chance, world = self.chance, self.simulation.world
        for _ in range(chance.randint(2, 4)):
            self.simulation.start()
        world.rates = {
            fault: chance.choice(rates) for fault, rates in RATES.items() if chance.random() < 0.6
        }
        self.simulation.rebalance()
        self.loop.spawn(self._keep_house())
        for _ in range(chance.randint(10, 40)):
            await self._something_happens()
            await asyncio.sleep(chance.choice((0, 0, 0, 0.1, 1, 5, 30)))
        await self.simulation.come_to_rest()
        for _ in range(SETTLED_S // 5):
            if all(log.end == self.topic.in_sink.get(p) for p, log in self.topic.logs.items()):
                break
            await asyncio.sleep(5)
        else:
            self.wrong.append(f"it has stopped at {self.topic.in_sink}")
        for partition in self.topic.logs:
            self._check(partition)

    async def _something_happens(self) -> None:
        roll = self.chance.random()
        if roll < 0.5:
            self.chance.choice(list(self.topic.logs.values())).produce()
        elif roll < 0.7:
            self.simulation.rebalance()
        elif roll < 0.8:
            self.faults["kill"] += 1
            self.simulation.one().life.kill()
            self.simulation.start()
        elif roll < 0.9:
            self.faults["commits lost"] += 1
            self.topic.committed.clear()
        else:
            await self._long_sleep()

    async def _long_sleep(self) -> None:
        """Suspend a process that holds records which it could not write, or that holds none."""
        rates = self.simulation.world.rates
        self.faults["long sleep"] += 1
        if self.chance.random() < 0.5:
            self.simulation.world.rates = rates | {"unavailable": 1}
            for log in self.topic.logs.values():
                log.produce()
            await asyncio.sleep(self.chance.choice((1, 5, 10)))
        sleeping = self.loop.begin(self.simulation.long_sleep(SLEEP_S))
        self.simulation.world.rates = rates
        await sleeping

    async def _keep_house(self) -> None:
        """At intervals let retention delete records, and expire segments, with some traffic."""
        while True:
            await asyncio.sleep(self.chance.choice((60, 1000, 3000)))
            if self.chance.random() < 0.5 and self.topic.poll_s == self.topic.poll_s_max:
                self.chance.choice(list(self.topic.logs.values())).produce()
            self._retain()
            for partition in self.topic.logs:
                with contextlib.suppress(Unavailable):
                    await self._expire(partition)

    def _retain(self) -> None:
        """Let retention delete records that the chain has had for some time."""
        since_s, ends = self.loop.time() - RETENTION_S, self.store.ends
        older = [each for at_s, each in ends if at_s < since_s]
        for partition, log in self.topic.logs.items():
            if older and self.chance.random() < self._retention_rate:
                log.retain(self.chance.choice((*older, older[-1])).get(partition, 0))

    async def _expire(self, partition: Partition) -> None:
        """Do as `ops.archive.expire` does, whose plan asks a real Kafka for the beginning."""
        before_ms = int(now_ms(self.loop) - EXPIRY_AGE_S * 1000)
        log_start = self.topic.logs[partition].start
        names = await self._operator.names(partition)
        oldest: list[expire.StoredSegment] = []
        for name in names[:-1] if self._rules.keeps_last else names:
            with contextlib.suppress(SegmentNotFound):
                summary = await self._operator.summary(name)
                stored_ms = self.store.stored_ms[name]
                each = expire.StoredSegment(name=name, summary=summary, size=0, stored_ms=stored_ms)
                if not self._rules.may_expire(each, log_start=log_start, before_ms=before_ms):
                    break
                oldest.append(each)
        if going := expire.to_delete(oldest):
            self.faults["expired"] += len(going)
            await self._rules.delete(self._operator, going)

    def _check(self, partition: Partition) -> None:
        """Note records that were ever doubled or missing, and the faults that verify finds."""
        ever = sorted(
            (each for each in self.store.ever if each[0].startswith(f"{partition}/")),
            key=lambda each: each[0],
        )
        offsets = [
            orjson.loads(line)["offset"]
            for _, content in ever
            for line in segment.read_lines(content)
        ]
        expected = [record.offset for record in self.topic.logs[partition].records]
        if offsets != expected[: len(offsets)]:
            self.broken.append(f"{partition} has {offsets} of {expected}")
        verified = soundness.Chain()
        for name in in_order(self.store.now, partition):
            checked = soundness.check(name, self.store.now[name])
            verified.add(checked)
            self.wrong += checked.faults
        self.wrong += [f"{name}: {fault}" for name, fault in verified.faults]
