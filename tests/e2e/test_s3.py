"""The archive on a server of the S3 API: outages, lost answers, kills."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from support.archive.s3_parts import parts, watched
from support.kafka.tcp_proxy import Network
from support.processes.consumer import bury
from support.processes.load import dead_letters

SEED = 20_240_229
RATE = 100
# Six partitions of two batches, and what was being fetched.
HELD_BYTES_MAX = 8e6
GROWN_BYTES_MAX = 32e6


@pytest.mark.timeout(600)
async def test_an_archive_whose_store_is_away_waits_and_then_has_everything_once(
    tmp_path: Path, scaled: Callable[..., int], say: Callable[[str], None]
) -> None:
    """The server hangs, then is gone; the archive stays in its group and within its memory."""
    outage_s = scaled(8, at_most=30)
    async with parts(tmp_path, seed=SEED, per_s=RATE) as one:
        one.member.launch()
        await one.until_it_writes()
        async with watched(one) as vitals:
            one.s3.freeze()
            await one.until_paused()
            await asyncio.sleep(outage_s)
            one.s3.thaw()
            after_hanging_s = await one.until_it_writes()
            one.network.becomes(Network.REFUSES)
            await one.until_paused()
            await asyncio.sleep(outage_s)
            one.network.becomes(Network.WORKS)
            after_refusing_s = await one.until_it_writes()
            proof = await one.proof()
        await one.member.measure()
        dead = await dead_letters(one.broker.address)
        one.member.stop()
        status = await asyncio.to_thread(one.member.process.wait, 180)
    say(
        f"S3 hung for {outage_s} s and refused for {outage_s} s under {RATE} records/s; "
        f"written again {after_hanging_s:.0f} s and {after_refusing_s:.0f} s later; {vitals}"
    )
    say(f"{proof}, {dead} dead letters")
    proof.assert_holds()
    assert (dead, one.member.metrics["partitions_backing_off"], status) == (0, 0, 0)
    assert vitals.livez == {200}
    assert (len(vitals.groups), len(vitals.assignments)) == (1, 1)
    assert {len(group) for group in vitals.groups} == {1}
    assert max(vitals.held_bytes) < HELD_BYTES_MAX
    assert vitals.grown_bytes < GROWN_BYTES_MAX


@pytest.mark.timeout(600)
async def test_answers_that_are_lost_and_kill_9_leave_everything_in_the_bucket_once(
    tmp_path: Path, scaled: Callable[..., int], say: Callable[[str], None]
) -> None:
    """The archive never knows whether a write arrived, and every record is there once."""
    kills = scaled(2, at_most=5)
    async with parts(tmp_path, seed=SEED, per_s=RATE) as one:
        one.network.becomes(Network.LOSES_ANSWERS)
        for _ in range(kills):
            one.member.launch()
            await one.until_it_writes()
            one.member.kill()
            await bury(one.broker.address, "archive")
        one.member.launch()
        await one.until_it_writes()
        lost = one.network.lost
        one.network.becomes(Network.WORKS)
        proof = await one.proof()
        dead = await dead_letters(one.broker.address)
    say(f"S3: {lost} answers lost, {kills} kills: {proof}, {dead} dead letters")
    proof.assert_holds()
    assert dead == 0
    assert lost > kills


@pytest.mark.timeout(600)
async def test_a_bucket_that_is_not_there_is_waited_for_and_named(tmp_path: Path) -> None:
    """The log names the bucket in one line; when it is made, the archive continues by itself."""
    async with parts(tmp_path, seed=SEED, per_s=100, bucket="not-made-yet") as one:
        one.member.launch()
        await one.until_paused()
        answer = await one.member.get("/livez")
        assert answer is not None
        assert answer.status == 200
        lines = [line for line in one.member.log.read_text().splitlines() if "WARNING" in line]
        assert lines
        assert all("not-made-yet" in line and "NoSuchBucket" in line for line in lines), lines
        one.s3.make_bucket("not-made-yet")
        await one.until_it_writes()
        proof = await one.proof()
    proof.assert_holds()
