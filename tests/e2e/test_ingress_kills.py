"""The ingress is killed, started twice and stopped under load: each OK is in Kafka once."""

import asyncio
import contextlib
import random
import secrets
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from support.kafka.broker import Broker
from support.kafka.topic_proof import Topic
from support.processes.ingress import Connection, Ingress, listens, post, until
from support.processes.senders import Senders, body

UNREADY_S = 1

Say = Callable[[str], None]
NewIngress = Callable[..., Ingress]


@pytest.mark.timeout(600)
async def test_kills_at_random_points_lose_and_double_nothing(
    broker: Broker,
    new_ingress: NewIngress,
    tmp_path: Path,
    scaled: Callable[..., int],
    say: Say,
) -> None:
    """Each process is killed under load after its first OK; every fifth one dies at its start."""
    kills = scaled(5, at_most=50)
    chance = random.Random(2026)  # noqa: S311 - where to kill
    topic = await Topic.from_now(broker.address)
    ingress = new_ingress(tmp_path / "spools", broker.address)
    starts_killed = 0
    async with Senders(ingress.port) as senders:
        for at in range(kills):
            ingress.launch()
            if at % 5 == 0:
                await asyncio.sleep(chance.uniform(0, 0.3))
                ingress.kill()
                starts_killed += 1
                ingress.launch()
            await senders.until_more_ok()
            await asyncio.sleep(chance.uniform(0, 0.6))
            ingress.kill()
        await ingress.start()
    await ingress.until_forwarded()
    ingress.kill()
    proof = await topic.proof(senders.ok)
    say(f"{kills} kills under load, {starts_killed} kills of a start: {proof}")
    proof.assert_holds()


@pytest.mark.timeout(600)
async def test_two_processes_started_at_once_on_one_directory_hold_different_spools(
    broker: Broker,
    new_ingress: NewIngress,
    tmp_path: Path,
    scaled: Callable[..., int],
    say: Say,
) -> None:
    """They start in an empty directory, then on the two spools that a crash left."""
    directories, starts_in_each = scaled(1, at_most=5), scaled(2, at_most=4)
    topic = await Topic.from_now(broker.address)
    ok: list[str] = []
    spools: set[str] = set()
    for at in range(directories):
        directory = tmp_path / f"spools-{at}"
        pair = [new_ingress(directory, broker.address) for _ in range(2)]
        for _ in range(starts_in_each):
            for ingress in pair:
                ingress.kill()
            for ingress in pair:
                ingress.launch()
            await asyncio.gather(*(ingress.until_ready() for ingress in pair))
            origins = {(await ingress.status())["origin"] for ingress in pair}
            assert len(origins) == 2, "two processes hold one spool"
            spools |= origins
            ports = [ingress.port for ingress in pair]
            async with Senders(*ports, connections=8, rounds=10) as senders:
                await senders.stop()
            ok += senders.ok
        # Not until_forwarded(): a start may have left a third spool, which one of them drains.
        await topic.until_has(ok)
        for ingress in pair:
            ingress.kill()
    proof = await topic.proof(ok)
    starts = directories * starts_in_each
    say(f"{starts} starts of two at once, {len(spools)} spools: {proof}")
    assert len(ok) == starts * 80
    proof.assert_holds()


@pytest.mark.timeout(600)
async def test_sigterm_under_load_leaves_no_request_without_an_answer(
    broker: Broker, new_ingress: NewIngress, tmp_path: Path, say: Say
) -> None:
    """A balancer stops sending when /readyz fails; requests in flight are answered."""
    topic = await Topic.from_now(broker.address)
    ingress = new_ingress(tmp_path / "spools", broker.address, unready_s=UNREADY_S)
    await ingress.start()
    async with Senders(ingress.port, connections=32) as senders:
        await senders.until_more_ok(500)
        begun = time.monotonic()
        ingress.process.terminate()
        await until(lambda: stops(ingress), "/readyz says that it stops")
        await senders.stop()
    await until_ended(ingress)
    took_s = time.monotonic() - begun
    assert (senders.refused, senders.unanswered) == ([], [])

    await ingress.start()
    await ingress.until_forwarded()
    ingress.kill()
    proof = await topic.proof(senders.ok)
    say(f"SIGTERM under load: {proof}; exit code 0 after {took_s:.1f} s")
    assert proof.unanswered == 0
    proof.assert_holds()


@pytest.mark.timeout(600)
async def test_sigterm_without_a_balancer_leaves_no_request_without_an_answer(
    broker: Broker,
    new_ingress: NewIngress,
    tmp_path: Path,
    scaled: Callable[..., int],
    say: Say,
) -> None:
    """Senders go on until the last answer on a connection announces its end."""
    stops_under_load = scaled(2, at_most=10)
    topic = await Topic.from_now(broker.address)
    ingress = new_ingress(tmp_path / "spools", broker.address, unready_s=0.5)
    async with Senders(ingress.port, connections=32) as senders:
        for _ in range(stops_under_load):
            await ingress.start()
            await senders.until_more_ok(200)
            ingress.process.terminate()
            await until_ended(ingress)
        await ingress.start()
    assert not senders.refused
    await ingress.until_forwarded()
    ingress.kill()
    proof = await topic.proof(senders.ok)
    say(f"{stops_under_load} SIGTERMs: {proof}; {len(senders.unanswered)} sent and not answered")
    assert proof.unanswered == 0
    proof.assert_holds()
    assert not senders.unanswered


@pytest.mark.timeout(600)
async def test_a_body_that_is_still_arriving_at_sigterm_is_answered(
    broker: Broker, new_ingress: NewIngress, tmp_path: Path, say: Say
) -> None:
    """Its head came before SIGTERM, its end after the listening socket was closed."""
    topic = await Topic.from_now(broker.address)
    ingress = new_ingress(tmp_path / "spools", broker.address)
    await ingress.start()
    under_way: dict[str, tuple[Connection, bytes]] = {}
    for number in range(4):
        request = post(body(key := f"slow-{secrets.token_hex(4)}", number, 3000))
        under_way[key] = await Connection.open(ingress.port), request[-1000:]
        under_way[key][0].send(request[:-1000])
    async with Senders(ingress.port, rounds=20) as senders:
        await senders.stop()
    ingress.process.terminate()
    await until(lambda: not listens(ingress.port), "no new connection is accepted")
    answered = []
    for key, (connection, rest) in under_way.items():
        connection.send(rest)
        with contextlib.suppress(OSError, EOFError):
            if (await connection.answer()).status == 200:
                answered.append(key)
        connection.close()
    await until_ended(ingress)
    say(f"{len(answered)} of {len(under_way)} bodies that ended after SIGTERM were answered OK")
    assert answered == list(under_way)

    await ingress.start()
    await ingress.until_forwarded()
    (await topic.proof([*senders.ok, *answered])).assert_holds()


async def stops(ingress: Ingress) -> bool:
    """Return whether /readyz says that the ingress is stopping."""
    return await ingress.unready_because() == "stopping"


async def until_ended(ingress: Ingress) -> None:
    """Return when the process has ended with exit code 0."""
    await until(lambda: ingress.process.poll() is not None, "the process has ended")
    assert ingress.process.returncode == 0
