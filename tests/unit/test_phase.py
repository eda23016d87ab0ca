"""/readyz of a consumer: a phase and a sentence, the same as in /status."""

import math
from typing import Any

import pytest
from support.builders import P0, P1
from support.runner_bench import RunnerBench

from consumers.runtime.handler import Stopped, Unavailable
from consumers.runtime.health import ConsumerHealth
from consumers.runtime.kafka_availability import KafkaAvailability
from consumers.runtime.ongoing_failure import OngoingFailure
from consumers.runtime.phase import Phase
from consumers.runtime.runner import ROUND_S_MAX, SINK_ANSWER_S_MAX
from consumers.runtime.source import KafkaUnavailable
from schemas.telemetry import CONSUMER_METRICS


class Bench(RunnerBench):
    """A runner with the health of its process."""

    def __init__(self, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.kafka_availability = KafkaAvailability("bench", clock=self.clock)
        self.health = ConsumerHealth(self.runner, self.sink, self.kafka_availability)

    async def phase(self) -> str | None:
        """Return the present phase."""
        return (await self.health.status()).phase

    async def shown(self, name: str) -> float:
        """Return a gauge as a scrape shows it."""
        await self.health.set_gauges()
        value = CONSUMER_METRICS.get_sample_value(f"consumer_{name}")
        assert value is not None
        return value


async def test_a_process_is_starting_until_every_sink_has_returned_its_position() -> None:
    """First it joins its group."""
    bench = Bench()
    assert await bench.phase() == Phase.STARTING
    assert math.isnan(await bench.shown("kafka_up"))
    assert math.isnan(await bench.shown("sink_up"))
    bench.assign(P0, P1)
    assert await bench.phase() == Phase.STARTING
    assert "2 of 2 partitions" in (await bench.health.status()).phase_because
    bench.kafka_availability.note_answer()
    await bench.run_rounds()
    assert await bench.phase() == Phase.WORKING
    assert await bench.shown("kafka_up") == 1


async def test_a_member_without_partitions_works() -> None:
    """Nothing is known of its sink, which nobody asks."""
    bench = Bench()
    bench.assign()
    status = await bench.health.status()
    assert (status.phase, status.sink_up) == (Phase.WORKING, None)
    assert "Other members" in status.phase_because


async def test_a_sink_is_up_as_long_as_its_last_answer_is_recent() -> None:
    """Nothing is known of it while nothing is asked of it."""
    bench = Bench()
    bench.assign(P0)
    await bench.run_rounds()
    assert await bench.shown("sink_up") == 1
    bench.clock.now += bench.limits.age_s + SINK_ANSWER_S_MAX + 1
    assert math.isnan(await bench.shown("sink_up"))


@pytest.mark.parametrize(
    ("error", "phase", "kafka_up", "sink_up"),
    [
        (Unavailable("down"), Phase.WAITING_FOR_SINK, True, False),
        (KafkaUnavailable("down"), Phase.WAITING_FOR_KAFKA, False, None),
    ],
)
async def test_a_process_says_what_it_waits_for(
    error: Unavailable,
    phase: Phase,
    kafka_up: bool,  # noqa: FBT001 - a parameter
    sink_up: bool | None,  # noqa: FBT001 - a parameter
) -> None:
    """A sink that is not asked because Kafka is down is not known to be down."""
    bench = Bench()
    bench.sink.failures = [error] * 9
    bench.assign(P0)
    bench.kafka_availability.note_answer()
    for _ in range(5):
        await bench.runner.run_round(bench.source)
    status = await bench.health.status()
    assert (status.phase, status.kafka_up, status.sink_up) == (phase, kafka_up, sink_up)
    assert "down" in status.phase_because
    # The cause may be a topic that is missing, while Kafka answers.
    assert status.phase_because.startswith("The process continues when the cause is gone. For ")


async def test_an_answer_of_kafka_of_long_ago_says_nothing_about_now() -> None:
    """It is asked each 5 s; if that has ended, its last answer must not stay."""
    bench = Bench()
    bench.assign(P0)
    bench.kafka_availability.note_answer()
    await bench.run_rounds()
    assert await bench.shown("kafka_up") == 1
    bench.clock.now += 21
    assert math.isnan(await bench.shown("kafka_up"))
    bench.kafka_availability.note_failure(TimeoutError())
    assert await bench.shown("kafka_up") == 0


async def test_what_is_known_to_wait_ages_on_while_kafka_is_down() -> None:
    """More may have arrived, so the lag is not known; the age is at least this."""
    bench = Bench()
    # Without a time of its own, a record waits since it was fetched.
    bench.topic.records[P0] = [one._replace(timestamp_ms=-1) for one in bench.topic.records[P0]]
    bench.sink.failures = [Unavailable("down")] * 99
    bench.assign(P0)
    for _ in range(5):
        await bench.runner.run_round(bench.source)
    bench.kafka_availability.note_failure(TimeoutError())
    assert math.isnan(await bench.shown("oldest_waiting_seconds"))
    bench.clock.now += 7
    assert await bench.shown("oldest_waiting_seconds") == 7
    bench.clock.now += 1
    assert await bench.shown("oldest_waiting_seconds") == 8
    assert await bench.shown("oldest_in_kafka_seconds") == 8
    assert math.isnan(await bench.shown("lag_offsets"))


@pytest.mark.parametrize("why", [Stopped("the topic is another one")])
async def test_a_process_that_has_stopped_knows_nothing_else(why: Stopped) -> None:
    """It has left its group: no gauge shows a number of before."""
    bench = Bench()
    bench.assign(P0)
    bench.kafka_availability.note_answer()
    await bench.run_rounds()
    await bench.runner.revoke_all()
    bench.health.stopped = OngoingFailure(why, 0.0)
    status = await bench.health.status()
    assert status.phase == Phase.STOPPED
    assert "A person must act" in status.phase_because
    assert "the topic is another one" in status.phase_because
    assert await bench.shown("stopped") == 1
    for name in (
        "lag_offsets",
        "oldest_waiting_seconds",
        "oldest_in_kafka_seconds",
        "partitions_backing_off",
        "kafka_up",
        "sink_up",
    ):
        assert math.isnan(await bench.shown(name)), name


async def test_a_process_that_hangs_needs_a_person() -> None:
    """The phase, the status and a gauge say it; it is still in its group, so it has not stopped."""
    bench = Bench()
    bench.assign(P0)
    await bench.run_rounds()
    assert await bench.shown("hanging") == 0
    bench.clock.now += ROUND_S_MAX + 1
    status = await bench.health.status()
    assert status.phase == Phase.HANGING
    assert status.phase_because.startswith("Restart the process. For ")
    assert "the loop has finished no round" in status.phase_because
    assert (status.stopped, status.partitions) == (None, 1)
    assert (await bench.shown("stopped"), await bench.shown("hanging")) == (0, 1)
