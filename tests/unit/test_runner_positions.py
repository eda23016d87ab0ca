"""The runner continues at the position of its sink, or stops if the topic contradicts it."""

import asyncio

import pytest
from support.builders import P0, a_record
from support.runner_bench import RunnerBench

from consumers.runtime.handler import Stopped, Unavailable
from consumers.runtime.positioning import RECHECK_INTERVAL_S


async def test_the_sinks_position_is_the_authority() -> None:
    """Kafka's committed offset is only for lag tools, even if it is higher."""
    bench = RunnerBench()
    bench.sink.expects[P0] = 4
    bench.topic.committed[P0] = 8
    bench.assign(P0)
    await bench.run_rounds()
    assert bench.sink.applied == {P0: [4, 5, 6, 7, 8, 9]}


async def test_the_runner_continues_at_the_position_that_a_refused_write_returns() -> None:
    """It moves forward if another member wrote, and back if the sink was restored."""
    bench = RunnerBench(offsets=range(20))
    bench.assign(P0)
    await bench.runner.run_round(bench.source)
    bench.sink.expects[P0] = 7
    await bench.run_rounds(8)
    assert bench.sink.applied[P0] == list(range(7, 20))
    bench.topic.records[P0] += [a_record(20)]
    bench.sink.expects[P0], bench.sink.last[P0] = 17, None
    await bench.run_rounds(8)
    await bench.run_rounds(8)
    assert bench.sink.applied[P0][-4:] == [17, 18, 19, 20]


async def test_an_empty_sink_of_a_group_that_has_committed_stops() -> None:
    """The sink was emptied or is another one; the error says what a person can do."""
    bench = RunnerBench()
    bench.topic.committed[P0] = 8
    bench.assign(P0)
    with pytest.raises(Stopped, match="CONSUMER_REBUILD=true"):
        await bench.run_rounds()
    bench = RunnerBench(may_refill_sink=True)
    bench.topic.committed[P0] = 8
    bench.assign(P0)
    await bench.run_rounds()
    assert bench.sink.applied == {P0: list(range(10))}


async def test_an_idle_sink_that_was_restored_is_completed_without_a_new_record() -> None:
    """Otherwise it would lack records until the next one arrives."""
    bench = RunnerBench()
    bench.assign(P0)
    await bench.run_rounds()
    bench.sink.put_back({P0: 6})
    for _ in range(6):
        await bench.runner.run_round(bench.source)
    assert bench.sink.expects == {P0: 6}
    bench.clock.now += RECHECK_INTERVAL_S
    await bench.run_rounds()
    assert bench.sink.applied == {P0: list(range(10))}


async def test_a_sink_that_is_emptied_later_stops_the_consumer() -> None:
    """It stops even without a new record; a person decides whether to rebuild the sink."""
    bench = RunnerBench()
    bench.assign(P0)
    await bench.run_rounds()
    bench.sink.put_back({})
    bench.topic.records[P0] += [a_record(10)]
    with pytest.raises(Stopped, match="CONSUMER_REBUILD=true"):
        await bench.run_rounds()
    idle = RunnerBench()
    idle.assign(P0)
    await idle.run_rounds()
    idle.sink.put_back({})
    idle.clock.now += RECHECK_INTERVAL_S
    with pytest.raises(Stopped, match="CONSUMER_REBUILD=true"):
        await idle.run_rounds()


async def test_a_sink_that_does_not_answer_is_asked_again() -> None:
    """On assignment and while idle, no record is fetched before the sink has answered."""
    bench = RunnerBench()
    bench.sink.silent = True
    bench.assign(P0)
    await bench.runner.run_round(bench.source)
    assert bench.source.positions == {}
    bench.sink.silent = False
    await bench.run_rounds()
    await bench.run_rounds()
    bench.sink.put_back({P0: 6})
    bench.sink.silent = True
    bench.clock.now += RECHECK_INTERVAL_S
    await bench.run_rounds()
    assert bench.sink.expects == {P0: 6}
    bench.sink.silent = False
    bench.clock.now += RECHECK_INTERVAL_S
    await bench.run_rounds()
    assert bench.sink.applied == {P0: list(range(10))}


async def test_a_sink_that_was_restored_during_its_outage_is_completed() -> None:
    """The runner continues at the older position."""
    bench = RunnerBench()
    bench.assign(P0)
    await bench.run_rounds()
    await bench.run_rounds()
    bench.topic.records[P0] += [a_record(10)]
    bench.sink.failures = [Unavailable("down")]
    await bench.run_rounds()
    bench.sink.put_back({P0: 4})
    await bench.run_rounds()
    await bench.run_rounds()
    assert bench.sink.applied == {P0: list(range(11))}


async def test_the_sinks_position_is_after_the_markers_that_follow() -> None:
    """Otherwise it would be before the topic's beginning once retention has deleted the records."""
    bench = RunnerBench()
    bench.topic.markers = 3
    bench.assign(P0)
    await bench.run_rounds()
    assert bench.sink.expects == {P0: 13}
    assert bench.topic.committed == {P0: 13}


async def test_a_topic_that_begins_after_the_sinks_position_stops_the_consumer() -> None:
    """Retention was faster than the sink; to continue would hide a loss."""
    bench = RunnerBench()
    bench.sink.expects[P0] = 4
    bench.topic.begins_at = 5
    bench.assign(P0)
    with pytest.raises(Stopped, match="retention deleted"):
        await bench.run_rounds()


async def test_records_that_another_member_wrote_and_retention_deleted_do_not_stop() -> None:
    """That happened after the sink was asked and before the fetch: the sink is asked again."""
    bench = RunnerBench()
    bench.assign(P0)
    for _ in range(20):
        await asyncio.sleep(0)
    assert bench.source.positions == {P0: 0}
    bench.sink.expects[P0] = bench.topic.begins_at = 5
    await bench.run_rounds()
    assert bench.sink.applied == {P0: [5, 6, 7, 8, 9]}


async def test_an_offset_that_the_topic_does_not_have_yet_stops_the_consumer() -> None:
    """The topic was recreated, and is shorter."""
    bench = RunnerBench()
    bench.sink.expects[P0] = 20
    bench.assign(P0)
    with pytest.raises(Stopped, match="at 20, but the topic ends at 10"):
        await bench.run_rounds()


async def test_the_last_record_is_compared_if_the_topic_still_has_it() -> None:
    """Another record at its offset is of another topic; a deleted record proves nothing."""
    bench = RunnerBench()
    bench.sink.expects[P0] = 4
    bench.sink.last[P0] = (3, "o" * 16, 3)
    bench.assign(P0)
    await bench.run_rounds()
    assert bench.sink.applied == {P0: [4, 5, 6, 7, 8, 9]}
    deleted = RunnerBench(offsets=range(4, 10))
    deleted.topic.begins_at = 4
    deleted.sink.expects[P0] = 4
    deleted.sink.last[P0] = (3, "x", 3)
    deleted.assign(P0)
    await deleted.run_rounds()
    assert deleted.sink.applied == {P0: [4, 5, 6, 7, 8, 9]}
    another = RunnerBench()
    another.sink.expects[P0] = 4
    another.sink.last[P0] = (3, "x", 3)
    another.assign(P0)
    with pytest.raises(Stopped, match="created again"):
        await another.run_rounds()
    assert another.sink.applied == {}


async def test_the_position_is_committed_on_assignment_if_the_last_owner_did_not() -> None:
    """Otherwise an idle partition would seem to lag for as long as it is idle."""
    bench = RunnerBench(offsets=range(5))
    bench.assign(P0)
    await bench.run_rounds()
    bench.topic.committed[P0] = 3
    bench.assign(P0)
    await bench.runner.run_round(bench.source)
    assert bench.topic.committed == {P0: 5}
