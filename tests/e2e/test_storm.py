"""Members of every consumer group come and go on a real Kafka, and nothing is lost or doubled."""

import asyncio
import os
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import pytest
from support.archive import reader
from support.kafka.broker import LONG_SESSION_MS, running_broker
from support.processes.blackbox import hookline
from support.processes.fleet import fleet
from support.processes.ingress import until
from support.processes.load import Load, committed_offsets, dead_letters
from valkey import Valkey

SEED = int(os.environ.get("STORM_SEED", "20240229"))
RATE = 300
PARTITIONS = 6
SETTINGS: dict[str, Any] = {"segment_bytes_max": 64 << 10, "segment_age_s": 0.5}


@pytest.mark.timeout(600)
async def test_members_that_come_and_go_at_random_leave_every_record_everywhere_once(
    tmp_path: Path,
    conninfo: str,
    valkey_url: str,
    scaled: Callable[..., int],
    say: Callable[[str], None],
) -> None:
    """
    3 members archive, 2 sync, 2 count: storms of SIGKILL and SIGTERM, and members that freeze.

    A storm ends when every partition is written again: the broker takes 10 s to detect a dead
    member, and nothing is written meanwhile, so that an endless storm would be only rebalances. A
    frozen member wakes after others have written what it holds, and does not know it.
    """
    rounds = scaled(1, at_most=8)
    archive = tmp_path / "archive"
    with running_broker(tmp_path / "kafka", session_ms=LONG_SESSION_MS) as broker:
        await broker.make_topics()
        load = Load(broker.address, seed=SEED, origins=4)
        begun = time.monotonic()
        async with fleet(broker.address, tmp_path, seed=SEED) as ships:
            ships.start("archive", 3, url=archive, **SETTINGS)
            ships.start("sync", 2, postgres=conninfo)
            ships.start("counters", 2, valkey=valkey_url)
            loading = asyncio.create_task(load.run(1_000_000, per_s=RATE))
            for _ in range(rounds):
                await _until_all_go_on(archive)
                await ships.storm(ships.chance.uniform(4, 7))
                await _until_all_go_on(archive)
                for name, count in (("archive", 2), ("sync", 1), ("counters", 1)):
                    ships.freeze(name, count)
                # Others have taken their partitions over, and written what they hold.
                await _until_all_go_on(archive)
                ships.wake()
            load.stop()
            await loading
            topic = await committed_offsets(broker.address)
            await reader.until_archived(lambda: reader.local(archive), topic)
            await until(lambda: _receipts(conninfo) >= load.committed, "all is synced")
            await until(lambda: _counted(valkey_url) >= load.committed, "all is counted")
            took_s = time.monotonic() - begun
            assert ships.all_run()
        proof = reader.prove(reader.files(archive), topic, load.places())
        dead = await dead_letters(broker.address)
    say(f"{rounds} storms in {took_s:.0f} s (seed {SEED}): {ships}")
    say(f"{load.transactions} transactions, {load.aborted} aborted copies; archive: {proof}")
    say(
        f"PostgreSQL {_receipts(conninfo)} of {load.committed}, Valkey {_counted(valkey_url)}; "
        f"{dead} dead letters"
    )
    assert load.committed == sum(map(len, topic.values()))
    proof.assert_holds()
    assert "sound" in hookline("archive", "verify", "--archive", str(archive))
    assert _synced(conninfo) == load.places()
    _assert_counted_once(valkey_url, load)
    assert (dead, ships.logged("Traceback", "CRITICAL")) == (0, [])
    # Otherwise there was no storm.
    assert ships.struck.total() >= 6 * rounds
    assert ships.rebalances["archive"] >= 3 * rounds


async def _until_all_go_on(archive: Path) -> None:
    """Return when every partition has a new segment."""
    before = reader.count(archive)

    def all_go_on() -> bool:
        now = reader.count(archive)
        return all(now[n] > before[n] for n in range(PARTITIONS))

    await until(all_go_on, "every partition is written")


def _receipts(conninfo: str) -> int:
    with psycopg.connect(conninfo) as connection:
        row = connection.execute("select count(*) from hookline.receipts").fetchone()
    assert row
    return int(row[0])


def _synced(conninfo: str) -> set[tuple[str, int]]:
    """Return the places in PostgreSQL, whose keys let none be there twice."""
    with psycopg.connect(conninfo) as connection:
        places = connection.execute("select origin, sequence from hookline.receipts").fetchall()
        messages = connection.execute("select count(*) from hookline.messages").fetchone()
    assert messages == (len(places),)
    return {(origin, sequence) for origin, sequence in places}


def _hash(valkey_url: str, name: str) -> Counter[str]:
    """Return the numbers of a Valkey hash, summed by origin."""
    by_origin: Counter[str] = Counter()
    with Valkey.from_url(valkey_url, decode_responses=True) as client:
        for key, number in client.hgetall(f"hookline:1:{name}").items():
            by_origin[key.split("/")[0]] += int(number)
    return by_origin


def _counted(valkey_url: str) -> int:
    return _hash(valkey_url, "applied").total()


def _assert_counted_once(valkey_url: str, load: Load) -> None:
    """Compare each origin's count and sum: one doubled in place of one missing shows in the sum."""
    assert _hash(valkey_url, "applied") == load.last
    sums = {origin: last * (last + 1) // 2 for origin, last in load.last.items()}
    assert _hash(valkey_url, "sequence-sums") == sums
