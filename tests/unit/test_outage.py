"""An hour without a sink, in virtual time."""

import asyncio

from support.builders import P0, P1, a_record
from support.fakes import FakeSource, ManualClock, MemoryDeadLetters, MemorySink, MemoryTopic
from support.runner_bench import BY_DEFAULT, measure

from consumers.runtime.backoff import WAIT_S_MAX
from consumers.runtime.batch import Batch, Limits, Partition, Position
from consumers.runtime.handler import Unavailable
from consumers.runtime.partition_worker import BATCH_OVERDUE_S_MAX
from consumers.runtime.runner import Runner
from schemas.telemetry import CONSUMER_METRICS

# In seconds. The outage is longer than fetched records may be held.
BEFORE, OUTAGE = 60, int(BATCH_OVERDUE_S_MAX) + 600
LIMITS = Limits(records=500, bytes=1 << 20, age_s=5)


class MayBeAway(MemorySink):
    """A sink that does not answer while it is away."""

    def __init__(self) -> None:
        super().__init__()
        self.away = False
        self.asked = 0

    async def position(self, partition: Partition) -> Position | None:
        """Return the sink's position."""
        self._answer()
        return await super().position(partition)

    async def store_first_position(self, partition: Partition, position: Position) -> None:
        """Keep `position`."""
        self._answer()
        await super().store_first_position(partition, position)

    async def handle(self, batch: Batch) -> None:
        """Apply the batch."""
        self._answer()
        await super().handle(batch)

    def _answer(self) -> None:
        self.asked += self.away
        if self.away:
            raise Unavailable("the test says so")


async def test_an_hour_without_the_sink_costs_no_record_no_memory_and_few_calls() -> None:
    """A record arrives each second; none is fetched or rejected, and later all are applied."""
    topic, sink, clock, dead_letters = (
        MemoryTopic(),
        MayBeAway(),
        ManualClock(),
        MemoryDeadLetters(),
    )
    # Enough steps for the workers of two partitions.
    source = FakeSource(topic, fetch_max=250, fetch_steps=12)
    topic.records = {P0: [], P1: []}
    runner = Runner(
        name="outage",
        handler=sink,
        limits=LIMITS,
        dead_letters=dead_letters,
        clock=clock,
        **BY_DEFAULT,
    )
    runner.assign(source, [P0, P1])
    # To collect all metrics in each second would take as long as the rest.
    held_bytes = CONSUMER_METRICS.restricted_registry(["consumer_held_bytes"])
    held: list[float] = []
    tasks: list[int] = []
    fetched: list[bool] = []

    async def second() -> None:
        for records in topic.records.values():
            records.append(a_record(len(records)))
        clock.now += 1
        await runner.run_round(source)
        measure(runner)
        (metric,) = held_bytes.collect()
        held.append(metric.samples[0].value)
        tasks.append(len(asyncio.all_tasks()))

    for _ in range(BEFORE):
        await second()
    assert sink.applied[P0]
    applied = {partition: len(offsets) for partition, offsets in sink.applied.items()}
    sink.away = True
    for _ in range(OUTAGE):
        await second()
        assert runner.hang() is None
        fetched.append(bool(source.wanted))
    assert {partition: len(offsets) for partition, offsets in sink.applied.items()} == applied
    assert CONSUMER_METRICS.get_sample_value("consumer_partitions_backing_off") == 2
    # The batch at the front was held for `age_s` before it was tried.
    assert not any(fetched[2 * int(LIMITS.age_s) :])
    assert max(held) == max(held[: 2 * BEFORE])
    assert max(tasks) == max(tasks[:BEFORE])
    # Both partitions; the first waits are shorter, also once what is held has grown too old.
    assert OUTAGE / WAIT_S_MAX <= sink.asked <= 2 * (OUTAGE / WAIT_S_MAX + 12)
    sink.away = False
    for _ in range(2 * BEFORE):
        await second()
    clock.now += LIMITS.age_s
    await runner.run_round(source)
    await runner.run_round(source)
    measure(runner)
    assert sink.applied == {p: list(range(len(records))) for p, records in topic.records.items()}
    assert CONSUMER_METRICS.get_sample_value("consumer_partitions_backing_off") == 0
    assert dead_letters.offsets == []
    await runner.revoke_all()
