"""Topics change under running consumers: they stop with the reason, or lose nothing."""

import asyncio
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.kafka.access import plaintext
from support.kafka.broker import LONG_SESSION_MS, running_broker
from support.kafka.parts import delete_before, ends_of, in_topic
from support.kafka.topic_changes import (
    Sinks,
    Three,
    add_partitions,
    origins_in,
    produce,
    recreate_topic,
    restore,
    three_consumers,
)
from support.processes.blackbox import hookline
from support.processes.consumer import Consumer
from support.processes.ingress import Ingress, until
from support.processes.senders import Senders

from ops.demo.embedded.kafka import EmbeddedKafka
from ops.topic_changes import apply_topics

OLD, NEW = "a" * 16, "b" * 16
FROZEN_S = 7.0
# Of the partitions 6 to 11, those that the senders' conversations fall in.
ADDED = {6, 7, 9, 10, 11}


@pytest.fixture
def sinks(conninfo: str, valkey_url: str, tmp_path: Path) -> Sinks:
    """Return empty sinks."""
    return Sinks(tmp_path / "archive", conninfo, valkey_url)


@pytest.fixture
async def three(empty_kafka: EmbeddedKafka, sinks: Sinks, tmp_path: Path) -> AsyncIterator[Three]:
    """Yield archive, sync and counters, idle after 120 records of OLD."""
    async with three_idle_consumers(empty_kafka.address, sinks, tmp_path) as running:
        yield running


@pytest.fixture
async def own_three(own_kafka: EmbeddedKafka, sinks: Sinks, tmp_path: Path) -> AsyncIterator[Three]:
    """Yield the same with a broker that may be killed."""
    async with three_idle_consumers(own_kafka.address, sinks, tmp_path) as running:
        yield running


@asynccontextmanager
async def three_idle_consumers(kafka: str, sinks: Sinks, directory: Path) -> AsyncIterator[Three]:
    """Yield archive, sync and counters, idle after 120 records of OLD."""
    async with three_consumers(kafka, sinks, directory) as running:
        await produce(kafka, OLD, 120)
        await running.until_held(Counter({OLD: 120}))
        yield running


@pytest.mark.timeout(600)
@pytest.mark.parametrize("frozen", [False, True], ids=["idle", "frozen and grown past"])
async def test_a_topic_that_is_recreated_stops_its_consumers(
    frozen: bool,  # noqa: FBT001 - a parameter
    three: Three,
    empty_kafka: EmbeddedKafka,
    tmp_path: Path,
    say: Callable[[str], None],
) -> None:
    """No record of the new topic is skipped; the documented way to continue works."""
    kafka = empty_kafka.address
    if frozen:
        with three.frozen():
            await recreate_topic(kafka)
            await produce(kafka, NEW, 400)
            await asyncio.sleep(FROZEN_S)
    else:
        await recreate_topic(kafka)
    stopped = await three.until_stopped()
    for name, (_, reason) in stopped.items():
        assert "was deleted and created again" in reason, f"{name}: {reason}"
        assert "CONSUMER_REBUILD=true" in reason
    assert set(map(str, three.sinks.held().values())) == {str(Counter({OLD: 120}))}
    if not frozen:
        await produce(kafka, NEW, 400)
    # As docs/runbook.md says: another directory; the database and the counts stay.
    old_archive, three.sinks.archive = three.sinks.archive, tmp_path / "archive-2"
    three.sinks.forget_positions()
    three.launch(rebuild=True)
    await _until_both(three)
    three.stop()
    three.launch()
    await produce(kafka, NEW, 50, first=401)
    await _until_both(three, new=450)
    for archive in (old_archive, three.sinks.archive):
        assert "sound" in hookline("archive", "verify", "--archive", str(archive))
    took = ", ".join(f"{name} {seconds:.1f} s" for name, (seconds, _) in sorted(stopped.items()))
    say(f"stopped after {took}; then 450 new records in each sink, 0 skipped, 0 doubled")


async def _until_both(three: Three, new: int = 400) -> None:
    expected = {
        "archive": Counter({NEW: new}),
        "sync": Counter({OLD: 120, NEW: new}),
        "counters": Counter({OLD: 120, NEW: new}),
    }
    await until(lambda: three.sinks.held() == expected, f"the sinks have {expected}")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("frozen", [False, True], ids=["idle", "frozen and grown past"])
async def test_a_broker_that_is_restored_from_an_older_copy_stops_its_consumers(
    frozen: bool,  # noqa: FBT001 - a parameter
    own_three: Three,
    own_kafka: EmbeddedKafka,
    tmp_path: Path,
    say: Callable[[str], None],
) -> None:
    """The topic has the same id; its log ends before their position, or has other records there."""
    kafka = own_kafka.address
    copy = tmp_path / "copy"
    own_kafka.kill()
    shutil.copytree(own_kafka.data, copy)
    own_kafka.start()
    await produce(kafka, OLD, 60, first=121)
    await own_three.until_held(Counter({OLD: 180}))
    if frozen:
        with own_three.frozen():
            restore(own_kafka, copy)
            await produce(kafka, NEW, 400)
            await asyncio.sleep(FROZEN_S)
    else:
        restore(own_kafka, copy)
    stopped = await own_three.until_stopped()
    for name, (_, reason) in stopped.items():
        assert "restored from an older copy" in reason, f"{name}: {reason}"
    assert set(map(str, own_three.sinks.held().values())) == {str(Counter({OLD: 180}))}
    took = ", ".join(f"{name} {seconds:.1f} s" for name, (seconds, _) in sorted(stopped.items()))
    say(f"stopped after {took}; 0 records written on")


@pytest.mark.timeout(600)
async def test_partitions_that_are_added_under_load_are_consumed_from_their_beginning(
    three: Three, empty_kafka: EmbeddedKafka, tmp_path: Path, say: Callable[[str], None]
) -> None:
    """Ingress and consumers use them within 30 s, and nothing is missing or doubled."""
    ingress = Ingress(tmp_path / "spools", empty_kafka.address)
    await ingress.start()
    try:
        async with Senders(ingress.port, connections=8, pause_s=0.05) as senders:
            await until(lambda: len(senders.ok) > 200, "there is load")
            await add_partitions(empty_kafka.address, 12)
            begun = time.monotonic()

            async def used() -> bool:
                return await asyncio.to_thread(three.sinks.partitions) >= ADDED

            await until(used, f"every sink has records of {ADDED}")
            took_s = time.monotonic() - begun
            await until(lambda: len(senders.ok) > 800, "the load has gone on")
        assert not senders.refused
        await ingress.until_forwarded()
        status = await ingress.status()
        origin, stored = status["origin"], status["last_sequence"]
        assert stored == len(senders.ok)
        await three.until_held(Counter({OLD: 120, origin: stored}))
    finally:
        ingress.kill()
    assert "sound" in hookline("archive", "verify", "--archive", str(three.sinks.archive))
    say(
        f"{len(senders.ok)} callbacks answered OK while 6 partitions became 12, in every sink "
        f"once; the new ones in use after {took_s:.1f} s"
    )


@pytest.mark.timeout(600)
async def test_retention_past_the_position_stops_the_consumers(
    three: Three, empty_kafka: EmbeddedKafka, tmp_path: Path, say: Callable[[str], None]
) -> None:
    """Records that they have not applied are deleted; the documented way continues after those."""
    kafka = empty_kafka.address
    with three.frozen():
        await produce(kafka, OLD, 300, first=121)
        ends = await ends_of(kafka)
        await delete_before(kafka, {tp: end - 10 for tp, end in ends.items()})
        await asyncio.sleep(1)
    stopped = await three.until_stopped()
    for name, (_, reason) in stopped.items():
        assert "retention deleted records before they were in the sink" in reason, (
            f"{name}: {reason}"
        )
    held = three.sinks.held()
    three.sinks.archive = tmp_path / "archive-2"
    three.sinks.forget_positions()
    left = len(await in_topic(kafka, OLD))
    three.launch(rebuild=True)
    expected = {
        "archive": Counter({OLD: left}),
        "sync": Counter({OLD: held["sync"][OLD] + left}),
        "counters": Counter({OLD: held["counters"][OLD] + left}),
    }
    await until(lambda: three.sinks.held() == expected, f"the sinks have {expected}")
    took = ", ".join(f"{name} {seconds:.1f} s" for name, (seconds, _) in sorted(stopped.items()))
    say(f"stopped after {took}; then the {left} records that retention had left, once")


@pytest.mark.timeout(600)
async def test_of_two_clusters_that_begin_on_one_archive_one_stops(
    empty_kafka: EmbeddedKafka, tmp_path: Path, say: Callable[[str], None]
) -> None:
    """The chains of the other one are sound, and of its own topic only."""
    archive = tmp_path / "archive"
    with running_broker(tmp_path / "other", session_ms=LONG_SESSION_MS) as other:
        await apply_topics(plaintext(other.address), body_bytes_max=1 << 20, replicas=1)
        members = [
            Consumer("archive", address, tmp_path / f"{at}.log", url=archive, segment_age_s=1)
            for at, address in enumerate((empty_kafka.address, other.address))
        ]
        try:
            for member in members:
                member.launch()
            for number in range(1, 400, 50):
                await produce(empty_kafka.address, OLD, 50, first=number)
                await produce(other.address, NEW, 50, first=number)

            async def stopped() -> list[str]:
                return [why for m in members if (why := await m.reason_to_stop())]

            async def has_one_stopped() -> bool:
                return bool(await stopped())

            async def is_decided() -> bool:
                return len(await stopped()) == 2 or sum(origins_in(archive).values()) == 400

            # Where each begins some of the partitions, both stop.
            await until(has_one_stopped, "one of them has stopped")
            await until(is_decided, "the other one goes on, or stops too")
            reasons = await stopped()
        finally:
            for member in members:
                member.kill()
    assert any("of the topic with the id" in reason for reason in reasons)
    chains = [origins_in(directory) for directory in archive.glob("*/*")]
    assert all(len(origins) <= 1 for origins in chains), chains
    assert "sound" in hookline("archive", "verify", "--archive", str(archive))
    say(f"{len(reasons)} of 2 pipelines stopped; origins {chains}")
