"""Kafka is killed or frozen, or transactions stay open: each callback is in the topic once."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from support.kafka.broker import Broker, running_broker
from support.kafka.topic_proof import Proof, Topic, open_transaction
from support.processes.ingress import Ingress, until
from support.processes.senders import Senders

# Longer than a transaction may be open (10 s), and than the coordinator needs to see it (10 s).
FROZEN_S = 25

Say = Callable[[str], None]
NewIngress = Callable[..., Ingress]


@pytest.mark.timeout(600)
async def test_kills_of_the_broker_in_mid_transaction_lose_and_double_nothing(
    new_ingress: NewIngress, tmp_path: Path, scaled: Callable[..., int], say: Say
) -> None:
    """Kill it while a transaction is open, under load; meanwhile the ingress answers OK."""
    kills = scaled(3, at_most=15)
    with running_broker(tmp_path / "kafka") as own_broker:
        ingress = new_ingress(tmp_path / "spools", own_broker.address)
        proof, while_down, p99_s = await kill_repeatedly(own_broker, ingress, kills)
    say(
        f"{kills} kills of a broker: {proof}; {while_down} OK while it was down, "
        f"p99 of an OK {p99_s * 1000:.0f} ms"
    )
    proof.assert_holds()


async def kill_repeatedly(broker: Broker, ingress: Ingress, kills: int) -> tuple[Proof, int, float]:
    """Return the proof, how many OKs there were during outages, and the p99 of all."""
    await broker.make_topics()
    topic = await Topic.from_now(broker.address)
    await ingress.start()
    while_down = 0
    async with Senders(ingress.port, connections=4, pause_s=0.05) as senders:
        for _ in range(kills):
            async with open_transaction(broker.address) as is_open:
                await until(is_open, "the forwarder has a transaction open")
                broker.kill()
            before = len(senders.ok)
            await broker.start_again()
            assert len(senders.ok) > before
            while_down += len(senders.ok) - before
    await ingress.until_forwarded()
    ingress.kill()
    assert not senders.refused
    assert not senders.unanswered
    return await topic.proof(senders.ok), while_down, senders.p99_s()


async def leave_open(
    ingress: Ingress, is_open: Callable[[], Awaitable[bool]], stop: Callable[[], None]
) -> float:
    """Stop the ingress by `stop` within a transaction that stays open; return the time."""
    for _ in range(30):
        await until(is_open, "the forwarder has a transaction open")
        stop()
        stopped_at = time.monotonic()
        # Its last request may still be on its way, or the broker at writing markers.
        await asyncio.sleep(0.5)
        if await is_open():
            return stopped_at
        if ingress.process.poll() is None:
            ingress.thaw()
        else:
            ingress.launch()
    raise AssertionError("no transaction stayed open in 30 attempts")


@pytest.mark.timeout(600)
async def test_a_killed_ingress_does_not_hold_up_readers_for_long(
    broker: Broker, new_ingress: NewIngress, tmp_path: Path, say: Say
) -> None:
    """
    Its open transaction is aborted by its time-out, although the process is not started again.

    The broker of these tests accepts no time-out above 20 s.
    """
    topic = await Topic.from_now(broker.address)
    killed = new_ingress(tmp_path / "spools", broker.address)
    other = new_ingress(tmp_path / "spools-of-another", broker.address)
    await asyncio.gather(killed.start(), other.start())
    async with open_transaction(broker.address) as is_open, Senders(killed.port) as senders:
        killed_at = await leave_open(killed, is_open, killed.kill)
    async with Senders(other.port, connections=4, rounds=25) as others:
        await others.stop()
    await other.until_forwarded()
    read = {seen.key for seen in await topic.read()}
    held_up_s = time.monotonic() - killed_at
    assert set(others.ok) <= read
    assert len(others.ok) == 100
    say(f"a killed ingress held up read_committed readers for {held_up_s:.1f} s")

    await killed.start()
    await killed.until_forwarded()
    killed.kill()
    other.kill()
    proof = await topic.proof([*senders.ok, *others.ok])
    say(str(proof))
    proof.assert_holds()


@pytest.mark.timeout(600)
async def test_a_broker_that_stands_still_costs_nothing(
    new_ingress: NewIngress, tmp_path: Path, say: Say
) -> None:
    """
    It is frozen longer than a transaction may be open; meanwhile callbacks are answered OK.

    The controller fences it, too.
    """
    with running_broker(tmp_path / "kafka") as own_broker:
        await own_broker.make_topics()
        ingress = new_ingress(tmp_path / "spools", own_broker.address)
        await stand_still(own_broker, ingress, say)


async def stand_still(broker: Broker, ingress: Ingress, say: Say) -> None:
    """Freeze the broker while an ingress sends."""
    topic = await Topic.from_now(broker.address)
    await ingress.start()
    async with (
        open_transaction(broker.address) as is_open,
        Senders(ingress.port, connections=4, pause_s=0.05) as senders,
    ):
        await senders.until_more_ok(200)
        await until(is_open, "the forwarder has a transaction open")
        with broker.frozen():
            before = len(senders.ok)
            for _ in range(FROZEN_S):
                await asyncio.sleep(1)
                await senders.until_more_ok()
            after = len(senders.ok)
        thawed_at = time.monotonic()
        await senders.stop()
        await ingress.until_forwarded()
    caught_up_s = time.monotonic() - thawed_at
    ingress.kill()
    proof = await topic.proof(senders.ok)
    say(
        f"a broker frozen for {FROZEN_S} s: {proof}; {after - before} OK meanwhile, p99 "
        f"{senders.p99_s(before) * 1000:.0f} ms; caught up {caught_up_s:.1f} s after"
    )
    assert not senders.refused
    assert not senders.unanswered
    proof.assert_holds()


@pytest.mark.timeout(600)
async def test_an_ingress_that_is_fenced_by_a_time_out_goes_on_by_itself(
    broker: Broker, new_ingress: NewIngress, tmp_path: Path, say: Say
) -> None:
    """It was frozen within a transaction, which was aborted, and its producer was fenced."""
    topic = await Topic.from_now(broker.address)
    ingress = new_ingress(tmp_path / "spools", broker.address)
    await ingress.start()
    async with open_transaction(broker.address) as is_open, Senders(ingress.port) as senders:
        await leave_open(ingress, is_open, ingress.freeze)

        async def settled() -> bool:
            return not await is_open()

        aborted_s = await until(settled, "the coordinator has aborted the transaction")
        ingress.thaw()
        await senders.until_more_ok(500)
        await senders.stop()
        thawed_at = time.monotonic()
        await ingress.until_forwarded()
    caught_up_s = time.monotonic() - thawed_at
    ingress.kill()
    proof = await topic.proof(senders.ok)
    say(
        f"an ingress frozen and fenced after {aborted_s:.1f} s: {proof}; "
        f"caught up {caught_up_s:.1f} s after"
    )
    assert proof.aborted
    proof.assert_holds()
