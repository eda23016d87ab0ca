"""The runner and its lanes, with a fake source and a sink in memory."""

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from aiokafka.errors import KafkaError
from support.builders import P0, P1, a_record, a_stored_record
from support.fakes import FakeSource, ManualClock, MemoryDeadLetters, MemorySink, MemoryTopic

from consumers.runtime import lane
from consumers.runtime.backoff import WAIT_S, WAIT_S_MAX
from consumers.runtime.batch import Batch, Limits, Partition, Record
from consumers.runtime.brake import WINDOW_RECORDS, Brake, Braked
from consumers.runtime.handler import HANDLE_S, Stopped, Unavailable
from consumers.runtime.lane import BATCH_AGE_S_MAX
from consumers.runtime.positioning import RECHECK_S
from consumers.runtime.runner import GAUGES_S, HANDLING_S_MAX, TURN_S_MAX, Runner
from schemas.telemetry import CONSUMER

LIMITS = Limits(records=4, bytes=1 << 20, age_s=5)


class Bench:
    """A runner with fakes of everything that it needs."""

    def __init__(
        self,
        *,
        rebuild: bool = False,
        offsets: range = range(10),
        limits: Limits = LIMITS,
    ) -> None:
        self.topic = MemoryTopic()
        self.topic.records[P0] = [a_record(offset) for offset in offsets]
        self.source = FakeSource(self.topic)
        self.sink = MemorySink()
        self.dead_letters = MemoryDeadLetters()
        self.clock = ManualClock()
        self.limits = limits
        self.runner = self.a_runner(rebuild=rebuild)

    def a_runner(self, **fields: Any) -> Runner:
        """Return a runner with other limits than the defaults."""
        return Runner(
            name="bench",
            handler=self.sink,
            limits=self.limits,
            dead_letters=self.dead_letters,
            clock=self.clock,
            **fields,
        )

    def assign(self, *partitions: Partition) -> None:
        """Assign partitions to the runner."""
        self.runner.assigned(self.source, partitions)

    async def turn(self, times: int = 6) -> None:
        """Do some turns, then let the growing batches reach their age, then do as many again."""
        for _ in range(times):
            await self.runner.turn(self.source)
        self.clock.now += 5
        for _ in range(times):
            await self.runner.turn(self.source)


async def test_every_record_is_applied_once_in_order_then_committed() -> None:
    """Full batches at once, the others when they are old enough."""
    bench = Bench()
    bench.assign(P0)
    await bench.turn()
    assert bench.sink.applied == {P0: list(range(10))}
    assert bench.topic.committed == {P0: 10}


async def test_the_sinks_position_is_the_authority() -> None:
    """Kafka's committed offset is only for lag tools, even if it is higher."""
    bench = Bench()
    bench.sink.expects[P0] = 4
    bench.topic.committed[P0] = 8
    bench.assign(P0)
    await bench.turn()
    assert bench.sink.applied == {P0: [4, 5, 6, 7, 8, 9]}


async def test_the_runner_continues_at_the_position_that_a_refused_write_returns() -> None:
    """Forward if another member wrote, back if the sink was restored: no record twice, no gap."""
    bench = Bench(offsets=range(20))
    bench.assign(P0)
    await bench.runner.turn(bench.source)
    bench.sink.expects[P0] = 7
    await bench.turn(8)
    assert bench.sink.applied[P0] == list(range(7, 20))
    bench.topic.records[P0] += [a_record(20)]
    bench.sink.expects[P0], bench.sink.last[P0] = 17, None
    await bench.turn(8)
    await bench.turn(8)
    assert bench.sink.applied[P0][-4:] == [17, 18, 19, 20]


async def test_an_empty_sink_of_a_group_that_has_committed_stops() -> None:
    """The sink was emptied or is another one; the error says what a person can do."""
    bench = Bench()
    bench.topic.committed[P0] = 8
    bench.assign(P0)
    with pytest.raises(Stopped, match="CONSUMER_REBUILD=true"):
        await bench.turn()
    bench = Bench(rebuild=True)
    bench.topic.committed[P0] = 8
    bench.assign(P0)
    await bench.turn()
    assert bench.sink.applied == {P0: list(range(10))}


async def test_an_idle_sink_that_was_restored_is_completed_without_a_new_record() -> None:
    """Otherwise it would lack records until the next one arrives."""
    bench = Bench()
    bench.assign(P0)
    await bench.turn()
    bench.sink.put_back({P0: 6})
    for _ in range(6):
        await bench.runner.turn(bench.source)
    assert bench.sink.expects == {P0: 6}
    bench.clock.now += RECHECK_S
    await bench.turn()
    assert bench.sink.applied == {P0: list(range(10))}


async def test_a_sink_that_is_emptied_later_stops_the_consumer() -> None:
    """With the next record or without one; a person decides whether to rebuild the sink."""
    bench = Bench()
    bench.assign(P0)
    await bench.turn()
    bench.sink.put_back({})
    bench.topic.records[P0] += [a_record(10)]
    with pytest.raises(Stopped, match="CONSUMER_REBUILD=true"):
        await bench.turn()
    idle = Bench()
    idle.assign(P0)
    await idle.turn()
    idle.sink.put_back({})
    idle.clock.now += RECHECK_S
    with pytest.raises(Stopped, match="CONSUMER_REBUILD=true"):
        await idle.turn()


async def test_a_sink_that_does_not_answer_is_asked_again() -> None:
    """On assignment and while idle; no record is fetched before the sink has answered."""
    bench = Bench()
    bench.sink.silent = True
    bench.assign(P0)
    await bench.runner.turn(bench.source)
    assert bench.source.positions == {}
    bench.sink.silent = False
    await bench.turn()
    await bench.turn()
    bench.sink.put_back({P0: 6})
    bench.sink.silent = True
    bench.clock.now += RECHECK_S
    await bench.turn()
    assert bench.sink.expects == {P0: 6}
    bench.sink.silent = False
    bench.clock.now += RECHECK_S
    await bench.turn()
    assert bench.sink.applied == {P0: list(range(10))}


async def test_while_the_sink_is_unavailable_no_more_records_are_fetched() -> None:
    """No record is rejected or skipped; the same batch is delivered again after growing waits."""
    bench = Bench()
    bench.sink.failures = [Unavailable("down"), Unavailable("down")]
    bench.assign(P0)
    for _ in range(5):
        await bench.runner.turn(bench.source)
    assert bench.source.wanted == set()
    bench.clock.now += WAIT_S
    await bench.runner.turn(bench.source)
    await bench.runner.turn(bench.source)
    assert (bench.source.wanted, bench.sink.applied) == (set(), {})
    bench.clock.now += 2 * WAIT_S
    await bench.turn()
    assert bench.source.wanted == {P0}
    assert bench.sink.applied == {P0: list(range(10))}
    assert bench.dead_letters.offsets == []


async def test_a_sink_that_was_restored_during_its_outage_is_completed() -> None:
    """The runner continues at the older position."""
    bench = Bench()
    bench.assign(P0)
    await bench.turn()
    await bench.turn()
    bench.topic.records[P0] += [a_record(10)]
    bench.sink.failures = [Unavailable("down")]
    await bench.turn()
    bench.sink.put_back({P0: 4})
    await bench.turn()
    await bench.turn()
    assert bench.sink.applied == {P0: list(range(11))}


async def test_a_partition_whose_write_is_slow_does_not_delay_another() -> None:
    """Each partition has a lane of its own."""
    bench = Bench()
    bench.topic.records[P1] = [a_record(offset) for offset in range(10)]
    handle, leave = bench.sink.handle, asyncio.Event()

    async def slow_for_one(batch: Batch) -> None:
        if batch.partition == P0:
            await leave.wait()
        await handle(batch)

    bench.sink.handle = slow_for_one  # type: ignore[method-assign]
    bench.assign(P0, P1)
    await bench.turn()
    assert bench.sink.applied == {P1: list(range(10))}
    leave.set()
    await bench.turn()
    assert bench.sink.applied == {P0: list(range(10)), P1: list(range(10))}


async def test_a_rejected_record_becomes_a_dead_letter_and_the_others_are_applied() -> None:
    """The batch still covers the record's offset."""
    bench = Bench()
    bench.sink.rejects = {2, 9}
    bench.assign(P0)
    await bench.turn()
    assert bench.dead_letters.offsets == [2, 9]
    assert bench.sink.applied == {P0: [0, 1, 3, 4, 5, 6, 7, 8]}
    assert bench.topic.committed == {P0: 10}


async def test_a_dead_letter_is_not_sent_again_when_the_rest_of_its_batch_has_to_wait() -> None:
    """Otherwise each retry of the batch would send it again."""
    bench = Bench()
    bench.sink.rejects = {1}
    bench.sink.failures_after_rejection = [Unavailable("down")]
    bench.assign(P0)
    for _ in range(4):
        await bench.runner.turn(bench.source)
    assert (bench.dead_letters.offsets, bench.sink.applied) == ([1], {})
    bench.clock.now += WAIT_S
    await bench.turn()
    assert bench.dead_letters.offsets == [1]
    assert bench.sink.applied == {P0: [0, *range(2, 10)]}


async def test_the_sinks_position_is_after_the_markers_that_follow() -> None:
    """Otherwise it would be before the topic's beginning once retention has deleted the records."""
    bench = Bench()
    bench.topic.markers = 3
    bench.assign(P0)
    await bench.turn()
    assert bench.sink.expects == {P0: 13}
    assert bench.topic.committed == {P0: 13}


async def test_a_partition_holds_a_limited_number_of_batches() -> None:
    """With two complete ones it fetches no more, however large the backlog is."""
    bench = Bench(offsets=range(1000))
    leave = asyncio.Event()
    handle = bench.sink.handle

    async def slow(batch: Batch) -> None:
        await leave.wait()
        await handle(batch)

    bench.sink.handle = slow  # type: ignore[method-assign]
    bench.assign(P0)
    await bench.turn(20)
    assert bench.source.wanted == set()
    assert bench.source.positions[P0] < 16
    leave.set()
    for _ in range(1000):
        await bench.runner.turn(bench.source)
    await bench.turn()
    assert bench.sink.applied == {P0: list(range(1000))}


async def test_the_runner_holds_a_limited_number_of_bytes() -> None:
    """At the limit no record is fetched, and the largest batch is completed early."""
    bench = Bench(offsets=range(100), limits=Limits(records=1000, bytes=1 << 30, age_s=1e9))
    bench.runner = bench.a_runner(held_bytes_max=20_000)
    bench.assign(P0)
    for _ in range(80):
        await bench.runner.turn(bench.source)
    cut = bench.sink.batches
    assert sum(cut) > 80
    assert max(cut) < 30


async def test_a_batch_that_is_not_packed_is_complete_when_its_memory_limit_is_reached(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Otherwise it would wait for its age, although no more records are fetched."""
    monkeypatch.setattr(lane, "UNPACKED_BYTES_MAX", 2000)
    bench = Bench(offsets=range(100), limits=Limits(records=1000, bytes=1 << 30, age_s=1e9))
    bench.assign(P0)
    for _ in range(80):
        await bench.runner.turn(bench.source)
    assert sum(bench.sink.batches) > 80


async def test_a_rejected_record_that_the_sink_does_not_name_is_found_by_halving() -> None:
    """It is alone in the end, and all others are applied, in order."""
    bench = Bench(offsets=range(16), limits=Limits(records=16, bytes=1 << 20, age_s=5))
    bench.sink.chokes_on = {6, 11}
    bench.assign(P0)
    await bench.turn(20)
    assert bench.dead_letters.offsets == [6, 11]
    assert bench.sink.applied == {P0: [o for o in range(16) if o not in (6, 11)]}
    # Its batches had 16, 8, 4, 2 and 1 records.
    assert bench.dead_letters.attempts[0] == 5


async def test_too_many_dead_letters_stop_the_consumer() -> None:
    """The record above the limit does not become a dead letter."""
    bench = Bench(offsets=range(40))
    bench.runner = bench.a_runner(set_aside_max=5)
    bench.sink.rejects = set(range(0, 40, 2))
    bench.assign(P0)
    with pytest.raises(Braked, match="5 of the last"):
        await bench.turn(100)
    assert bench.dead_letters.offsets == [0, 2, 4, 6, 8]


async def test_the_brake_counts_only_the_last_records() -> None:
    """A rejected record now and then never stops the consumer."""
    brake = Brake(1)
    for _ in range(3):
        brake.check("the sink is broken")
        brake.rejected()
        brake.applied(WINDOW_RECORDS)
    brake.rejected()
    brake.applied(WINDOW_RECORDS - 1)
    with pytest.raises(Braked, match="the sink is broken"):
        brake.check("the sink is broken")


async def test_a_record_that_waits_for_the_dead_letter_topic_counts_once() -> None:
    """An outage of the dead-letter topic is retried like one of the sink."""
    bench = Bench(offsets=range(4))
    bench.runner = bench.a_runner(set_aside_max=1)
    bench.sink.rejects = {0}
    bench.dead_letters.away = 5
    bench.assign(P0)
    for _ in range(6):
        bench.clock.now += WAIT_S_MAX
        await bench.turn()
    assert bench.dead_letters.offsets == [0]
    assert bench.sink.applied == {P0: [1, 2, 3]}


async def test_an_old_batch_is_dropped_and_fetched_again() -> None:
    """A member that was suspended must not write records that others have applied since."""
    bench = Bench(offsets=range(4))
    bench.sink.failures = [Unavailable("down")]
    bench.assign(P0)
    for _ in range(5):
        await bench.runner.turn(bench.source)
    bench.clock.now += BATCH_AGE_S_MAX + 6
    bench.sink.expects[P0] = 2
    handle, seen = bench.sink.handle, []

    async def watched(batch: Batch) -> None:
        seen.append(batch.begins_at)
        await handle(batch)

    bench.sink.handle = watched  # type: ignore[method-assign]
    await bench.turn()
    assert seen == [2]


async def test_a_topic_that_begins_after_the_sinks_position_stops_the_consumer() -> None:
    """Retention was faster than the sink; to continue would hide a loss."""
    bench = Bench()
    bench.sink.expects[P0] = 4
    bench.topic.begins_at = 5
    bench.assign(P0)
    with pytest.raises(Stopped, match="retention deleted"):
        await bench.turn()


async def test_records_that_another_member_wrote_and_retention_deleted_do_not_stop() -> None:
    """That happened after the sink was asked and before the fetch: the sink is asked again."""
    bench = Bench()
    bench.assign(P0)
    for _ in range(20):
        await asyncio.sleep(0)
    assert bench.source.positions == {P0: 0}
    bench.sink.expects[P0] = bench.topic.begins_at = 5
    await bench.turn()
    assert bench.sink.applied == {P0: [5, 6, 7, 8, 9]}


async def test_an_offset_that_the_topic_does_not_have_yet_stops_the_consumer() -> None:
    """The topic was recreated, and is shorter."""
    bench = Bench()
    bench.sink.expects[P0] = 20
    bench.assign(P0)
    with pytest.raises(Stopped, match="at 20, but the topic ends at 10"):
        await bench.turn()


async def test_the_last_record_is_compared_if_the_topic_still_has_it() -> None:
    """Another record at its offset is of another topic; a deleted record proves nothing."""
    bench = Bench()
    bench.sink.expects[P0] = 4
    bench.sink.last[P0] = (3, "o" * 16, 3)
    bench.assign(P0)
    await bench.turn()
    assert bench.sink.applied == {P0: [4, 5, 6, 7, 8, 9]}
    deleted = Bench(offsets=range(4, 10))
    deleted.topic.begins_at = 4
    deleted.sink.expects[P0] = 4
    deleted.sink.last[P0] = (3, "x", 3)
    deleted.assign(P0)
    await deleted.turn()
    assert deleted.sink.applied == {P0: [4, 5, 6, 7, 8, 9]}
    another = Bench()
    another.sink.expects[P0] = 4
    another.sink.last[P0] = (3, "x", 3)
    another.assign(P0)
    with pytest.raises(Stopped, match="created again"):
        await another.turn()
    assert another.sink.applied == {}


async def test_a_loop_and_a_handler_hang_but_not_an_unavailable_sink() -> None:
    """Only a process that hangs should be restarted."""
    bench = Bench()
    bench.sink.failures = [Unavailable("down")] * 99
    bench.assign(P0)
    for _ in range(5):
        await bench.turn()
        assert bench.runner.hanging() is None
    bench.clock.now += TURN_S_MAX + 1
    assert "the loop has not turned" in (bench.runner.hanging() or "")
    hung = Bench()

    async def never(_: Batch) -> None:
        await asyncio.Event().wait()

    hung.sink.handle = never  # type: ignore[assignment,method-assign]
    hung.assign(P0)
    await hung.turn()
    hung.clock.now += HANDLE_S
    await hung.turn(1)
    assert hung.runner.hanging() is None
    hung.clock.now += HANDLING_S_MAX - HANDLE_S
    await hung.turn(1)
    assert f"a write of {P0} has taken" in (hung.runner.hanging() or "")


async def test_metrics_show_the_lag_and_the_age_of_the_oldest_callback() -> None:
    """The age is since the receipt over HTTP; a topic that ends in markers has no lag."""
    bench = Bench(offsets=range(3))
    bench.topic.markers = 2
    received = time.time() - 100
    headers = (("ce_time", datetime.fromtimestamp(received, UTC).isoformat().encode()),)
    bench.topic.records[P0] = [r._replace(headers=headers) for r in bench.topic.records[P0]]
    bench.sink.failures = [Unavailable("down")]
    bench.assign(P0)
    await bench.runner.turn(bench.source)
    assert _shown("consumer_lag_offsets") == 5
    await bench.turn(2)
    await measured(bench)
    assert _shown("consumer_lag_offsets") == 5
    assert _shown("consumer_partitions_paused") == 1
    assert 100 <= _shown("consumer_oldest_waiting_seconds") < 130
    await bench.turn()
    assert bench.sink.applied == {P0: [0, 1, 2]}
    await measured(bench)
    for metric in ("lag_offsets", "partitions_paused", "oldest_waiting_seconds", "held_bytes"):
        assert _shown(f"consumer_{metric}") == 0, metric


async def measured(bench: Bench) -> None:
    """Do a turn that updates the metrics."""
    bench.clock.now += 2 * GAUGES_S
    await bench.runner.turn(bench.source)


def _shown(metric: str) -> float:
    """Return the value that a scrape would show."""
    found = CONSUMER.get_sample_value(metric)
    assert found is not None
    return found


async def test_the_position_is_committed_on_assignment_if_the_last_owner_did_not() -> None:
    """Otherwise an idle partition would seem to lag for as long as it is idle."""
    bench = Bench(offsets=range(5))
    bench.assign(P0)
    await bench.turn()
    bench.topic.committed[P0] = 3
    bench.assign(P0)
    await bench.runner.turn(bench.source)
    assert bench.topic.committed == {P0: 5}


async def test_a_bug_crashes_with_nothing_committed() -> None:
    """A retry would hide the bug."""
    bench = Bench()
    bench.sink.failures = [ZeroDivisionError("bug")]
    bench.assign(P0)
    with pytest.raises(ZeroDivisionError):
        await bench.turn()
    assert bench.topic.committed == {}


@pytest.mark.parametrize("error", [KafkaError("of another cluster"), OSError("its own disk")])
async def test_an_error_of_a_handler_does_not_pass_for_the_runtime_s_own(error: Exception) -> None:
    """Otherwise the process would wait for Kafka, or report an error of its port."""
    bench = Bench()
    bench.sink.failures = [error]
    bench.assign(P0)
    with pytest.raises(RuntimeError) as raised:
        await bench.turn()
    assert raised.value.__cause__ is error


async def test_a_rebalance_waits_for_the_delivery_in_flight_and_drops_the_rest() -> None:
    """The next owner asks the sink only after the last write of this member."""
    bench = Bench()
    entered, leave = asyncio.Event(), asyncio.Event()
    handle = bench.sink.handle

    async def slow(batch: Batch) -> None:
        entered.set()
        await leave.wait()
        await handle(batch)

    bench.sink.handle = slow  # type: ignore[method-assign]
    bench.assign(P0)
    turning = asyncio.create_task(bench.turn())
    await entered.wait()
    revoking = asyncio.create_task(bench.runner.revoked())
    await asyncio.sleep(0)
    assert not revoking.done()
    leave.set()
    await revoking
    await turning
    # In the sink, but neither committed nor followed by another batch: the partition was revoked.
    assert (bench.sink.applied, bench.topic.committed) == ({P0: [0, 1, 2, 3]}, {})


async def test_records_of_a_partition_that_is_not_assigned_are_not_delivered() -> None:
    """A fetch may return records of a partition that was just revoked."""
    bench = Bench()
    bench.topic.records[P1] = [a_record(0)]
    bench.source.seek(P1, 0)
    bench.assign(P0)
    await bench.turn()
    assert set(bench.sink.applied) == {P0}


def test_a_partition_is_shown_as_topic_and_number() -> None:
    """Logs and the archive's paths use this form."""
    assert str(Partition("t", 3)) == "t/3"


async def test_a_cancellation_that_the_runner_did_not_cause_is_a_bug() -> None:
    """Otherwise the partition would make no progress, and nothing would show it."""
    bench = Bench()
    bench.sink.failures = [asyncio.CancelledError()]  # type: ignore[list-item]  # no Exception
    bench.assign(P0)
    with pytest.raises(RuntimeError, match="CancelledError"):
        await bench.turn()


def another_topic(count: int) -> dict[Partition, list[Record]]:
    """Return records of another origin at the same offsets."""
    return {P0: [a_stored_record(offset, origin="n" * 16) for offset in range(count)]}


async def until_stopped(bench: Bench, *, seconds: float = 30) -> str:
    """Return the error with which the runner stops within the promised time."""
    until = bench.clock.now + seconds
    while bench.clock.now <= until:
        try:
            await bench.turn()
        except Stopped as stopped:
            return str(stopped)
    raise AssertionError(f"the runner has not stopped after {seconds:g} s")


@pytest.mark.parametrize("count", [0, 5, 10, 40])
async def test_a_topic_that_is_recreated_stops_an_idle_consumer(count: int) -> None:
    """Whatever number of records it has by then; none of them is in the sink."""
    bench = Bench()
    bench.topic.id = "one"
    bench.assign(P0)
    await bench.turn()
    assert bench.sink.topic_ids == {P0: "one"}
    bench.topic.recreate("two", another_topic(count))
    why = await until_stopped(bench)
    assert "id one. The topic of this name now has the id two" in why
    assert "CONSUMER_REBUILD=true" in why
    assert bench.sink.applied == {P0: list(range(10))}


async def test_a_topic_that_is_recreated_stops_a_consumer_whose_batch_still_grows() -> None:
    """A batch of the archive may grow for an hour."""
    bench = Bench(offsets=range(3), limits=Limits(records=100, bytes=1 << 20, age_s=3600))
    bench.topic.id = "one"
    bench.assign(P0)
    await bench.turn()
    bench.topic.recreate("two", another_topic(3))
    assert "id two" in await until_stopped(bench)
    assert bench.sink.applied == {}


async def test_a_log_that_is_restored_and_has_grown_stops_the_consumer() -> None:
    """The topic's id is the same, but the record before the position is not."""
    bench = Bench()
    bench.topic.id = "one"
    bench.assign(P0)
    await bench.turn()
    bench.topic.restore({P0: [a_record(o) for o in range(6)] + another_topic(40)[P0][6:]})
    assert "restored from an older copy" in await until_stopped(bench)
    assert bench.sink.applied == {P0: list(range(10))}


async def test_a_log_that_is_restored_and_ends_before_the_position_stops_the_consumer() -> None:
    """Even if the last record is still there, and only the markers after it are missing."""
    bench = Bench()
    bench.topic.markers = 3
    bench.assign(P0)
    await bench.turn()
    assert bench.sink.expects == {P0: 13}
    bench.topic.markers = 1
    bench.topic.restore(bench.topic.records)
    assert "at 13, but the topic ends at 11" in await until_stopped(bench)


async def test_a_restart_of_a_broker_does_not_stop_the_consumer() -> None:
    """The last record is compared again, and is the same."""
    bench = Bench()
    bench.assign(P0)
    await bench.turn()
    bench.topic.restarts += 1
    bench.topic.records[P0] += [a_record(offset) for offset in range(10, 14)]
    await bench.turn()
    await bench.turn()
    assert bench.sink.applied == {P0: list(range(14))}


async def test_a_batch_waits_until_kafka_returns_the_topics_id() -> None:
    """The fetched records may be of another topic."""
    bench = Bench()
    bench.assign(P0)
    await bench.runner.turn(bench.source)
    bench.topic.silent = True
    await bench.turn()
    assert bench.sink.applied == {}
    bench.topic.silent = False
    await bench.turn()
    await bench.turn()
    assert bench.sink.applied == {P0: list(range(10))}


async def test_a_topic_id_is_adopted_with_the_record_before_the_position() -> None:
    """A position without an id was stored when the broker reported none."""
    bench = Bench()
    bench.assign(P0)
    await bench.turn()
    assert bench.sink.topic_ids == {P0: None}
    bench.topic.id = "one"
    bench.topic.records[P0] += [a_record(10)]
    await bench.turn()
    await bench.turn()
    assert bench.sink.topic_ids == {P0: "one"}
    assert bench.sink.applied == {P0: list(range(11))}


async def test_a_topic_id_is_not_adopted_if_no_record_can_be_compared() -> None:
    """The id is adopted later, with the next record that can be."""
    bench = Bench()
    bench.sink.expects[P0], bench.sink.last[P0] = 6, (5, "o" * 16, 5)
    bench.topic.id, bench.topic.begins_at = "one", 6
    bench.assign(P0)
    await bench.turn()
    assert bench.sink.topic_ids == {P0: None}
    assert bench.sink.applied == {P0: [6, 7, 8, 9]}
    bench.assign(P0)
    bench.topic.records[P0] += [a_record(10)]
    await bench.turn()
    assert bench.sink.topic_ids == {P0: "one"}


@pytest.mark.parametrize("ids", [("one", "two"), (None, None)], ids=["ids", "no ids"])
async def test_of_two_pipelines_that_begin_on_one_sink_one_stops(
    ids: tuple[str | None, ...],
) -> None:
    """Two clusters with topics of one name: the sink has only the records of one of them."""
    one, two = Bench(offsets=range(30)), Bench()
    two.topic.records = another_topic(30)
    two.sink = one.sink
    two.runner = two.a_runner()
    one.topic.id, two.topic.id = ids
    running, stopped = [one, two], list[str]()
    for bench in running:
        bench.assign(P0)
    for _ in range(12):
        for bench in list(running):
            try:
                await bench.turn(2)
            except Stopped as reason:
                stopped.append(str(reason))
                running.remove(bench)
    assert (len(running), len(stopped)) == (1, 1)
    assert one.sink.applied == {P0: list(range(30))}
    origin, sequence = ("o" * 16, 29) if running == [one] else ("n" * 16, 30)
    assert one.sink.last[P0] == (29, origin, sequence)
