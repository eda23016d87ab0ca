"""The status of a consumer: it stays true while the sink, Kafka or the consumer is stopped."""

import math
import time

import pytest
from prometheus_client import generate_latest
from support.builders import P0, P1, a_record, a_stored_record
from support.runner_bench import RunnerBench

from consumers.runtime.backoff import WAIT_S, Backoff
from consumers.runtime.brake import Braked
from consumers.runtime.handler import Rejected, Unavailable
from consumers.runtime.kafka_availability import KafkaAvailability
from consumers.runtime.partition_worker import BATCH_OVERDUE_S_MAX
from consumers.runtime.pending_batch import WaitingTimes
from consumers.runtime.positioning import RECHECK_INTERVAL_S
from consumers.runtime.round_signal import RoundSignal
from consumers.runtime.status import ConsumerStatus, Fault, Lag
from schemas.callback_record import received_at_s
from schemas.telemetry import CONSUMER_METRICS


def status(bench: RunnerBench) -> ConsumerStatus:
    """Return the status of the runner without faults of the process."""
    return bench.runner.status()


async def test_a_consumer_that_has_applied_everything_has_no_fault() -> None:
    """Its partitions are counted, and nothing waits."""
    bench = RunnerBench()
    bench.topic.records[P1] = [a_record(offset) for offset in range(10)]
    bench.assign(P0, P1)
    await bench.run_rounds()
    reported = status(bench)
    assert (reported.partitions, reported.lag_offsets, reported.oldest_waiting_s) == (2, 0, 0.0)
    assert reported.oldest_in_kafka_s == 0.0
    assert (reported.sink_fault, reported.kafka_fault, reported.stopped) == (None, None, None)


async def test_a_process_that_is_not_in_its_group_does_not_know_what_waits() -> None:
    """The brake, and an outage of Kafka, revoke all partitions; the numbers must not freeze."""
    bench = RunnerBench()
    assert status(bench).partitions is None
    bench.assign(P0)
    await bench.run_rounds()
    await bench.runner.revoke_all()
    reported = status(bench)
    assert (reported.partitions, reported.lag_offsets, reported.oldest_waiting_s) == (
        None,
        None,
        None,
    )
    bench.runner.set_gauges(reported)
    assert math.isnan(CONSUMER_METRICS.get_sample_value("consumer_oldest_waiting_seconds") or 0.0)
    assert math.isnan(CONSUMER_METRICS.get_sample_value("consumer_lag_offsets") or 0.0)
    assert b"consumer_oldest_waiting_seconds NaN" in generate_latest(CONSUMER_METRICS)


async def test_a_callback_is_in_kafka_for_less_time_than_it_waits() -> None:
    """
    It may have waited in a spool. The first record of a partition is in Kafka for the longest time.

    A record that follows may have been received earlier: the status is that of the first one.
    """
    bench = RunnerBench(offsets=range(0))
    now_ms = int(time.time() * 1000)
    bench.topic.records[P0] = [
        a_stored_record(0, received_at_ms=now_ms - 600_000)._replace(timestamp_ms=now_ms - 40_000),
        a_stored_record(1, received_at_ms=now_ms - 9**9)._replace(timestamp_ms=now_ms - 30_000),
    ]
    bench.topic.records[P1] = [
        a_stored_record(0, received_at_ms=now_ms - 50_000)._replace(timestamp_ms=now_ms - 50_000)
    ]
    bench.sink.failures = [Unavailable("down")] * 99
    bench.assign(P0, P1)
    await bench.run_rounds()
    reported = status(bench)
    passed_s = time.time() - now_ms / 1000
    assert reported.oldest_waiting_s is not None
    assert 600 <= reported.oldest_waiting_s <= 600 + passed_s
    assert reported.oldest_in_kafka_s is not None
    assert 50 <= reported.oldest_in_kafka_s <= 50 + passed_s
    bench.runner.set_gauges(reported)
    shown = CONSUMER_METRICS.get_sample_value("consumer_oldest_in_kafka_seconds")
    assert shown == reported.oldest_in_kafka_s


async def test_a_process_without_its_sinks_position_waits_since_it_has_seen_the_lag() -> None:
    """It has fetched no record, so it knows none of their times; both values are lower bounds."""
    bench = RunnerBench(offsets=range(2))
    bench.sink.silent = True
    bench.assign(P0)
    begun_s = time.time()
    await bench.runner.run_round(bench.source)
    bench.clock.now += 1
    await bench.runner.run_round(bench.source)
    reported = status(bench)
    assert reported.lag_offsets == 2
    assert reported.oldest_in_kafka_s is not None
    assert 0 < reported.oldest_in_kafka_s <= time.time() - begun_s
    assert reported.oldest_in_kafka_s == reported.oldest_waiting_s


async def test_records_that_were_dropped_because_their_sink_was_down_for_long_wait_on() -> None:
    """
    They are fetched again when the sink gives a position; until then their age must not fall.

    The sink's fault has lasted since it began, and not since the records were dropped.
    """
    bench = RunnerBench(offsets=range(2))
    now_ms = int(time.time() * 1000)
    bench.topic.records[P0] = [
        one._replace(timestamp_ms=now_ms - 4_000_000) for one in bench.topic.records[P0]
    ]
    bench.sink.failures = [Unavailable("down")] * 99
    bench.assign(P0)
    await bench.run_rounds()
    bench.sink.silent = True
    bench.clock.now += BATCH_OVERDUE_S_MAX + 6
    for _ in range(3):
        await bench.runner.run_round(bench.source)
        bench.clock.now += 1
    reported = status(bench)
    assert reported.oldest_in_kafka_s is not None
    assert reported.oldest_in_kafka_s >= 4000
    assert reported.sink_fault is not None
    assert reported.sink_fault.for_s > BATCH_OVERDUE_S_MAX


async def test_the_age_of_what_waits_grows_on_after_a_stop() -> None:
    """It is that of the callback that stopped the consumer; how many wait is not known."""
    bench = RunnerBench()
    received = a_stored_record(0)
    bench.topic.records[P0] = [received._replace(timestamp_ms=received.timestamp_ms + 5000)]
    bench.runner = bench.a_runner(dead_letters_max=0)
    bench.sink.rejects = {0}
    bench.assign(P0)
    with pytest.raises(Braked):
        await bench.run_rounds()
    await bench.runner.revoke_all()
    assert status(bench).oldest_waiting_s is None
    received_s = received_at_s(bench.topic.records[P0][0].headers)
    assert received_s is not None
    for _ in range(2):
        at_least_s = time.time() - received_s
        found = bench.runner.status(stopped=Fault(what="the brake", for_s=1.0))
        assert found.oldest_waiting_s is not None
        assert at_least_s <= found.oldest_waiting_s + 0.001
        assert found.oldest_waiting_s <= time.time() - received_s + 0.001
        assert found.lag_offsets is None
        assert found.oldest_in_kafka_s is not None
        assert round(found.oldest_waiting_s - found.oldest_in_kafka_s) == 5


def test_the_times_that_were_measured_last_grow_by_the_clock() -> None:
    """As long as nothing gets into the sink."""
    lag = Lag(waiting=WaitingTimes(since_receipt_s=9.0, in_kafka_s=5.0), measured_at_s=100.0)
    assert lag.waiting_at(107.0) == WaitingTimes(since_receipt_s=16.0, in_kafka_s=12.0)
    assert lag.waiting_at(90.0) == lag.waiting
    assert Lag().waiting_at(107.0) is None


async def test_a_sink_that_fails_is_a_fault_with_its_age_until_it_works_again() -> None:
    """The age is that of the first failure, the text that of the last one."""
    bench = RunnerBench()
    bench.sink.failures = [Unavailable("down"), Unavailable("starting up")]
    bench.assign(P0)
    for _ in range(5):
        await bench.runner.run_round(bench.source)
    assert status(bench).sink_fault == Fault(what="down", for_s=0.0)
    for _ in range(2):
        bench.clock.now += WAIT_S
        await bench.runner.run_round(bench.source)
    assert status(bench).sink_fault == Fault(what="starting up", for_s=2 * WAIT_S)
    await bench.run_rounds()
    assert status(bench).sink_fault is None


async def test_a_fault_of_the_sink_of_an_idle_partition_is_seen_at_the_next_recheck() -> None:
    """No write would show it. The partition is not paused: nothing has to wait."""
    bench = RunnerBench()
    bench.assign(P0)
    await bench.run_rounds()
    bench.sink.silent = True
    for _ in range(2):
        bench.clock.now += RECHECK_INTERVAL_S
        await bench.run_rounds(2)
    reported = status(bench)
    assert reported.sink_fault is not None
    assert reported.partitions_backing_off == 0
    bench.sink.silent = False
    bench.clock.now += RECHECK_INTERVAL_S
    await bench.run_rounds(2)
    assert status(bench).sink_fault is None


async def test_kafka_that_does_not_answer_is_not_a_fault_of_the_sink() -> None:
    """The lag is not known then."""
    bench = RunnerBench()
    bench.assign(P0)
    await bench.run_rounds()
    bench.topic.silent = True
    bench.clock.now += RECHECK_INTERVAL_S
    await bench.run_rounds(2)
    reported = status(bench)
    assert reported.sink_fault is None
    assert reported.kafka_fault is not None
    assert (reported.lag_offsets, reported.oldest_waiting_s) == (None, None)
    assert reported.oldest_in_kafka_s is None


async def test_rejected_records_are_shown_until_enough_others_were_applied() -> None:
    """They are those of the last records, as the brake counts them."""
    bench = RunnerBench()
    bench.sink.failures = [Rejected(0, "by the test")]
    bench.assign(P0)
    await bench.run_rounds()
    assert status(bench).rejected_lately == 1


def test_the_failure_of_an_outage_ends_when_kafka_answers() -> None:
    """It has the last error, and the time of the first one."""
    now_s = 0.0
    kafka_availability = KafkaAvailability("sync", clock=lambda: now_s)
    assert kafka_availability.failure is None
    first, last = TimeoutError("first"), TimeoutError("last")
    kafka_availability.note_failure(first)
    now_s = 5.0
    kafka_availability.note_failure(last)
    assert kafka_availability.failure is not None
    assert (kafka_availability.failure.error, kafka_availability.failure.since) == (last, 0.0)
    kafka_availability.note_answer()
    assert kafka_availability.failure is None


def test_only_a_success_says_that_the_sink_answers() -> None:
    """A position that is found again because the topic has changed says nothing about the sink."""
    backoff = Backoff(RoundSignal(lambda: 7.0))
    backoff.note(Unavailable("down"))
    backoff.reset()
    assert (backoff.failure, backoff.succeeded_at) == (None, None)
    backoff.note_success()
    assert backoff.succeeded_at == 7.0
