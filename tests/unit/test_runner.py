"""The loop of every consumer, with a fake source and a sink in memory."""

import asyncio
import random

import pytest
from builders import P0, P1, a_record
from fakes import FakeSource, ManualClock, MemoryDeadLetters, MemorySink, MemoryTopic

from consumers.runtime.batch import Batch, Limits, Partition
from consumers.runtime.handler import Stopped, Unavailable
from consumers.runtime.runner import POSTPONE_S, RECHECK_S, Runner


class Bench:
    """A runner with everything that it needs, none of it real."""

    def __init__(self, *, rebuild: bool = False, offsets: range = range(10)) -> None:
        self.topic = MemoryTopic()
        self.topic.records[P0] = [a_record(offset) for offset in offsets]
        self.source = FakeSource(self.topic)
        self.sink = MemorySink()
        self.dead_letters = MemoryDeadLetters()
        self.clock = ManualClock()
        self.runner = Runner(
            name="bench",
            handler=self.sink,
            limits=Limits(records=4, bytes=1 << 20, age_s=5),
            dead_letters=self.dead_letters,
            rebuild=rebuild,
            clock=self.clock,
        )

    async def turn(self, times: int = 6) -> None:
        """Let the loop turn, then let what is held grow old."""
        for _ in range(times):
            await self.runner.turn(self.source)
        self.clock.now += 5
        await self.runner.turn(self.source)


async def test_every_record_is_applied_once_in_order_then_committed() -> None:
    """Full batches at once, the rest when it is old enough."""
    bench = Bench()
    bench.runner.given([P0])
    await bench.turn()
    assert bench.sink.applied == {P0: list(range(10))}
    assert bench.topic.committed == {P0: 10}


async def test_the_sinks_position_is_the_authority() -> None:
    """Kafka's committed offset is for lag tools; forward and back, the sink decides."""
    bench = Bench()
    bench.sink.expects[P0] = 4
    bench.topic.committed[P0] = 8
    bench.runner.given([P0])
    await bench.turn()
    assert bench.sink.applied == {P0: [4, 5, 6, 7, 8, 9]}


async def test_a_sink_that_stands_elsewhere_is_followed() -> None:
    """Another writer was there: forward. The sink was put back: back. Nothing twice, no gap."""
    bench = Bench(offsets=range(20))
    bench.runner.given([P0])
    await bench.runner.turn(bench.source)
    bench.sink.expects[P0] = 7
    await bench.turn(8)
    assert bench.sink.applied[P0] == list(range(7, 20))
    bench.topic.records[P0] += [a_record(20)]
    bench.sink.expects[P0] = 17
    await bench.turn(8)
    await bench.turn(8)
    assert bench.sink.applied[P0][-4:] == [17, 18, 19, 20]


async def test_an_empty_sink_of_a_group_that_has_committed_stops() -> None:
    """The sink was emptied or is another one; a person decides, and the text says how."""
    bench = Bench()
    bench.topic.committed[P0] = 8
    bench.runner.given([P0])
    with pytest.raises(Stopped, match="CONSUMER_REBUILD=true"):
        await bench.turn()
    bench = Bench(rebuild=True)
    bench.topic.committed[P0] = 8
    bench.runner.given([P0])
    await bench.turn()
    assert bench.sink.applied == {P0: list(range(10))}


async def test_an_idle_sink_that_was_put_back_is_followed_without_a_new_record() -> None:
    """A restored copy, or a store that lost its last second, would have a hole until then."""
    bench = Bench()
    bench.runner.given([P0])
    await bench.turn()
    bench.sink.put_back({P0: 6})
    await bench.turn()
    assert bench.sink.expects == {P0: 6}
    bench.clock.now += RECHECK_S
    await bench.turn()
    assert bench.sink.applied == {P0: list(range(10))}


async def test_a_sink_that_is_emptied_on_the_way_stops_the_consumer() -> None:
    """With the next record, or without any; a person decides whether to build it anew."""
    bench = Bench()
    bench.runner.given([P0])
    await bench.turn()
    bench.sink.put_back({})
    bench.topic.records[P0] += [a_record(10)]
    await bench.turn()
    with pytest.raises(Stopped, match="CONSUMER_REBUILD=true"):
        await bench.turn()
    idle = Bench()
    idle.runner.given([P0])
    await idle.turn()
    idle.sink.put_back({})
    idle.clock.now += RECHECK_S
    with pytest.raises(Stopped, match="CONSUMER_REBUILD=true"):
        await idle.turn()


async def test_a_sink_that_cannot_be_asked_is_asked_again() -> None:
    """At the beginning and while idle; nothing is fetched before it has answered."""
    bench = Bench()
    bench.sink.silent = True
    bench.runner.given([P0])
    await bench.runner.turn(bench.source)
    assert bench.source.positions == {}
    bench.sink.silent = False
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


async def test_while_the_sink_is_unavailable_records_wait_paused() -> None:
    """Nothing is set aside or skipped, and the same batch comes again after a growing wait."""
    bench = Bench()
    bench.sink.failures = [Unavailable("down"), Unavailable("down")]
    bench.runner.given([P0])
    await bench.runner.turn(bench.source)
    await bench.runner.turn(bench.source)
    assert bench.source.paused == {P0}
    bench.clock.now += POSTPONE_S
    await bench.runner.turn(bench.source)
    assert (bench.source.paused, bench.sink.applied) == ({P0}, {})
    bench.clock.now += 2 * POSTPONE_S
    await bench.runner.turn(bench.source)
    assert (bench.source.paused, bench.sink.applied) == (set(), {P0: [0, 1, 2, 3]})
    await bench.turn()
    assert bench.sink.applied == {P0: list(range(10))}
    assert bench.dead_letters.offsets == []


async def test_a_rejected_record_is_set_aside_and_the_rest_goes_on() -> None:
    """Its neighbours are applied, and the batch covers its offset."""
    bench = Bench()
    bench.sink.rejects = {2, 9}
    bench.runner.given([P0])
    await bench.turn()
    assert bench.dead_letters.offsets == [2, 9]
    assert bench.sink.applied == {P0: [0, 1, 3, 4, 5, 6, 7, 8]}
    assert bench.topic.committed == {P0: 10}


async def test_what_was_set_aside_does_not_come_again_when_the_rest_has_to_wait() -> None:
    """Otherwise a batch with many bad records would be set aside for ever."""
    bench = Bench()
    bench.sink.rejects = {1}
    bench.sink.failures_after_rejection = [Unavailable("down")]
    bench.runner.given([P0])
    for _ in range(3):
        await bench.runner.turn(bench.source)
    assert (bench.dead_letters.offsets, bench.sink.applied) == ([1], {})
    bench.clock.now += POSTPONE_S
    await bench.turn()
    assert bench.dead_letters.offsets == [1]
    assert bench.sink.applied == {P0: [0, *range(2, 10)]}


async def test_the_sinks_position_is_behind_the_markers_that_follow() -> None:
    """Else retention would leave it before the topic's beginning, with nothing lost."""
    bench = Bench()
    bench.topic.markers = 3
    bench.runner.given([P0])
    await bench.turn()
    assert bench.sink.expects == {P0: 13}
    assert bench.topic.committed == {P0: 13}


async def test_a_fetch_is_delivered_before_the_next_one() -> None:
    """However large it is: what is held does not grow with the backlog."""
    bench = Bench(offsets=range(1000))
    bench.source = FakeSource(bench.topic, fetch_max=100)
    bench.runner.given([P0])
    for turns in range(1, 6):
        await bench.runner.turn(bench.source)
        assert bench.sink.applied == {P0: list(range(100 * turns))}


async def test_a_bug_crashes_with_nothing_committed() -> None:
    """Retried, it would hide for ever."""
    bench = Bench()
    bench.sink.failures = [ZeroDivisionError("bug")]
    bench.runner.given([P0])
    with pytest.raises(ZeroDivisionError):
        await bench.turn()
    assert bench.topic.committed == {}


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
    bench.runner.given([P0])
    turning = asyncio.create_task(bench.turn())
    await entered.wait()
    taking = asyncio.create_task(bench.runner.taken())
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
    bench.runner.given([P0])
    await bench.turn()
    assert set(bench.sink.applied) == {P0}


@pytest.mark.parametrize("seed", range(200))
async def test_two_members_and_random_rebalances_apply_everything_once(seed: int) -> None:
    """
    A simulation: the partition changes hands at random awaits, the sink fails at random, and now
    and then it is put back to an older state.
    """
    chance = random.Random(seed)  # noqa: S311 - a simulation
    bench, other = Bench(offsets=range(40)), Bench()
    other.topic, other.sink = bench.topic, bench.sink
    other.source = FakeSource(bench.topic)
    other.runner = Runner(
        name="bench",
        handler=bench.sink,
        limits=Limits(records=3, bytes=1 << 20, age_s=5),
        dead_letters=bench.dead_letters,
        clock=bench.clock,
    )
    members = [(bench.runner, bench.source), (other.runner, other.source)]
    stop = asyncio.Event()

    async def live(runner: Runner, source: FakeSource) -> None:
        while not stop.is_set():
            await runner.turn(source)

    living = [asyncio.create_task(live(*member)) for member in members]
    owner = 0
    members[owner][0].given([P0])
    for _ in range(60):
        for _ in range(chance.randrange(6)):
            await asyncio.sleep(0)
        bench.clock.now += chance.choice((0, 1, 6))
        if chance.random() < 0.2:
            bench.sink.failures.append(Unavailable("at random"))
        if chance.random() < 0.1 and bench.sink.expects:
            bench.sink.put_back({P0: chance.randint(0, bench.sink.expects[P0])})
        if chance.random() < 0.3:
            runner, source = members[owner]
            # An eviction is not always told: then the old owner goes on as a zombie.
            if chance.random() < 0.7:
                await runner.taken()
                source.positions.clear()
                source.paused.clear()
            owner = 1 - owner
            members[owner][1].positions.clear()
            members[owner][1].paused.clear()
            members[owner][0].given([P0])
    bench.sink.failures.clear()
    async with asyncio.timeout(20):
        while bench.sink.expects.get(P0) != 40:
            bench.clock.now += 40
            await asyncio.sleep(0)
    stop.set()
    await asyncio.gather(*living)
    assert bench.sink.applied == {P0: list(range(40))}


def test_a_partition_is_written_as_people_write_it() -> None:
    """In logs and in the archive's paths."""
    assert str(Partition("t", 3)) == "t/3"
