"""Faults of Kafka and of the target while a webhook delivers; the audit proves what is there."""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from aiohttp import web
from support.webhook.proof import audited, prove
from support.webhook.receiver import Arrival
from support.webhook.world import REPEATS_MAX, World, a_world

from ops.audit.report import SinkReport
from ops.demo.embedded.kafka import EmbeddedKafka
from ops.failure import ExitCode


async def slow(_: Arrival) -> int:
    """Accept everything, after a short time."""
    await asyncio.sleep(0.02)
    return 204


@pytest.fixture
async def own_world(own_kafka: EmbeddedKafka, tmp_path: Path) -> AsyncIterator[World]:
    """Yield a world without callbacks, whose broker may be killed."""
    async with a_world(own_kafka.address, tmp_path, answer=slow) as made:
        yield made


@pytest.fixture
async def world(empty_kafka: EmbeddedKafka, tmp_path: Path) -> AsyncIterator[World]:
    """Yield a world without callbacks."""
    async with a_world(empty_kafka.address, tmp_path, answer=slow) as made:
        yield made


@pytest.mark.timeout(900)
@pytest.mark.parametrize("fault", ["killed", "frozen"])
async def test_an_outage_of_kafka_loses_nothing_and_repeats_little(
    fault: str,
    own_world: World,
    own_kafka: EmbeddedKafka,
    scaled: Callable[..., int],
    say: Callable[[str], None],
) -> None:
    """The member goes on when Kafka is back, and repeats at most what it had in flight."""
    seconds = scaled(3, at_most=60)
    await own_world.send(3000)
    member = own_world.launch()
    await own_world.receiver.has(300)
    if fault == "killed":
        own_kafka.kill()
        await asyncio.sleep(seconds)
        await asyncio.to_thread(own_kafka.start)
    else:
        assert own_kafka.process is not None
        own_kafka.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        own_kafka.process.send_signal(signal.SIGCONT)
    assert own_world.receiver.ids < len(own_world.sent), "the outage came too late"
    await own_world.receiver.has(len(own_world.sent))
    await own_world.send(100)
    await own_world.receiver.has(len(own_world.sent))
    assert member.runs, own_world.logs()
    own_world.check()
    repeats, sent = own_world.receiver.repeats(), len(own_world.sent)
    assert repeats <= REPEATS_MAX
    say(f"{fault} for {seconds} s: {repeats} of {sent} accepted again")
    await prove(own_world)


async def gigabyte() -> AsyncIterator[bytes]:
    """Yield 1 GB, as long as the other side reads."""
    for _ in range(1 << 14):
        yield (1 << 16) * b"x"


async def hostile(arrival: Arrival) -> web.StreamResponse | int:
    """Answer one person's callbacks after 60 s, one's with 1 GB, one's by a redirect inwards."""
    match arrival.person:
        case "user0":
            await asyncio.sleep(60)
        case "user1":
            return web.Response(body=gigabyte())
    return await redirecting(arrival)


async def redirecting(arrival: Arrival) -> web.StreamResponse | int:
    """Answer one person's callbacks by a redirect to a cloud's metadata."""
    if arrival.person == "user2":
        return web.Response(status=307, headers={"Location": "http://169.254.169.254/latest"})
    return 204


@pytest.mark.timeout(600)
async def test_hostile_answers_to_some_conversations_harm_no_other(world: World) -> None:
    """All others get theirs meanwhile; then only the redirected ones are dead letters."""
    world.receiver.answer = hostile
    await world.send(400)
    member = world.launch(timeout_s=1)
    # Without the 20 that are answered too late and the 20 that are redirected.
    await world.receiver.has(360)
    world.receiver.answer = redirecting
    await world.receiver.has(380)
    report = await audited(world)
    assert report.exit_code is ExitCode.DEAD_LETTERED, report
    assert (report.missing_at_least, report.dead_lettered, report.different) == (0, 20, 0)
    metrics = await member.measure()
    assert 380 <= metrics["records_total"] <= len(world.receiver.accepted)
    assert metrics["dead_letters_total"] == 20
    world.sent = [each for each in world.sent if b'"user2"' not in each.value]
    world.check()


@pytest.mark.timeout(600)
async def test_an_audit_on_a_real_kafka_finds_what_the_target_lacks(world: World) -> None:
    """A callback that a target is said to have, one that waits, and one that was never sent."""
    await world.send(200)
    world.launch()
    await world.receiver.has(200)
    await prove(world)
    lost = world.receiver.accepted.pop(17)
    sequence = int(lost.headers["ce-sequence"])
    (sink,) = await sinks(world)
    assert (sink.missing, sink.missing_listed) == (1, [sequence])
    world.receiver.accepted.append(lost)

    async def failing(arrival: Arrival) -> int:
        return 500 if arrival.person == "user3" else 204

    world.receiver.answer = failing
    await world.send(40)
    await world.receiver.has(238)
    report = await audited(world, wait_s=30)
    assert report.exit_code is ExitCode.INCOMPLETE, report
    assert report.webhooks[world.name].waiting == 2


async def sinks(world: World) -> list[SinkReport]:
    """Return what the audit says about the target, for each origin."""
    report = await audited(world, wait_s=0)
    assert report.exit_code is ExitCode.FAULT
    return [origin.sinks[f"webhook {world.name}"] for origin in report.origins]
