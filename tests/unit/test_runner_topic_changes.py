"""The runner stops if its topic was recreated or restored, and only then."""

import pytest
from support.builders import P0, a_record, a_stored_record
from support.runner_bench import RunnerBench

from consumers.runtime.batch import Limits, Partition, Record
from consumers.runtime.handler import Stopped


def another_topic(count: int) -> dict[Partition, list[Record]]:
    """Return records of another origin at the same offsets."""
    return {P0: [a_stored_record(offset, origin="n" * 16) for offset in range(count)]}


async def until_stopped(bench: RunnerBench, *, seconds: float = 30) -> str:
    """Return the error with which the runner stops within the promised time."""
    until = bench.clock.now + seconds
    while bench.clock.now <= until:
        try:
            await bench.run_rounds()
        except Stopped as stopped:
            return str(stopped)
    raise AssertionError(f"the runner has not stopped after {seconds:g} s")


@pytest.mark.parametrize("count", [0, 5, 10, 40])
async def test_a_topic_that_is_recreated_stops_an_idle_consumer(count: int) -> None:
    """The new topic may have any number of records; none of them is in the sink."""
    bench = RunnerBench()
    bench.topic.id = "one"
    bench.assign(P0)
    await bench.run_rounds()
    assert bench.sink.topic_ids == {P0: "one"}
    bench.topic.recreate("two", another_topic(count))
    why = await until_stopped(bench)
    assert "id one. The topic of this name now has the id two" in why
    assert "CONSUMER_REBUILD=true" in why
    assert bench.sink.applied == {P0: list(range(10))}


async def test_a_topic_that_is_recreated_stops_a_consumer_whose_batch_still_grows() -> None:
    """A batch of the archive may grow for an hour."""
    bench = RunnerBench(offsets=range(3), limits=Limits(records=100, bytes=1 << 20, age_s=3600))
    bench.topic.id = "one"
    bench.assign(P0)
    await bench.run_rounds()
    bench.topic.recreate("two", another_topic(3))
    assert "id two" in await until_stopped(bench)
    assert bench.sink.applied == {}


async def test_a_log_that_is_restored_and_has_grown_stops_the_consumer() -> None:
    """The topic's id is the same, but the record before the position is not."""
    bench = RunnerBench()
    bench.topic.id = "one"
    bench.assign(P0)
    await bench.run_rounds()
    bench.topic.restore({P0: [a_record(o) for o in range(6)] + another_topic(40)[P0][6:]})
    assert "restored from an older copy" in await until_stopped(bench)
    assert bench.sink.applied == {P0: list(range(10))}


async def test_a_log_that_is_restored_and_ends_before_the_position_stops_the_consumer() -> None:
    """This holds even if the last record is still there, and only later markers are missing."""
    bench = RunnerBench()
    bench.topic.markers = 3
    bench.assign(P0)
    await bench.run_rounds()
    assert bench.sink.expects == {P0: 13}
    bench.topic.markers = 1
    bench.topic.restore(bench.topic.records)
    assert "at 13, but the topic ends at 11" in await until_stopped(bench)


async def test_a_restart_of_a_broker_does_not_stop_the_consumer() -> None:
    """The last record is compared again, and is the same."""
    bench = RunnerBench()
    bench.assign(P0)
    await bench.run_rounds()
    bench.topic.restarts += 1
    bench.topic.records[P0] += [a_record(offset) for offset in range(10, 14)]
    await bench.run_rounds()
    await bench.run_rounds()
    assert bench.sink.applied == {P0: list(range(14))}


async def test_a_batch_waits_until_kafka_returns_the_topics_id() -> None:
    """The fetched records may be of another topic."""
    bench = RunnerBench()
    bench.assign(P0)
    await bench.runner.run_round(bench.source)
    bench.topic.silent = True
    await bench.run_rounds()
    assert bench.sink.applied == {}
    bench.topic.silent = False
    await bench.run_rounds()
    await bench.run_rounds()
    assert bench.sink.applied == {P0: list(range(10))}


async def test_a_topic_id_is_adopted_with_the_record_before_the_position() -> None:
    """A position without an id was stored when the broker reported none."""
    bench = RunnerBench()
    bench.assign(P0)
    await bench.run_rounds()
    assert bench.sink.topic_ids == {P0: None}
    bench.topic.id = "one"
    bench.topic.records[P0] += [a_record(10)]
    await bench.run_rounds()
    await bench.run_rounds()
    assert bench.sink.topic_ids == {P0: "one"}
    assert bench.sink.applied == {P0: list(range(11))}


async def test_a_topic_id_is_not_adopted_if_no_record_can_be_compared() -> None:
    """The id is adopted later, with the next record that can be."""
    bench = RunnerBench()
    bench.sink.expects[P0], bench.sink.last[P0] = 6, (5, "o" * 16, 5)
    bench.topic.id, bench.topic.begins_at = "one", 6
    bench.assign(P0)
    await bench.run_rounds()
    assert bench.sink.topic_ids == {P0: None}
    assert bench.sink.applied == {P0: [6, 7, 8, 9]}
    bench.assign(P0)
    bench.topic.records[P0] += [a_record(10)]
    await bench.run_rounds()
    assert bench.sink.topic_ids == {P0: "one"}


@pytest.mark.parametrize("ids", [("one", "two"), (None, None)], ids=["ids", "no ids"])
async def test_of_two_pipelines_that_begin_on_one_sink_one_stops(
    ids: tuple[str | None, ...],
) -> None:
    """Two clusters with topics of one name: the sink has only the records of one of them."""
    one, two = RunnerBench(offsets=range(30)), RunnerBench()
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
                await bench.run_rounds(2)
            except Stopped as reason:
                stopped.append(str(reason))
                running.remove(bench)
    assert (len(running), len(stopped)) == (1, 1)
    assert one.sink.applied == {P0: list(range(30))}
    origin, sequence = ("o" * 16, 29) if running == [one] else ("n" * 16, 30)
    assert one.sink.last[P0] == (29, origin, sequence)
