"""A batch that takes too long is delivered again in halves, and never becomes a dead letter."""

import asyncio
from datetime import UTC, datetime

import pytest
from support.builders import P0, a_record
from support.fakes import MemorySink, PackedRecords, PackingSink
from support.runner_bench import RunnerBench

from consumers.runtime import batch_queue, delivery
from consumers.runtime.backoff import WAIT_S_MAX
from consumers.runtime.batch import Batch, Limits, Partition, Record
from consumers.runtime.handler import TookTooLong, Unavailable
from consumers.runtime.pending_batch import record_sizes

LIMITS = Limits(records=12, bytes=1 << 20, age_s=5)
# The time from receipt to Kafka, in a test of both.
WRITTEN_AFTER_MS = 3_600_000


class SlowSink(MemorySink):
    """A sink that applies at most `at_once` records within its time limit."""

    def __init__(self, at_once: int) -> None:
        super().__init__()
        self.at_once = at_once
        # It is down once it has applied so many records.
        self.down_after: int | None = None
        self.tried: list[int] = []

    async def handle(self, batch: Batch) -> None:
        """Apply a small batch."""
        self.tried.append(len(batch.records))
        if len(self.applied.get(P0, ())) == self.down_after:
            raise Unavailable("by the test")
        if len(batch.records) > self.at_once:
            await self.take_too_long()
        await super().handle(batch)

    async def take_too_long(self) -> None:
        """End the batch, as a server does."""
        raise TookTooLong("canceling statement due to statement timeout")


class SilentSink(SlowSink):
    """A sink that does not say that a batch takes too long."""

    async def take_too_long(self) -> None:
        """Answer never."""
        await asyncio.Event().wait()


def a_bench(sink: MemorySink) -> RunnerBench:
    """Return a bench of 12 records, which are one batch."""
    bench = RunnerBench(offsets=range(12), limits=LIMITS)
    bench.sink = sink
    bench.runner = bench.a_runner()
    bench.assign(P0)
    return bench


async def run(bench: RunnerBench, rounds: int = 12, *, fetches: int = 4) -> None:
    """Run rounds after which no wait is left, each with some fetches."""
    for _ in range(rounds):
        await bench.run_rounds(fetches)
        bench.clock.now += WAIT_S_MAX


async def test_a_batch_that_takes_too_long_is_applied_in_parts() -> None:
    """All records are applied, in order; the failure is shown until the first part is applied."""
    sink = SlowSink(at_once=4)
    bench = a_bench(sink)
    await bench.run_rounds(4)
    assert sink.tried == [12]
    assert "statement timeout" in str(bench.runner.status().sink_fault)
    await run(bench)
    assert sink.applied == {P0: list(range(12))}
    assert sink.tried == [12, 6, 3, 3, 6, 3, 3]
    assert bench.dead_letters.offsets == []
    assert bench.runner.status().sink_fault is None


async def test_a_single_record_that_takes_too_long_is_delivered_again_and_again() -> None:
    """A slow sink may be an outage: no record is given up for it."""
    sink = SlowSink(at_once=0)
    bench = a_bench(sink)
    await run(bench)
    assert sink.tried[:8] == [12, 6, 3, 1, 1, 1, 1, 1]
    assert (bench.dead_letters.offsets, sink.applied) == ([], {})
    sink.at_once = 12
    await run(bench)
    assert sink.applied == {P0: list(range(12))}


async def test_a_sink_that_does_not_answer_gets_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same batch might take longer than the runtime waits each time."""
    monkeypatch.setattr(delivery, "HANDLE_TIMEOUT_S", 0.01)
    sink = SilentSink(at_once=6)
    bench = a_bench(sink)
    async with asyncio.timeout(180):
        while len(sink.applied.get(P0, ())) < 12:
            await run(bench, 1)
            await asyncio.sleep(0.02)
    assert sink.applied == {P0: list(range(12))}
    assert sink.tried == [12, 6, 6]


class CountedRecords(PackedRecords):
    """Packed records whose number is known."""

    count = 0

    async def add(self, records: list[Record]) -> None:
        """Count the records."""
        self.count += len(records)


class SlowPackingSink(PackingSink, SlowSink):
    """A sink that packs its records, and applies at most `at_once` within its time limit."""

    def packed_records(self, _partition: Partition) -> CountedRecords:
        """Return an empty object."""
        return CountedRecords()

    async def handle(self, batch: Batch) -> None:
        """Apply a small batch."""
        assert isinstance(batch.packed, CountedRecords)
        self.tried.append(batch.packed.count)
        if batch.packed.count > self.at_once:
            await self.take_too_long()
        await MemorySink.handle(self, batch)


def a_packing_bench(sink: MemorySink, records: int, at_once: int) -> RunnerBench:
    """Return a bench of some records, of which at most `at_once` are one batch."""
    counted_bytes = record_sizes([a_record(10)]).counted_bytes
    limits = Limits(records=records, bytes=at_once * counted_bytes, age_s=5)
    bench = RunnerBench(offsets=range(records), limits=limits)
    bench.sink = sink
    bench.runner = bench.a_runner()
    bench.assign(P0)
    return bench


async def test_packed_records_that_take_too_long_are_fetched_again_for_smaller_batches(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Batches are halved until one is applied; then they grow again, by an eighth each time."""
    monkeypatch.setattr(batch_queue, "LOWERED_BYTES_MIN", 1)
    sink = SlowPackingSink(at_once=10)
    bench = a_packing_bench(sink, records=200, at_once=32)
    await run(bench, 40, fetches=15)
    assert sink.expects[P0] == 200
    assert sink.tried[:3] == [32, 16, 8]
    applied = [count for count in sink.tried if count <= 10]
    assert sum(applied) == 200
    # While the sink is slow, most batches are applied.
    assert len(applied) > 2 * (len(sink.tried) - len(applied))
    assert bench.runner.status().sink_fault is None

    sink.at_once, sink.tried = 32, []
    bench.topic.records[P0] += [a_record(offset) for offset in range(200, 800)]
    await run(bench, 40, fetches=15)
    assert sink.expects[P0] == 800
    assert max(sink.tried) == 32
    assert sum(sink.tried) == 600


@pytest.mark.parametrize("bytes_min", [1, batch_queue.LOWERED_BYTES_MIN])
async def test_a_small_batch_of_packed_records_comes_again_as_it_is(
    bytes_min: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A sink that is down gets no smaller batches for ever; no record is given up."""
    monkeypatch.setattr(batch_queue, "LOWERED_BYTES_MIN", bytes_min)
    sink = SlowPackingSink(at_once=0)
    bench = a_packing_bench(sink, records=12, at_once=12)
    await run(bench)
    smallest = 1 if bytes_min == 1 else 12
    assert sink.tried[-5:] == [smallest] * 5
    assert "statement timeout" in str(bench.runner.status().sink_fault)
    sink.at_once = 12
    await run(bench, 24)
    assert sink.expects[P0] == 12
    assert bench.dead_letters.offsets == []


@pytest.mark.parametrize("change", ["halved", "rejected"])
async def test_the_oldest_callback_is_one_that_the_sink_does_not_have(change: str) -> None:
    """After the first half, or a dead letter, the age is that of the first record that is left."""
    sink = SlowSink(at_once=6 if change == "halved" else 12)
    bench = a_bench(sink)
    received = [datetime(2026, 1, 1, 0, 0, offset, tzinfo=UTC) for offset in range(12)]
    bench.topic.records[P0] = [
        record._replace(
            headers=(("ce_time", at.isoformat().encode()),),
            timestamp_ms=int(at.timestamp() * 1000) + WRITTEN_AFTER_MS,
        )
        for record, at in zip(bench.topic.records[P0], received, strict=True)
    ]
    if change == "halved":
        sink.down_after = 6
    else:
        sink.rejects, sink.failures_after_rejection = {0}, [Unavailable("by the test")] * 99
    await run(bench, 4)
    oldest = received[6 if change == "halved" else 1]
    at_least_s = datetime.now(UTC).timestamp() - oldest.timestamp()
    status = bench.runner.status()
    at_most_s = datetime.now(UTC).timestamp() - oldest.timestamp()
    assert status.oldest_waiting_s is not None
    assert status.oldest_in_kafka_s is not None
    assert at_least_s <= status.oldest_waiting_s + 0.001
    assert status.oldest_waiting_s <= at_most_s + 0.001
    waited_on_disk_s = status.oldest_waiting_s - status.oldest_in_kafka_s
    assert round(waited_on_disk_s * 1000) == WRITTEN_AFTER_MS
