"""A simulated run in which the topic is recreated or restored under its consumers."""

import asyncio
from collections.abc import Callable

from support.fakes import MemoryDeadLetters
from support.simulation.seeded_loop import SeededLoop
from support.simulation.simulated_kafka import Log
from support.simulation.simulated_run import RATES
from support.simulation.simulated_sink import CheckedSink
from support.simulation.simulated_world import Life, World, silent
from support.simulation.simulation import RemoteSink, Simulation

from consumers.runtime.batch import Limits, Partition
from consumers.runtime.handler import Handler
from schemas.callback_record import place

STOPPED_S = 60.0

Connect = Callable[[Life, Handler], Handler]


class UnmixedSink(CheckedSink):
    """A sink that may have the records of the old topic or of the new one, never of both."""

    def remember(self, logs: dict[Partition, Log]) -> None:
        """Keep the records of the topic before it changes."""
        self._before = {p: [place(r.headers) for r in log.records] for p, log in logs.items()}

    def is_of_the_present(self, partition: Partition) -> bool:
        """Return whether the present topic has all records of the sink, in the same order."""
        held = self._held(partition)
        present = [place(r.headers) for r in self._topic.logs[partition].records]
        return held == present[: len(held)]

    def check(self, partition: Partition) -> None:
        """Note each fault: records of two topics, a gap, or a record twice."""
        if not self._topic.changed:
            return super().check(partition)
        held = self._held(partition)
        if held != self._before[partition][: len(held)] and not self.is_of_the_present(partition):
            self._topic.world.wrong.append(f"{partition} has {held}, of neither topic")
        return None

    def _held(self, partition: Partition) -> list[tuple[str, int]]:
        return [self._places[partition, offset] for offset in self.applied.get(partition, [])]


class TopicRun:
    """A simulated run of one seed."""

    def __init__(self, seed: int, *, connect: Connect = RemoteSink) -> None:
        self.loop = SeededLoop(seed)
        chance = self.chance = self.loop.chance
        world = World(self.loop)
        self.faults, self.wrong = world.faults, world.wrong
        dead_letters = MemoryDeadLetters()
        self.simulation = Simulation(
            world,
            partitions=chance.randint(1, 3),
            value=b"{}",
            connect=lambda life: connect(life, self.sink),
            limits=Limits(
                records=chance.choice((1, 3, 8, 100)),
                bytes=1 << 40,
                age_s=chance.choice((0.5, 5, 60)),
            ),
            dead_letters=dead_letters,
        )
        self.topic = self.simulation.topic
        self.sink = UnmixedSink(self.topic, dead_letters)

    def go(self) -> "TopicRun":
        """Run to the end; `wrong` has the faults of the consumer."""
        with silent():
            self.loop.run(self._main())
        self.wrong += map(str, self.loop.complaints)
        return self

    async def _main(self) -> None:
        chance, simulation = self.chance, self.simulation
        for _ in range(chance.randint(1, 3)):
            simulation.start()
        rates = {
            fault: chance.choice(rates) for fault, rates in RATES.items() if chance.random() < 0.4
        }
        simulation.world.rates = rates
        simulation.rebalance()
        await self._traffic(chance.randint(3, 15))
        if chance.random() < 0.8:
            # The sink has all records, or nearly all.
            await simulation.come_to_rest()
            simulation.world.rates = rates
            await self._traffic(chance.choice((0, 1, 3)))
        self.sink.remember(self.topic.logs)
        change = chance.choice((self.topic.recreate, self.topic.restore))
        self.faults[change.__name__] += 1
        change()
        await self._traffic(chance.choice((0, 3, 15)))
        await simulation.come_to_rest()
        await asyncio.sleep(STOPPED_S)
        # The group assigns the partitions of a stopped process to the others.
        left = 0
        while left != (left := len(simulation.living())):
            simulation.rebalance()
            await asyncio.sleep(STOPPED_S)
        for partition in self.topic.logs:
            self.sink.check(partition)
        if simulation.living() and not self._all_is_in_the_sink():
            self.wrong.append(f"it goes on at {self.sink.expects}")
        self.faults[f"went on after {change.__name__}"] += bool(simulation.living())

    async def _traffic(self, times: int) -> None:
        for _ in range(times):
            roll = self.chance.random()
            if roll < 0.6:
                for _ in range(self.chance.choice((1, 1, 5))):
                    self.chance.choice(list(self.topic.logs.values())).produce()
            elif roll < 0.8:
                self.simulation.rebalance()
            else:
                life = self.simulation.one().life
                self.loop.spawn(life.sleep(self.chance.choice((1, 7, 40))))
            await asyncio.sleep(self.chance.choice((0, 0.1, 1, 5, 30)))

    def _all_is_in_the_sink(self) -> bool:
        ends = {partition: log.end for partition, log in self.topic.logs.items()}
        return self.sink.expects == ends and all(map(self.sink.is_of_the_present, ends))
