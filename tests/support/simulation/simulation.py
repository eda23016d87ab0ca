"""Processes of one consumer, each with a real runner, and their group."""

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
    """A process of the consumer."""

    def __init__(self, simulation: "Simulation") -> None:
        self.life = Life(simulation.world)
        self.stopping = asyncio.Event()
        self._topic = simulation.topic
        self._source = Source(self._topic, self.life)
        self._notified = simulation.world.loop.begin(asyncio.sleep(0))
        self._runner = Runner(
            name="simulated",
            handler=simulation.connect(self.life),
            limits=simulation.limits,
            dead_letters=_RemoteDeadLetters(self.life, simulation.dead_letters),
            may_refill_sink=False,
            dead_letters_max=1000,
            held_bytes_max=simulation.held_bytes_max,
            clock=simulation.world.loop.time,
        )
        self._task = simulation.world.loop.begin(self._run())

    @property
    def holds(self) -> bool:
        """Return whether the process holds records."""
        workers = self._runner._workers.values()  # noqa: SLF001 - to suspend it at the worst time
        return any(not worker.queue.is_empty for worker in workers)

    async def _run(self) -> None:
        """Do as `consumers.runtime.process` does."""
        while self.life.alive and not self.stopping.is_set():
            try:
                await self._runner.run(self._source, self.stopping)
            except KafkaError:
                await self._runner.revoke_all()
                self._source = Source(self._topic, self.life)
            except Stopped as stopped:
                self._judge(stopped)
        self.life.kill()

    def _judge(self, stopped: Stopped) -> None:
        """Note a stop, unless the process was suspended until retention had passed its position."""
        self.life.kill()
        world = self.life.world
        world.faults["stopped"] += 1
        if self._topic.changed and self._topic.changed in str(stopped):
            return
        if self.life.slept_s < RETENTION_S or "retention deleted" not in str(stopped):
            world.wrong.append(str(stopped))

    def take(self) -> asyncio.Task[None]:
        """Revoke all partitions of the process; the task ends after the process has let them go."""
        self._notify(None)
        return self._notified

    def give(self, share: Sequence[Partition]) -> None:
        """Assign partitions to the process."""
        self._notify(share)

    def _notify(self, share: Sequence[Partition] | None) -> None:
        notifying = self._on_rebalance(self._notified, share, self._source, self._topic.generation)
        self._notified = self.life.world.loop.begin(notifying)

    async def _on_rebalance(
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
            # It learns that by its next heartbeat, and continues until then.
            await asyncio.sleep(self.life.world.chance.choice((0, 3)))
            await self.life.passes()
        if source is not self._source:
            return  # that client was replaced
        if self.stopping.is_set():
            await asyncio.wait([self._task])
        elif share is None:
            await self._runner.revoke_all()
        else:
            source.assign(share, generation)
            self._runner.assign(source, share)


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
        # The number of processes for which the last rebalance did not wait.
        self.left_out = 0
        self._rebalancing: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Start another process; the next rebalance assigns partitions to it."""
        self.processes.append(Process(self))

    def living(self) -> list[Process]:
        """Return the processes that were not killed."""
        return [process for process in self.processes if process.life.alive]

    def one(self) -> Process:
        """Return any process."""
        return self.world.chance.choice(self.living() or self.processes)

    def rebalance(self) -> None:
        """Begin a rebalance, unless one is under way."""
        if self._rebalancing is None or self._rebalancing.done():
            self.world.faults["rebalance"] += 1
            self._rebalancing = self.world.loop.begin(self._rebalance())

    async def _rebalance(self) -> None:
        self.topic.generation += 1
        reached = [each for each in self.living() if not self.world.hit("not notified")]
        revoking = [each.take() for each in reached]
        if revoking:
            await asyncio.wait(revoking, timeout=REBALANCE_S)
        ready = [p for p, task in zip(reached, revoking, strict=True) if task.done()]
        self.left_out = len(reached) - len(ready)
        self.world.faults["left out"] += self.left_out
        group = [process for process in ready if process.life.alive]
        shares: dict[Process, list[Partition]] = {each: [] for each in group}
        for partition in self.topic.logs if group else ():
            shares[self.world.chance.choice(group)].append(partition)
        for process, share in shares.items():
            process.give(share)

    async def long_sleep(self, longest_s: float) -> None:
        """Suspend a process for long, while the others poll rarely."""
        holding = [process for process in self.living() if process.holds]
        sleeper = self.world.chance.choice(holding) if holding else self.one()
        self.world.loop.spawn(sleeper.life.sleep(longest_s))
        self.rebalance()
        self.topic.poll_s = self.topic.poll_s_max
        await asyncio.sleep(self.world.chance.choice((0.3, 1.1, 1.3)) * longest_s)
        self.topic.poll_s = 3

    async def come_to_rest(self) -> None:
        """End all faults; on return each partition is assigned to a living process."""
        self.world.rates = {}
        for process in self.living():
            process.life.wake()
        # Calls in flight end.
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
    """A process's connection to a sink that all processes share."""

    def __init__(self, life: Life, sink: Handler) -> None:
        self._life = life
        self._sink = sink

    async def position(self, partition: Partition) -> Position | None:
        """Call the sink."""
        return await self._life.ask(partial(self._sink.position, partition))

    async def store_first_position(self, partition: Partition, position: Position) -> None:
        """Call the sink."""
        await self._life.ask(partial(self._sink.store_first_position, partition, position))

    async def handle(self, batch: Batch) -> None:
        """Call the sink."""
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
        """Call the dead-letter topic."""
        call = partial(self._dead_letters.send, partition, record, rejected, **tried)
        await self._life.ask(call)
