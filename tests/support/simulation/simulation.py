"""Processes of one consumer, each with a real runner, and the group that deals out partitions."""

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeAlias

from aiokafka.errors import KafkaError
from support.simulation.simulated_kafka import RETENTION_S, Source, Topic
from support.simulation.simulated_sink import PackedList
from support.simulation.simulated_world import Life, World

from consumers.runtime.batch import Batch, Limits, Partition, Position, Record
from consumers.runtime.dead_letters import DeadLetters
from consumers.runtime.handler import Handler, Rejected, Stopped
from consumers.runtime.runner import Runner

REBALANCE_S = 30.0

Connect: TypeAlias = Callable[[Life], Handler]


class Process:
    """One process of the consumer."""

    def __init__(self, simulation: "Simulation") -> None:
        self.life = Life(simulation.world)
        self.stopping = asyncio.Event()
        self._topic = simulation.topic
        self._source = Source(self._topic, self.life)
        self._told = simulation.world.loop.begin(asyncio.sleep(0))
        self._runner = Runner(
            name="simulated",
            handler=simulation.connect(self.life),
            limits=simulation.limits,
            dead_letters=_RemoteDeadLetters(self.life, simulation.dead_letters),
            set_aside_max=1000,
            held_bytes_max=simulation.held_bytes_max,
            clock=simulation.world.loop.time,
        )
        self._task = simulation.world.loop.begin(self._run())

    @property
    def holds(self) -> bool:
        """Whether it has fetched what is not in the sink."""
        lanes = self._runner._lanes.values()  # noqa: SLF001 - to have it sleep at the worst time
        return any(not lane.queue.is_empty for lane in lanes)

    async def _run(self) -> None:
        """Do as `consumers.runtime.process` does."""
        while self.life.alive and not self.stopping.is_set():
            try:
                await self._runner.run(self._source, self.stopping)
            except KafkaError:
                await self._runner.revoked()
                self._source = Source(self._topic, self.life)
            except Stopped as stopped:
                self._judge(stopped)
        self.life.kill()

    def _judge(self, stopped: Stopped) -> None:
        """Only one that slept until retention had passed it may find nothing at its place."""
        self.life.kill()
        world = self.life.world
        world.faults["stopped"] += 1
        if self._topic.changed and self._topic.changed in str(stopped):
            return
        if self.life.slept_s < RETENTION_S or "retention deleted" not in str(stopped):
            world.wrong.append(str(stopped))

    def take(self) -> asyncio.Task[None]:
        """Tell it that the group takes everything; the task ends when it has given it back."""
        self._tell(None)
        return self._told

    def give(self, share: Sequence[Partition]) -> None:
        """Tell it what the group gives."""
        self._tell(share)

    def _tell(self, share: Sequence[Partition] | None) -> None:
        hearing = self._hear(self._told, share, self._source, self._topic.generation)
        self._told = self.life.world.loop.begin(hearing)

    async def _hear(
        self,
        before: asyncio.Task[None],
        share: Sequence[Partition] | None,
        source: Source,
        generation: int,
    ) -> None:
        await asyncio.wait([before])
        asleep = self.life.asleep
        await self.life.passes()
        if asleep:
            # By its next heartbeat; it goes on until then.
            await asyncio.sleep(self.life.world.chance.choice((0, 3)))
            await self.life.passes()
        if source is not self._source:
            return  # that client has gone
        if self.stopping.is_set():
            await asyncio.wait([self._task])
        elif share is None:
            await self._runner.revoked()
        else:
            source.assign(share, generation)
            self._runner.assigned(source, share)


class Simulation:
    """A topic, a group, its processes. `connect` makes a process's handler."""

    def __init__(
        self,
        world: World,
        *,
        partitions: int,
        value: bytes,
        connect: Connect,
        limits: Limits,
        dead_letters: DeadLetters,
        held_bytes_max: int = 1 << 40,
    ) -> None:
        self.world = world
        self.topic = Topic(self.world, partitions=partitions, value=value)
        self.connect = connect
        self.limits = limits
        self.dead_letters = dead_letters
        self.held_bytes_max = held_bytes_max
        self.processes: list[Process] = []
        # How many the last rebalance did not wait for.
        self.left_out = 0
        self._rebalancing: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start another process; the next rebalance gives it its share."""
        self.processes.append(Process(self))

    def living(self) -> list[Process]:
        """Return the processes that were not killed."""
        return [process for process in self.processes if process.life.alive]

    def one(self) -> Process:
        """Return any process."""
        return self.world.chance.choice(self.living() or self.processes)

    def rebalance(self) -> None:
        """Begin to deal partitions out anew, if that is not under way."""
        if self._rebalancing is None or self._rebalancing.done():
            self.world.faults["rebalance"] += 1
            self._rebalancing = self.world.loop.begin(self._rebalance())

    async def _rebalance(self) -> None:
        self.topic.generation += 1
        heard = [each for each in self.living() if not self.world.hit("not told")]
        telling = [each.take() for each in heard]
        if telling:
            await asyncio.wait(telling, timeout=REBALANCE_S)
        ready = [p for p, told in zip(heard, telling, strict=True) if told.done()]
        self.left_out = len(heard) - len(ready)
        self.world.faults["left out"] += self.left_out
        group = [process for process in ready if process.life.alive]
        shares: dict[Process, list[Partition]] = {each: [] for each in group}
        for partition in self.topic.logs if group else ():
            shares[self.world.chance.choice(group)].append(partition)
        for process, share in shares.items():
            process.give(share)

    async def long_sleep(self, longest_s: float) -> None:
        """Have one process sleep for long, while the others do not look often."""
        holding = [process for process in self.living() if process.holds]
        sleeper = self.world.chance.choice(holding) if holding else self.one()
        self.world.loop.spawn(sleeper.life.sleep(longest_s))
        self.rebalance()
        self.topic.poll_s = self.topic.poll_s_max
        await asyncio.sleep(self.world.chance.choice((0.3, 1.1, 1.3)) * longest_s)
        self.topic.poll_s = 3

    async def come_to_rest(self) -> None:
        """Have no more faults; on return each partition has been given to a process that lives."""
        self.world.rates = {}
        for process in self.living():
            process.life.wake()
        # Whatever is under way ends.
        self.topic.poll_s = 40
        await asyncio.sleep(self.topic.poll_s_max)
        self.topic.poll_s = 8
        # The first rebalance may find calls in flight, the second one must not.
        for _ in range(2):
            if not self.living():
                self.start()
            self.rebalance()
            await asyncio.sleep(2 * REBALANCE_S)
        if self.left_out:
            self.world.wrong.append("a process does not give its partitions back")


class RemoteSink:
    """A process's connection to a sink that all share."""

    def __init__(self, life: Life, sink: Handler) -> None:
        self._life = life
        self._sink = sink

    async def position(self, partition: Partition) -> Position | None:
        """Ask the sink."""
        return await self._life.ask(partial(self._sink.position, partition))

    async def begin(self, partition: Partition, position: Position) -> None:
        """Have the sink do it."""
        await self._life.ask(partial(self._sink.begin, partition, position))

    async def handle(self, batch: Batch) -> None:
        """Have the sink do it."""
        await self._life.ask(partial(self._sink.handle, batch))


class RemotePackingSink(RemoteSink):
    """A connection whose batches are packed."""

    def packed_records(self, _partition: Partition) -> PackedList:
        """Return an object that keeps the records as they are."""
        return PackedList()


class _RemoteDeadLetters:
    def __init__(self, life: Life, dead_letters: DeadLetters) -> None:
        self._life = life
        self._dead_letters = dead_letters

    async def send(
        self, partition: Partition, record: Record, rejected: Rejected, **tried: Any
    ) -> None:
        """Have it done."""
        call = partial(self._dead_letters.send, partition, record, rejected, **tried)
        await self._life.ask(call)
