"""A simulated run of one seed: events of a sink, its processes and the topic, and the result."""

import asyncio

from support.builders import reached
from support.simulation.seeded_loop import SeededLoop
from support.simulation.simulated_kafka import RETENTION_S
from support.simulation.simulated_sink import CheckedSink, FailingDeadLetters
from support.simulation.simulated_world import World, silent
from support.simulation.simulation import RemotePackingSink, RemoteSink, Simulation

from consumers.runtime.batch import Batch, Limits
from schemas.telemetry import CONSUMER_METRICS

# The possible probabilities of each fault. Each run that is not calm has some faults.
RATES = {
    "not notified": (0.2, 0.6),
    "unavailable": (0.02, 0.2),
    "answer lost": (0.02, 0.2),
    "slow": (0.02, 0.1),
    "sleep": (0.002, 0.02, 0.1),
    "not committed": (0.3, 0.9),
    "client lost": (0.005, 0.02),
    "no dead letters": (0.3, 0.6),
}
EVENTS = ("kill", "stop", "long sleep", "put back", "another writer", "commits lost")
SETTLED_S = 300
LARGE = b"x" * 400_000


class Run:
    """A run. In a calm one partitions are only rebalanced in good order."""

    def __init__(self, seed: int) -> None:
        self.loop = SeededLoop(seed)
        chance = self.chance = self.loop.chance
        self.calm = seed % 5 == 0
        # Packed records are large, so that some are packed before their batch is complete.
        packing = chance.random() < 0.3
        size = len(LARGE) if packing else 1
        world = World(self.loop)
        self.faults, self.wrong = world.faults, world.wrong
        self.dead_letters = FailingDeadLetters(world)
        self.simulation = Simulation(
            world,
            partitions=chance.randint(1, 3),
            value=LARGE[:size],
            connect=lambda life: (RemotePackingSink if packing else RemoteSink)(life, self.sink),
            limits=Limits(
                records=chance.choice((1, 3, 8, 100)),
                bytes=chance.choice((400, 1500 + 5 * size, 1 << 40)),
                age_s=chance.choice((0.5, 5, 60)),
                period_s=chance.choice((None, 3600)),
            ),
            dead_letters=self.dead_letters,
            held_bytes_max=chance.choice((1000 + 5 * size, 1 << 40)),
        )
        self.topic = self.simulation.topic
        self.sink = CheckedSink(self.topic, self.dead_letters)
        if not packing:
            self.sink.rejects = self._some_offsets()
            self.sink.chokes_on = self._some_offsets()
        self._events = [each for each in EVENTS if not self.calm and chance.random() < 0.5]

    def _some_offsets(self) -> set[int]:
        share = self.chance.choice((0, 0.05, 0.2))
        starts = [log.start for log in self.topic.logs.values()]
        return {o for at in starts for o in range(at, at + 100) if self.chance.random() < share}

    def go(self) -> "Run":
        """Run to the end; `wrong` has the faults of the consumer."""
        resets = CONSUMER_METRICS.get_sample_value("consumer_position_resets_total")
        with silent():
            self.loop.run(self._main())
        resets_now = CONSUMER_METRICS.get_sample_value("consumer_position_resets_total")
        if self.calm and resets_now != resets:
            self.wrong.append("the sink was not where its only writer left it")
        self.wrong += map(str, self.loop.complaints)
        return self

    async def _main(self) -> None:
        chance = self.chance
        for _ in range(chance.randint(2, 4)):
            self.simulation.start()
        if not self.calm:
            self.simulation.world.rates = {
                fault: chance.choice(rates)
                for fault, rates in RATES.items()
                if chance.random() < 0.5
            }
        self.simulation.rebalance()
        for _ in range(chance.randint(10, 40)):
            await self._something_happens()
            await asyncio.sleep(chance.choice((0, 0, 0, 0.1, 1, 5, 30)))
        await self.simulation.come_to_rest()
        await self._all_comes_into_the_sink()
        if not self.calm:
            # No rebalance helps after a restored copy and after an outage now.
            await self._put_back()
            await self._all_comes_into_the_sink()
            self.simulation.world.rates = {"unavailable": 1}
            for log in self.topic.logs.values():
                log.produce()
            await asyncio.sleep(30)
            self.simulation.world.rates = {}
            await self._all_comes_into_the_sink()

    async def _something_happens(self) -> None:
        roll = self.chance.random()
        if roll < 0.4:
            self.chance.choice(list(self.topic.logs.values())).produce()
        elif roll < 0.6 or not self._events:
            self.simulation.rebalance()
        else:
            event = self.chance.choice(self._events)
            self.faults[event] += 1
            await getattr(self, "_" + event.replace(" ", "_"))()
        if self.chance.random() < 0.3:
            self._retain()

    async def _all_comes_into_the_sink(self) -> None:
        ends = {partition: log.end for partition, log in self.topic.logs.items()}
        for _ in range(SETTLED_S // 5):
            if self.sink.expects == ends:
                break
            await asyncio.sleep(5)
        else:
            self.wrong.append(f"it has stopped at {self.sink.expects} of {ends}")
        for partition in self.sink.expects:
            self.sink.check(partition)

    def _retain(self) -> None:
        """Let retention delete records that the sink has had for some time."""
        since_s, stood = self.loop.time() - RETENTION_S, self.sink.stood
        older = sum(at_s < since_s for at_s, *_ in stood)
        if older:
            for partition, log in self.topic.logs.items():
                log.retain(min(expects.get(partition, 0) for _, expects, _ in stood[older - 1 :]))

    async def _kill(self) -> None:
        self.simulation.one().life.kill()
        self.simulation.start()

    async def _stop(self) -> None:
        self.simulation.one().stopping.set()
        self.simulation.start()

    async def _long_sleep(self) -> None:
        await self.simulation.long_sleep(1.5 * RETENTION_S)

    async def _put_back(self) -> None:
        """Restore the sink to a former state after which the topic still has all records."""
        _, expects, last = self.chance.choice(self.sink.stood or [(0, {}, {})])
        logs, now = self.topic.logs, self.sink.expects
        if expects.keys() == logs.keys() == now.keys() and all(
            logs[p].start <= expects[p] <= now[p] for p in logs
        ):
            self.sink.put_back(dict(expects))
            self.sink.last = dict(last)
            self.sink.note()

    async def _another_writer(self) -> None:
        for partition in list(self.sink.expects):
            at = self.sink.expects[partition]
            records = [r for r in self.topic.logs[partition].records if r.offset >= at][:2]
            if records and not any(self.sink.bad(r.offset) for r in records):
                await self.sink.handle(
                    Batch(
                        partition=partition,
                        begins_at=at,
                        reached=reached(records, topic_id=self.topic.id),
                        records=records,
                    )
                )

    async def _commits_lost(self) -> None:
        self.topic.committed.clear()
