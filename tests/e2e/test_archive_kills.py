"""Kill the archive with SIGKILL again and again under load: the chains stay whole."""

import asyncio
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.archive import reader
from support.kafka.broker import LONG_SESSION_MS, running_broker
from support.processes.blackbox import hookline
from support.processes.consumer import Consumer, bury
from support.processes.ingress import until
from support.processes.load import Load, committed_offsets, dead_letters

SEED = 20_240_229
# One process in so many is killed while it starts.
AT_START = 6
RATE = 600
SETTINGS: dict[str, Any] = {"segment_bytes_max": 16 << 10, "segment_age_s": 0.5}


@pytest.mark.timeout(600)
async def test_kill_9_of_the_archive_under_load_leaves_every_chain_whole(
    tmp_path: Path, scaled: Callable[..., int], say: Callable[[str], None]
) -> None:
    """The segments are small, so that many kills interrupt a write."""
    archive = tmp_path / "archive"
    chance = random.Random(SEED)  # noqa: S311 - no secret
    kills_min = scaled(4, at_most=16)
    with running_broker(tmp_path / "kafka", session_ms=LONG_SESSION_MS) as broker:
        await broker.make_topics()
        log = tmp_path / "archive.log"
        member = Consumer("archive", broker.address, log, url=archive, **SETTINGS)
        load = Load(broker.address, seed=SEED)
        loading = asyncio.create_task(load.run(1_000_000, per_s=RATE))
        begun = time.monotonic()
        try:
            kills = at_start = in_write = 0
            # At least one kill must interrupt a write, or the test proves nothing.
            while kills < kills_min or not in_write:
                member.launch()
                if chance.randrange(AT_START) == 0:
                    at_start += 1
                    await asyncio.sleep(chance.uniform(0, 0.6))
                else:
                    await _until_it_writes(archive)
                    await asyncio.sleep(chance.uniform(0, 0.5))
                assert member.runs, member.log.read_text()[-2000:]
                # The frozen process has the same files open as at the time of the kill.
                member.freeze()
                in_write += member.has_open(archive)
                member.kill()
                kills += 1
                await bury(broker.address, "archive")
            killed_in_s = time.monotonic() - begun
            load.stop()
            await loading
            member.launch()
            topic = await committed_offsets(broker.address)
            await reader.until_archived(lambda: reader.local(archive), topic)
        finally:
            load.stop()
            member.kill()
            await asyncio.gather(loading, return_exceptions=True)
        proof = reader.prove(reader.files(archive), topic, load.places())
        dead = await dead_letters(broker.address)
    say(
        f"archive killed {kills} times in {killed_in_s:.0f} s (seed {SEED}), {at_start} times while"
        f" it started, {in_write} times within a write; {proof}; {load.aborted} aborted copies"
    )
    proof.assert_holds()
    assert "sound" in hookline("archive", "verify", "--archive", str(archive))
    assert dead == 0


async def _until_it_writes(archive: Path) -> None:
    before = reader.count(archive).total()
    await until(lambda: reader.count(archive).total() > before, "the archive writes")
