"""The loop of every consumer, with a fake source and a sink in memory."""

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
    """A runner with everything that it needs, none of it real."""

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
        """Return a runner with other bounds than the defaults."""
        return Runner(
            name="bench",
            handler=self.sink,
            limits=self.limits,
            dead_letters=self.dead_letters,
            clock=self.clock,
            **fields,
        )

    def give(self, *partitions: Partition) -> None:
        """Assign partitions."""
        self.runner.assigned(self.source, partitions)

    async def turn(self, times: int = 6) -> None:
        """Let the loop turn, then let what is held grow old."""
        for _ in range(times):
            await self.runner.turn(self.source)
        self.clock.now += 5
        for _ in range(times):
            await self.runner.turn(self.source)


async def test_every_record_is_applied_once_in_order_then_committed() -> None:
    """Full batches at once, the rest when it is old enough."""
    bench = Bench()
    bench.give(P0)
    await bench.turn()
    assert bench.sink.applied == {P0: list(range(10))}
    assert bench.topic.committed == {P0: 10}


async def test_the_sinks_position_is_the_authority() -> None:
    """Kafka's committed offset is for lag tools; forward and back, the sink decides."""
    bench = Bench()
    bench.sink.expects[P0] = 4
    bench.topic.committed[P0] = 8
    bench.give(P0)
    await bench.turn()
    assert bench.sink.applied == {P0: [4, 5, 6, 7, 8, 9]}


async def test_a_sink_that_stands_elsewhere_is_followed() -> None:
    """Another writer was there: forward. The sink was put back: back. Nothing twice, no gap."""
    bench = Bench(offsets=range(20))
    bench.give(P0)
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
    """The sink was emptied or is another one; a person decides, and the text says how."""
    bench = Bench()
    bench.topic.committed[P0] = 8
    bench.give(P0)
    with pytest.raises(Stopped, match="CONSUMER_REBUILD=true"):
        await bench.turn()
    bench = Bench(rebuild=True)
    bench.topic.committed[P0] = 8
    bench.give(P0)
    await bench.turn()
    assert bench.sink.applied == {P0: list(range(10))}


async def test_an_idle_sink_that_was_put_back_is_followed_without_a_new_record() -> None:
    """A restored copy, or a store that lost its last second, would have a hole until then."""
    bench = Bench()
    bench.give(P0)
    await bench.turn()
    bench.sink.put_back({P0: 6})
    for _ in range(6):
        await bench.runner.turn(bench.source)
    assert bench.sink.expects == {P0: 6}
    bench.clock.now += RECHECK_S
    await bench.turn()
    assert bench.sink.applied == {P0: list(range(10))}


async def test_a_sink_that_is_emptied_on_the_way_stops_the_consumer() -> None:
    """With the next record, or without any; a person decides whether to build it anew."""
    bench = Bench()
    bench.give(P0)
    await bench.turn()
    bench.sink.put_back({})
    bench.topic.records[P0] += [a_record(10)]
    with pytest.raises(Stopped, match="CONSUMER_REBUILD=true"):
        await bench.turn()
    idle = Bench()
    idle.give(P0)
    await idle.turn()
    idle.sink.put_back({})
    idle.clock.now += RECHECK_S
    with pytest.raises(Stopped, match="CONSUMER_REBUILD=true"):
        await idle.turn()


async def test_a_sink_that_cannot_be_asked_is_asked_again() -> None:
    """At the beginning and while idle; nothing is fetched before it has answered."""
    bench = Bench()
    bench.sink.silent = True
    bench.give(P0)
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


async def test_while_the_sink_is_unavailable_nothing_more_is_fetched() -> None:
    """Nothing is set aside or skipped, and the same batch comes again after a growing wait."""
    bench = Bench()
    bench.sink.failures = [Unavailable("down"), Unavailable("down")]
    bench.give(P0)
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


async def test_a_sink_that_comes_back_elsewhere_is_read_from_there() -> None:
    """It was away because it was put back to an older state."""
    bench = Bench()
    bench.give(P0)
    await bench.turn()
    await bench.turn()
    bench.topic.records[P0] += [a_record(10)]
    bench.sink.failures = [Unavailable("down")]
    await bench.turn()
    bench.sink.put_back({P0: 4})
    await bench.turn()
    await bench.turn()
    assert bench.sink.applied == {P0: list(range(11))}


async def test_a_partition_whose_sink_is_away_does_not_hold_up_another() -> None:
    """Nor does one whose write is slow."""
    bench = Bench()
    bench.topic.records[P1] = [a_record(offset) for offset in range(10)]
    handle, leave = bench.sink.handle, asyncio.Event()

    async def slow_for_one(batch: Batch) -> None:
        if batch.partition == P0:
            await leave.wait()
        await handle(batch)

    bench.sink.handle = slow_for_one  # type: ignore[method-assign]
    bench.give(P0, P1)
    await bench.turn()
    assert bench.sink.applied == {P1: list(range(10))}
    leave.set()
    await bench.turn()
    assert bench.sink.applied == {P0: list(range(10)), P1: list(range(10))}


async def test_a_rejected_record_is_set_aside_and_the_rest_goes_on() -> None:
    """Its neighbours are applied, and the batch covers its offset."""
    bench = Bench()
    bench.sink.rejects = {2, 9}
    bench.give(P0)
    await bench.turn()
    assert bench.dead_letters.offsets == [2, 9]
    assert bench.sink.applied == {P0: [0, 1, 3, 4, 5, 6, 7, 8]}
    assert bench.topic.committed == {P0: 10}


async def test_what_was_set_aside_does_not_come_again_when_the_rest_has_to_wait() -> None:
    """Otherwise a batch with many bad records would be set aside for ever."""
    bench = Bench()
    bench.sink.rejects = {1}
    bench.sink.failures_after_rejection = [Unavailable("down")]
    bench.give(P0)
    for _ in range(4):
        await bench.runner.turn(bench.source)
    assert (bench.dead_letters.offsets, bench.sink.applied) == ([1], {})
    bench.clock.now += WAIT_S
    await bench.turn()
    assert bench.dead_letters.offsets == [1]
    assert bench.sink.applied == {P0: [0, *range(2, 10)]}


async def test_the_sinks_position_is_behind_the_markers_that_follow() -> None:
    """Else retention would leave it before the topic's beginning, with nothing lost."""
    bench = Bench()
    bench.topic.markers = 3
    bench.give(P0)
    await bench.turn()
    assert bench.sink.expects == {P0: 13}
    assert bench.topic.committed == {P0: 13}


async def test_what_is_held_is_bounded_by_batches() -> None:
    """A partition with two that wait fetches no more, however large the backlog is."""
    bench = Bench(offsets=range(1000))
    leave = asyncio.Event()
    handle = bench.sink.handle

    async def slow(batch: Batch) -> None:
        await leave.wait()
        await handle(batch)

    bench.sink.handle = slow  # type: ignore[method-assign]
    bench.give(P0)
    await bench.turn(20)
    assert bench.source.wanted == set()
    assert bench.source.positions[P0] < 16
    leave.set()
    for _ in range(1000):
        await bench.runner.turn(bench.source)
    await bench.turn()
    assert bench.sink.applied == {P0: list(range(1000))}


async def test_what_is_held_is_bounded_by_bytes() -> None:
    """At the bound nothing is fetched, and the largest batch is closed early, so all goes on."""
    bench = Bench(offsets=range(100), limits=Limits(records=1000, bytes=1 << 30, age_s=1e9))
    bench.runner = bench.a_runner(held_bytes_max=20_000)
    bench.give(P0)
    for _ in range(80):
        await bench.runner.turn(bench.source)
    cut = bench.sink.batches
    assert sum(cut) > 80
    assert max(cut) < 30


async def test_what_is_not_packed_leaves_when_nothing_more_is_fetched(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else it would wait for its age, however much there is to be read."""
    monkeypatch.setattr(lane, "UNPACKED_BYTES_MAX", 2000)
    bench = Bench(offsets=range(100), limits=Limits(records=1000, bytes=1 << 30, age_s=1e9))
    bench.give(P0)
    for _ in range(80):
        await bench.runner.turn(bench.source)
    assert sum(bench.sink.batches) > 80


async def test_a_record_that_the_sink_does_not_name_is_found_by_halves() -> None:
    """It stands alone in the end, and all others are applied, in order."""
    bench = Bench(offsets=range(16), limits=Limits(records=16, bytes=1 << 20, age_s=5))
    bench.sink.chokes_on = {6, 11}
    bench.give(P0)
    await bench.turn(20)
    assert bench.dead_letters.offsets == [6, 11]
    assert bench.sink.applied == {P0: [o for o in range(16) if o not in (6, 11)]}
    # As often as it took to find it: 16, 8, 4, 2, 1.
    assert bench.dead_letters.attempts[0] == 5


async def test_too_many_dead_letters_stop_the_consumer() -> None:
    """It is more likely to be wrong than all of them; the one too many is not set aside."""
    bench = Bench(offsets=range(40))
    bench.runner = bench.a_runner(set_aside_max=5)
    bench.sink.rejects = set(range(0, 40, 2))
    bench.give(P0)
    with pytest.raises(Braked, match="5 of the last"):
        await bench.turn(100)
    assert bench.dead_letters.offsets == [0, 2, 4, 6, 8]


async def test_the_brake_looks_at_the_last_records_alone() -> None:
    """Now and then one is no reason to stop, for ever."""
    brake = Brake(1)
    for _ in range(3):
        brake.check("it is bad")
        brake.rejected()
        brake.applied(WINDOW_RECORDS)
    brake.rejected()
    brake.applied(WINDOW_RECORDS - 1)
    with pytest.raises(Braked, match="it is bad"):
        brake.check("it is bad")


async def test_a_record_that_waits_to_be_set_aside_counts_once() -> None:
    """A dead-letter topic that is away for an hour is waited for, like a sink."""
    bench = Bench(offsets=range(4))
    bench.runner = bench.a_runner(set_aside_max=1)
    bench.sink.rejects = {0}
    bench.dead_letters.away = 5
    bench.give(P0)
    for _ in range(6):
        bench.clock.now += WAIT_S_MAX
        await bench.turn()
    assert bench.dead_letters.offsets == [0]
    assert bench.sink.applied == {P0: [1, 2, 3]}


async def test_an_old_batch_is_dropped_and_fetched_again() -> None:
    """A member that slept must not write what others have passed since."""
    bench = Bench(offsets=range(4))
    bench.sink.failures = [Unavailable("down")]
    bench.give(P0)
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


async def test_a_topic_that_begins_behind_the_sink_stops_the_consumer() -> None:
    """Retention was quicker than the sink; going on would hide a loss."""
    bench = Bench()
    bench.sink.expects[P0] = 4
    bench.topic.begins_at = 5
    bench.give(P0)
    with pytest.raises(Stopped, match="retention deleted"):
        await bench.turn()


async def test_what_another_member_wrote_and_retention_deleted_meanwhile_stops_nothing() -> None:
    """The sink was asked before, the topic is read after that: it is asked again."""
    bench = Bench()
    bench.give(P0)
    for _ in range(20):
        await asyncio.sleep(0)
    assert bench.source.positions == {P0: 0}
    bench.sink.expects[P0] = bench.topic.begins_at = 5
    await bench.turn()
    assert bench.sink.applied == {P0: [5, 6, 7, 8, 9]}


async def test_an_offset_that_the_topic_does_not_have_yet_stops_the_consumer() -> None:
    """The topic was recreated, and is shorter; the sink says the same when it is asked again."""
    bench = Bench()
    bench.sink.expects[P0] = 20
    bench.give(P0)
    with pytest.raises(Stopped, match="at 20, but the topic ends at 10"):
        await bench.turn()


async def test_the_last_record_is_recognized_where_the_topic_still_has_it() -> None:
    """Another one in its place is another incarnation of the topic; a deleted one tells nothing."""
    bench = Bench()
    bench.sink.expects[P0] = 4
    bench.sink.last[P0] = (3, "o" * 16, 3)
    bench.give(P0)
    await bench.turn()
    assert bench.sink.applied == {P0: [4, 5, 6, 7, 8, 9]}
    deleted = Bench(offsets=range(4, 10))
    deleted.topic.begins_at = 4
    deleted.sink.expects[P0] = 4
    deleted.sink.last[P0] = (3, "x", 3)
    deleted.give(P0)
    await deleted.turn()
    assert deleted.sink.applied == {P0: [4, 5, 6, 7, 8, 9]}
    another = Bench()
    another.sink.expects[P0] = 4
    another.sink.last[P0] = (3, "x", 3)
    another.give(P0)
    with pytest.raises(Stopped, match="created again"):
        await another.turn()
    assert another.sink.applied == {}


async def test_only_what_hangs_is_told_as_hanging() -> None:
    """A loop that stands still, a handler that does not end; not a sink that is away."""
    bench = Bench()
    bench.sink.failures = [Unavailable("down")] * 99
    bench.give(P0)
    for _ in range(5):
        await bench.turn()
        assert bench.runner.hanging() is None
    bench.clock.now += TURN_S_MAX + 1
    assert "the loop has not turned" in (bench.runner.hanging() or "")
    hung = Bench()

    async def never(_: Batch) -> None:
        await asyncio.Event().wait()

    hung.sink.handle = never  # type: ignore[assignment,method-assign]
    hung.give(P0)
    await hung.turn()
    hung.clock.now += HANDLE_S
    await hung.turn(1)
    assert hung.runner.hanging() is None
    hung.clock.now += HANDLING_S_MAX - HANDLE_S
    await hung.turn(1)
    assert f"a write of {P0} has taken" in (hung.runner.hanging() or "")


async def test_metrics_say_what_is_not_in_the_sink_and_how_old_it_is() -> None:
    """From the receipt over HTTP on; a topic that ends in markers has no lag."""
    bench = Bench(offsets=range(3))
    bench.topic.markers = 2
    received = time.time() - 100
    told = (("ce_time", datetime.fromtimestamp(received, UTC).isoformat().encode()),)
    bench.topic.records[P0] = [r._replace(headers=told) for r in bench.topic.records[P0]]
    bench.sink.failures = [Unavailable("down")]
    bench.give(P0)
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
    """Let the time come at which the metrics tell how it is."""
    bench.clock.now += 2 * GAUGES_S
    await bench.runner.turn(bench.source)


def _shown(metric: str) -> float:
    """Return what a scrape would show."""
    found = CONSUMER.get_sample_value(metric)
    assert found is not None
    return found


async def test_what_the_last_owner_did_not_commit_is_committed_without_a_batch() -> None:
    """Else an idle partition would seem to lag for as long as it is idle."""
    bench = Bench(offsets=range(5))
    bench.give(P0)
    await bench.turn()
    bench.topic.committed[P0] = 3
    bench.give(P0)
    await bench.runner.turn(bench.source)
    assert bench.topic.committed == {P0: 5}


async def test_a_bug_crashes_with_nothing_committed() -> None:
    """Retried, it would hide for ever."""
    bench = Bench()
    bench.sink.failures = [ZeroDivisionError("bug")]
    bench.give(P0)
    with pytest.raises(ZeroDivisionError):
        await bench.turn()
    assert bench.topic.committed == {}


@pytest.mark.parametrize("error", [KafkaError("of another cluster"), OSError("its own disk")])
async def test_an_error_of_a_handler_does_not_pass_for_the_runtime_s_own(error: Exception) -> None:
    """It would be waited out as Kafka's, or told without its place, as a port's."""
    bench = Bench()
    bench.sink.failures = [error]
    bench.give(P0)
    with pytest.raises(RuntimeError) as raised:
        await bench.turn()
    assert raised.value.__cause__ is error


async def test_a_rebalance_waits_for_the_delivery_in_flight_and_drops_the_rest() -> None:
    """The next owner asks the sink only after the last write of this one."""
    bench = Bench()
    entered, leave = asyncio.Event(), asyncio.Event()
    handle = bench.sink.handle

    async def slow(batch: Batch) -> None:
        entered.set()
        await leave.wait()
        await handle(batch)

    bench.sink.handle = slow  # type: ignore[method-assign]
    bench.give(P0)
    turning = asyncio.create_task(bench.turn())
    await entered.wait()
    taking = asyncio.create_task(bench.runner.revoked())
    await asyncio.sleep(0)
    assert not taking.done()
    leave.set()
    await taking
    await turning
    # In the sink, but neither committed nor followed by another batch: the lease had ended.
    assert (bench.sink.applied, bench.topic.committed) == ({P0: [0, 1, 2, 3]}, {})


async def test_records_of_a_partition_that_was_not_placed_are_not_delivered() -> None:
    """A fetch may be quicker than the question where the sink stands."""
    bench = Bench()
    bench.topic.records[P1] = [a_record(0)]
    bench.source.seek(P1, 0)
    bench.give(P0)
    await bench.turn()
    assert set(bench.sink.applied) == {P0}


def test_a_partition_is_written_as_people_write_it() -> None:
    """In logs and in the archive's paths."""
    assert str(Partition("t", 3)) == "t/3"


async def test_a_cancellation_that_nobody_asked_for_is_a_bug() -> None:
    """As of a client that was closed elsewhere; else the partition would stand still in silence."""
    bench = Bench()
    bench.sink.failures = [asyncio.CancelledError()]  # type: ignore[list-item]  # no Exception
    bench.give(P0)
    with pytest.raises(RuntimeError, match="CancelledError"):
        await bench.turn()


def another_topic(count: int) -> dict[Partition, list[Record]]:
    """Return records of another origin at the same offsets."""
    return {P0: [a_stored_record(offset, origin="n" * 16) for offset in range(count)]}


async def until_stopped(bench: Bench, *, seconds: float = 30) -> str:
    """Return why it stopped, within the time that is promised."""
    until = bench.clock.now + seconds
    while bench.clock.now <= until:
        try:
            await bench.turn()
        except Stopped as stopped:
            return str(stopped)
    raise AssertionError(f"after {seconds:g} s it goes on")


@pytest.mark.parametrize("count", [0, 5, 10, 40])
async def test_a_topic_that_is_recreated_stops_an_idle_consumer(count: int) -> None:
    """However many records it has by then; none of them is in the sink."""
    bench = Bench()
    bench.topic.id = "one"
    bench.give(P0)
    await bench.turn()
    assert bench.sink.topic_ids == {P0: "one"}
    bench.topic.recreate("two", another_topic(count))
    why = await until_stopped(bench)
    assert "id one. The topic of this name now has the id two" in why
    assert "CONSUMER_REBUILD=true" in why
    assert bench.sink.applied == {P0: list(range(10))}


async def test_a_batch_that_grows_for_long_does_not_hide_that_the_topic_is_another() -> None:
    """As the archive's, which may be held for an hour."""
    bench = Bench(offsets=range(3), limits=Limits(records=100, bytes=1 << 20, age_s=3600))
    bench.topic.id = "one"
    bench.give(P0)
    await bench.turn()
    bench.topic.recreate("two", another_topic(3))
    assert "id two" in await until_stopped(bench)
    assert bench.sink.applied == {}


async def test_a_log_that_is_restored_and_has_grown_stops_the_consumer() -> None:
    """The topic's id is the same, the record before the position is not."""
    bench = Bench()
    bench.topic.id = "one"
    bench.give(P0)
    await bench.turn()
    bench.topic.restore({P0: [a_record(o) for o in range(6)] + another_topic(40)[P0][6:]})
    assert "restored from an older copy" in await until_stopped(bench)
    assert bench.sink.applied == {P0: list(range(10))}


async def test_a_log_that_is_restored_and_ends_before_the_position_stops_the_consumer() -> None:
    """Also where the last record is still there, and only the markers after it are not."""
    bench = Bench()
    bench.topic.markers = 3
    bench.give(P0)
    await bench.turn()
    assert bench.sink.expects == {P0: 13}
    bench.topic.markers = 1
    bench.topic.restore(bench.topic.records)
    assert "at 13, but the topic ends at 11" in await until_stopped(bench)


async def test_a_broker_that_is_restarted_costs_nothing() -> None:
    """The last record is compared again, and is the same."""
    bench = Bench()
    bench.give(P0)
    await bench.turn()
    bench.topic.restarts += 1
    bench.topic.records[P0] += [a_record(offset) for offset in range(10, 14)]
    await bench.turn()
    await bench.turn()
    assert bench.sink.applied == {P0: list(range(14))}


async def test_a_batch_waits_until_kafka_tells_the_topics_id() -> None:
    """The client may hold records of another topic."""
    bench = Bench()
    bench.give(P0)
    await bench.runner.turn(bench.source)
    bench.topic.silent = True
    await bench.turn()
    assert bench.sink.applied == {}
    bench.topic.silent = False
    await bench.turn()
    await bench.turn()
    assert bench.sink.applied == {P0: list(range(10))}


async def test_a_topic_id_is_adopted_with_the_record_before_the_position() -> None:
    """A position without one is of a time when the broker reported none."""
    bench = Bench()
    bench.give(P0)
    await bench.turn()
    assert bench.sink.topic_ids == {P0: None}
    bench.topic.id = "one"
    bench.topic.records[P0] += [a_record(10)]
    await bench.turn()
    await bench.turn()
    assert bench.sink.topic_ids == {P0: "one"}
    assert bench.sink.applied == {P0: list(range(11))}


async def test_a_topic_id_is_not_adopted_where_no_record_can_be_compared() -> None:
    """Only once the position is after a record that can be."""
    bench = Bench()
    bench.sink.expects[P0], bench.sink.last[P0] = 6, (5, "o" * 16, 5)
    bench.topic.id, bench.topic.begins_at = "one", 6
    bench.give(P0)
    await bench.turn()
    assert bench.sink.topic_ids == {P0: None}
    assert bench.sink.applied == {P0: [6, 7, 8, 9]}
    bench.give(P0)
    bench.topic.records[P0] += [a_record(10)]
    await bench.turn()
    assert bench.sink.topic_ids == {P0: "one"}


@pytest.mark.parametrize("ids", [("one", "two"), (None, None)], ids=["ids", "no ids"])
async def test_of_two_pipelines_that_begin_on_one_sink_one_stops(
    ids: tuple[str | None, ...],
) -> None:
    """Two clusters with topics of one name: the sink has the records of one of them alone."""
    one, two = Bench(offsets=range(30)), Bench()
    two.topic.records = another_topic(30)
    two.sink = one.sink
    two.runner = two.a_runner()
    one.topic.id, two.topic.id = ids
    running, stopped = [one, two], list[str]()
    for bench in running:
        bench.give(P0)
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
