"""The runner and its workers: order, commits, limits, metrics, rebalances and bugs."""

import asyncio
import math
import time
from datetime import UTC, datetime

import pytest
from aiokafka.errors import KafkaError
from support.builders import P0, P1, a_record
from support.runner_bench import RunnerBench, measure

from consumers.runtime import partition_worker
from consumers.runtime.backoff import WAIT_S
from consumers.runtime.batch import Batch, Limits, Partition
from consumers.runtime.handler import HANDLE_TIMEOUT_S, Unavailable
from consumers.runtime.partition_worker import BATCH_OVERDUE_S_MAX
from consumers.runtime.runner import HANDLING_S_MAX, LAG_INTERVAL_S, ROUND_S_MAX
from schemas.telemetry import CONSUMER_METRICS


async def test_every_record_is_applied_once_in_order_then_committed() -> None:
    """Full batches are applied at once, the others when they are old enough."""
    bench = RunnerBench()
    bench.assign(P0)
    await bench.run_rounds()
    assert bench.sink.applied == {P0: list(range(10))}
    assert bench.topic.committed == {P0: 10}


async def test_while_the_sink_is_unavailable_no_more_records_are_fetched() -> None:
    """No record is rejected or skipped; the same batch is delivered again after growing waits."""
    bench = RunnerBench()
    bench.sink.failures = [Unavailable("down"), Unavailable("down")]
    bench.assign(P0)
    for _ in range(5):
        await bench.runner.run_round(bench.source)
    assert bench.source.wanted == set()
    bench.clock.now += WAIT_S
    await bench.runner.run_round(bench.source)
    await bench.runner.run_round(bench.source)
    assert (bench.source.wanted, bench.sink.applied) == (set(), {})
    bench.clock.now += 2 * WAIT_S
    await bench.run_rounds()
    assert bench.source.wanted == {P0}
    assert bench.sink.applied == {P0: list(range(10))}
    assert bench.dead_letters.offsets == []


async def test_a_partition_whose_write_is_slow_does_not_delay_another() -> None:
    """Each partition has a worker of its own."""
    bench = RunnerBench()
    bench.topic.records[P1] = [a_record(offset) for offset in range(10)]
    handle, leave = bench.sink.handle, asyncio.Event()

    async def slow_for_one(batch: Batch) -> None:
        if batch.partition == P0:
            await leave.wait()
        await handle(batch)

    bench.sink.handle = slow_for_one  # type: ignore[method-assign]
    bench.assign(P0, P1)
    await bench.run_rounds()
    assert bench.sink.applied == {P1: list(range(10))}
    leave.set()
    await bench.run_rounds()
    assert bench.sink.applied == {P0: list(range(10)), P1: list(range(10))}


async def test_a_partition_holds_a_limited_number_of_batches() -> None:
    """With two complete ones it fetches no more, however large the backlog is."""
    bench = RunnerBench(offsets=range(1000))
    leave = asyncio.Event()
    handle = bench.sink.handle

    async def slow(batch: Batch) -> None:
        await leave.wait()
        await handle(batch)

    bench.sink.handle = slow  # type: ignore[method-assign]
    bench.assign(P0)
    await bench.run_rounds(20)
    assert bench.source.wanted == set()
    assert bench.source.positions[P0] < 16
    leave.set()
    for _ in range(1000):
        await bench.runner.run_round(bench.source)
    await bench.run_rounds()
    assert bench.sink.applied == {P0: list(range(1000))}


async def test_the_runner_holds_a_limited_number_of_bytes() -> None:
    """At the limit no record is fetched, and the largest batch is completed early."""
    bench = RunnerBench(offsets=range(100), limits=Limits(records=1000, bytes=1 << 30, age_s=1e9))
    bench.runner = bench.a_runner(held_bytes_max=20_000)
    bench.assign(P0)
    for _ in range(80):
        await bench.runner.run_round(bench.source)
    cut = bench.sink.batches
    assert sum(cut) > 80
    assert max(cut) < 30


async def test_a_batch_that_is_not_packed_is_complete_when_its_memory_limit_is_reached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise it would wait for its age, although no more records are fetched."""
    monkeypatch.setattr(partition_worker, "UNPACKED_BYTES_MAX", 2000)
    bench = RunnerBench(offsets=range(100), limits=Limits(records=1000, bytes=1 << 30, age_s=1e9))
    bench.assign(P0)
    for _ in range(80):
        await bench.runner.run_round(bench.source)
    assert sum(bench.sink.batches) > 80


async def test_an_old_batch_is_dropped_and_fetched_again() -> None:
    """A member that was suspended must not write records that others have applied since."""
    bench = RunnerBench(offsets=range(4))
    bench.sink.failures = [Unavailable("down")]
    bench.assign(P0)
    for _ in range(5):
        await bench.runner.run_round(bench.source)
    bench.clock.now += BATCH_OVERDUE_S_MAX + 6
    bench.sink.expects[P0] = 2
    handle, seen = bench.sink.handle, []

    async def watched(batch: Batch) -> None:
        seen.append(batch.begins_at)
        await handle(batch)

    bench.sink.handle = watched  # type: ignore[method-assign]
    await bench.run_rounds()
    assert seen == [2]


async def test_a_loop_and_a_handler_hang_but_not_an_unavailable_sink() -> None:
    """Only a process that hangs should be restarted."""
    bench = RunnerBench()
    bench.sink.failures = [Unavailable("down")] * 99
    bench.assign(P0)
    for _ in range(5):
        await bench.run_rounds()
        assert bench.runner.hang() is None
    bench.clock.now += ROUND_S_MAX + 1
    assert "the loop has finished no round" in str(bench.runner.hang())
    hung = RunnerBench()

    async def never(_: Batch) -> None:
        await asyncio.Event().wait()

    hung.sink.handle = never  # type: ignore[assignment,method-assign]
    hung.assign(P0)
    await hung.run_rounds()
    hung.clock.now += HANDLE_TIMEOUT_S
    await hung.run_rounds(1)
    assert hung.runner.hang() is None
    hung.clock.now += HANDLING_S_MAX - HANDLE_TIMEOUT_S
    await hung.run_rounds(1)
    assert f"a write of {P0} has not ended" in str(hung.runner.hang())


async def test_metrics_show_the_lag_and_the_age_of_the_oldest_callback() -> None:
    """The age is since the receipt over HTTP; a topic that ends in markers has no lag."""
    bench = RunnerBench(offsets=range(3))
    bench.topic.markers = 2
    received = time.time() - 100
    headers = (("ce_time", datetime.fromtimestamp(received, UTC).isoformat().encode()),)
    bench.topic.records[P0] = [r._replace(headers=headers) for r in bench.topic.records[P0]]
    bench.sink.failures = [Unavailable("down")]
    bench.assign(P0)
    await bench.runner.run_round(bench.source)
    measure(bench.runner)
    assert _shown("consumer_lag_offsets") == 5
    await bench.run_rounds(2)
    await measured(bench)
    assert _shown("consumer_lag_offsets") == 5
    assert _shown("consumer_partitions_backing_off") == 1
    assert 100 <= _shown("consumer_oldest_waiting_seconds") < 130
    await bench.run_rounds()
    assert bench.sink.applied == {P0: [0, 1, 2]}
    await measured(bench)
    for metric in ("lag_offsets", "partitions_backing_off", "oldest_waiting_seconds", "held_bytes"):
        assert _shown(f"consumer_{metric}") == 0, metric


async def test_a_lag_that_is_not_known_is_not_shown_as_zero(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Until Kafka has reported a partition's end, nobody knows whether the sink has all of it."""
    bench = RunnerBench(offsets=range(0))
    monkeypatch.setattr(bench.source, "cached_end_offset", lambda _: None)
    bench.assign(P0)
    await measured(bench)
    for metric in ("lag_offsets", "oldest_waiting_seconds"):
        assert math.isnan(_shown(f"consumer_{metric}")), metric
    monkeypatch.setattr(bench.source, "cached_end_offset", lambda _: 0)
    await measured(bench)
    for metric in ("lag_offsets", "oldest_waiting_seconds"):
        assert _shown(f"consumer_{metric}") == 0, metric


async def measured(bench: RunnerBench) -> None:
    """Run a round that measures the lag, and update the metrics."""
    bench.clock.now += 2 * LAG_INTERVAL_S
    await bench.runner.run_round(bench.source)
    measure(bench.runner)


def _shown(metric: str) -> float:
    """Return the value that a scrape would show."""
    value = CONSUMER_METRICS.get_sample_value(metric)
    assert value is not None
    return value


async def test_a_bug_crashes_with_nothing_committed() -> None:
    """A retry would hide the bug."""
    bench = RunnerBench()
    bench.sink.failures = [ZeroDivisionError("bug")]
    bench.assign(P0)
    with pytest.raises(ZeroDivisionError):
        await bench.run_rounds()
    assert bench.topic.committed == {}


@pytest.mark.parametrize("error", [KafkaError("of another cluster"), OSError("its own disk")])
async def test_an_error_of_a_handler_does_not_pass_for_the_runtime_s_own(error: Exception) -> None:
    """Otherwise the process would wait for Kafka, or report an error of its port."""
    bench = RunnerBench()
    bench.sink.failures = [error]
    bench.assign(P0)
    with pytest.raises(RuntimeError) as raised:
        await bench.run_rounds()
    assert raised.value.__cause__ is error


async def test_a_rebalance_waits_for_the_delivery_in_flight_and_drops_the_rest() -> None:
    """The next owner asks the sink only after the last write of this member."""
    bench = RunnerBench()
    counted = _shown("consumer_records_total")
    entered, leave = asyncio.Event(), asyncio.Event()
    handle = bench.sink.handle

    async def slow(batch: Batch) -> None:
        entered.set()
        await leave.wait()
        await handle(batch)

    bench.sink.handle = slow  # type: ignore[method-assign]
    bench.assign(P0)
    running = asyncio.create_task(bench.run_rounds())
    await entered.wait()
    revoking = asyncio.create_task(bench.runner.revoke_all())
    await asyncio.sleep(0)
    assert not revoking.done()
    leave.set()
    await revoking
    await running
    # In the sink, but neither committed nor followed by another batch: the partition was revoked.
    assert (bench.sink.applied, bench.topic.committed) == ({P0: [0, 1, 2, 3]}, {})
    assert _shown("consumer_records_total") == counted + 4


async def test_records_of_a_partition_that_is_not_assigned_are_not_delivered() -> None:
    """A fetch may return records of a partition that was just revoked."""
    bench = RunnerBench()
    bench.topic.records[P1] = [a_record(0)]
    bench.source.seek(P1, 0)
    bench.assign(P0)
    await bench.run_rounds()
    assert set(bench.sink.applied) == {P0}


def test_a_partition_is_shown_as_topic_and_number() -> None:
    """Logs and the archive's paths use this form."""
    assert str(Partition("t", 3)) == "t/3"


async def test_a_cancellation_that_the_runner_did_not_cause_is_a_bug() -> None:
    """Otherwise the partition would make no progress, and nothing would show it."""
    bench = RunnerBench()
    bench.sink.failures = [asyncio.CancelledError()]  # type: ignore[list-item]  # no Exception
    bench.assign(P0)
    with pytest.raises(RuntimeError, match="CancelledError"):
        await bench.run_rounds()
