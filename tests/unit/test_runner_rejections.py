"""The runner sends rejected records to the dead-letter topic, up to a limit."""

import itertools

import pytest
from support.builders import P0
from support.fakes import MemorySink, PackingSink
from support.runner_bench import RunnerBench

from consumers.runtime.backoff import WAIT_S, WAIT_S_MAX
from consumers.runtime.batch import Batch, Limits
from consumers.runtime.brake import WINDOW_RECORDS, Brake, Braked
from consumers.runtime.handler import Rejected, Unavailable


async def test_a_rejected_record_becomes_a_dead_letter_and_the_others_are_applied() -> None:
    """The batch still covers the record's offset."""
    bench = RunnerBench()
    bench.sink.rejects = {2, 9}
    bench.assign(P0)
    await bench.run_rounds()
    assert bench.dead_letters.offsets == [2, 9]
    assert bench.sink.applied == {P0: [0, 1, 3, 4, 5, 6, 7, 8]}
    assert bench.topic.committed == {P0: 10}


async def test_a_dead_letter_is_not_sent_again_when_the_rest_of_its_batch_has_to_wait() -> None:
    """Otherwise each retry of the batch would send it again."""
    bench = RunnerBench()
    bench.sink.rejects = {1}
    bench.sink.failures_after_rejection = [Unavailable("down")]
    bench.assign(P0)
    for _ in range(4):
        await bench.runner.run_round(bench.source)
    assert (bench.dead_letters.offsets, bench.sink.applied) == ([1], {})
    bench.clock.now += WAIT_S
    await bench.run_rounds()
    assert bench.dead_letters.offsets == [1]
    assert bench.sink.applied == {P0: [0, *range(2, 10)]}


async def test_a_rejected_record_that_the_sink_does_not_name_is_found_by_halving() -> None:
    """It is alone in the end, and all others are applied, in order."""
    bench = RunnerBench(offsets=range(16), limits=Limits(records=16, bytes=1 << 20, age_s=5))
    bench.sink.chokes_on = {6, 11}
    bench.assign(P0)
    await bench.run_rounds(20)
    assert bench.dead_letters.offsets == [6, 11]
    assert bench.sink.applied == {P0: [o for o in range(16) if o not in (6, 11)]}
    # Its batches had 16, 8, 4, 2 and 1 records.
    assert bench.dead_letters.attempts[0] == 5


class RejectingPackingSink(PackingSink):
    """A sink that packs its records, and yet rejects one that it does not name."""

    async def handle(self, _batch: Batch) -> None:
        """Reject a record."""
        raise Rejected(None, "the test says so")


class RejectingSink(MemorySink):
    """A sink that rejects records itself."""

    def __init__(self) -> None:
        super().__init__()
        self.brake = Brake(5)


async def test_a_sink_that_packs_its_records_and_rejects_one_is_a_bug() -> None:
    """Both halves of its batch would have all packed records."""
    bench = RunnerBench()
    bench.sink = RejectingPackingSink()
    bench.runner = bench.a_runner()
    bench.assign(P0)
    with pytest.raises(AssertionError, match="packs its records rejects one: the test says so"):
        await bench.run_rounds()
    assert bench.dead_letters.offsets == []


async def test_too_many_dead_letters_stop_the_consumer() -> None:
    """The record above the limit does not become a dead letter."""
    bench = RunnerBench(offsets=range(40))
    bench.runner = bench.a_runner(dead_letters_max=5)
    bench.sink.rejects = set(range(0, 40, 2))
    bench.assign(P0)
    with pytest.raises(Braked, match="5 of the last"):
        await bench.run_rounds(100)
    assert bench.dead_letters.offsets == [0, 2, 4, 6, 8]


async def test_the_brake_counts_only_the_last_records() -> None:
    """A rejected record now and then never stops the consumer."""
    brake = Brake(1)
    for _ in range(3):
        brake.check("the sink is broken")
        brake.note_rejected()
        brake.note_applied(WINDOW_RECORDS)
    brake.note_rejected()
    brake.note_applied(WINDOW_RECORDS - 1)
    with pytest.raises(Braked, match="the sink is broken"):
        brake.check("the sink is broken")


async def test_a_record_that_waits_for_the_dead_letter_topic_counts_once() -> None:
    """An outage of the dead-letter topic is retried like one of the sink."""
    bench = RunnerBench(offsets=range(4))
    bench.runner = bench.a_runner(dead_letters_max=1)
    bench.sink.rejects = {0}
    bench.dead_letters.away = 5
    bench.assign(P0)
    for _ in range(6):
        bench.clock.now += WAIT_S_MAX
        await bench.run_rounds()
    assert bench.dead_letters.offsets == [0]
    assert bench.sink.applied == {P0: [1, 2, 3]}


async def test_a_handler_with_a_brake_of_its_own_counts_by_itself() -> None:
    """The runtime would count records that the sink skips; the status has the handler's number."""
    bench = RunnerBench(offsets=range(40))
    bench.sink = sink = RejectingSink()
    bench.runner = bench.a_runner()
    sink.brake.note_rejected()
    bench.assign(P0)
    await bench.run_rounds(100)
    assert len(sink.applied[P0]) == 40
    assert list(sink.brake._rejected) == [True]  # noqa: SLF001
    assert bench.runner.status(stopped=None, kafka_fault=None).rejected_lately == 1


async def test_a_partition_without_its_dead_letter_topic_is_not_healthy() -> None:
    """Each try has a longer wait, and the sink's answer before it does not end the fault."""
    bench = RunnerBench(offsets=range(4))
    bench.sink.rejects = {0}
    bench.dead_letters.away = 100
    bench.assign(P0)
    tries = []
    await bench.run_rounds()
    for second in range(1, 121):
        before = bench.dead_letters.away
        bench.clock.now += 1
        for _ in range(4):
            await bench.runner.run_round(bench.source)
            status = bench.runner.status()
            assert (status.partitions_backing_off, status.sink_fault) == (1, None)
            assert status.kafka_fault is not None
        tries += [second] * (before - bench.dead_letters.away)
    waits = [later - earlier for earlier, later in itertools.pairwise(tries)]
    assert waits[-2:] == [WAIT_S_MAX] * 2, waits
    # After 1, 2, 4, 8, 16, then each 30 s.
    assert 100 - bench.dead_letters.away <= 10
    bench.dead_letters.away = 0
    bench.clock.now += WAIT_S_MAX
    await bench.run_rounds()
    assert (bench.dead_letters.offsets, bench.sink.applied) == ([0], {P0: [1, 2, 3]})
    status = bench.runner.status()
    assert (status.partitions_backing_off, status.kafka_fault) == (0, None)


async def test_the_log_names_a_partition_as_the_cluster_knows_it(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Of a batch that waits for the sink, and of a record that waits for the dead-letter topic."""
    bench = RunnerBench(offsets=range(4))
    bench.runner = bench.a_runner(kafka_prefix="staging.")
    bench.sink.failures = [Unavailable("down")]
    bench.sink.rejects = {0}
    bench.dead_letters.away = 1
    bench.assign(P0)
    for _ in range(3):
        bench.clock.now += WAIT_S_MAX
        await bench.run_rounds()
    assert bench.dead_letters.offsets == [0]
    for waits in ("apply a batch of", "send offset 0 of"):
        (text,) = (each for each in caplog.messages if f"cannot {waits} " in each)
        assert f" {waits} staging.{P0} " in text
