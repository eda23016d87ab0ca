"""Topics that change under running consumers: they stop and say why, or go on with nothing lost."""

import asyncio
import shutil
from collections import Counter
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from e2e_blackbox import hookline
from topic_changes import Three, make_topic_anew, produce, three_consumers

from ops.embedded import child
from ops.embedded.kafka import EmbeddedKafka
from ops.embedded.postgres import EmbeddedPostgres
from ops.embedded.valkey import EmbeddedValkey

OLD, NEW = "a" * 16, "b" * 16
FROZEN_S = 7.0


@pytest.fixture
async def three(own_kafka: EmbeddedKafka, tmp_path: Path) -> AsyncIterator[Three]:
    """Archive, sync and counters, which have 120 records of OLD and are idle."""
    with (
        child.running(EmbeddedPostgres(tmp_path / "postgres")) as postgres,
        child.running(EmbeddedValkey(tmp_path / "valkey")) as valkey,
    ):
        async with three_consumers(own_kafka.address, postgres, valkey, tmp_path) as running:
            await produce(own_kafka.address, OLD, 120)
            await running.until_held(Counter({OLD: 120}))
            yield running


@pytest.mark.timeout(240)
@pytest.mark.parametrize("frozen", [False, True], ids=["idle", "frozen and grown past"])
async def test_a_topic_that_is_made_anew_stops_its_consumers(
    frozen: bool,  # noqa: FBT001 - a parameter
    three: Three,
    own_kafka: EmbeddedKafka,
    tmp_path: Path,
    say: Callable[[str], None],
) -> None:
    """Within 30 s, with nothing of the new topic skipped; the documented way out then works."""
    kafka = own_kafka.address
    if frozen:
        with three.frozen():
            await make_topic_anew(kafka)
            await produce(kafka, NEW, 400)
            await asyncio.sleep(FROZEN_S)
    else:
        await make_topic_anew(kafka)
    stopped = await three.until_stopped()
    for name, (_, reason) in stopped.items():
        assert "was deleted and made anew" in reason, f"{name}: {reason}"
        assert "CONSUMER_REBUILD=true" in reason
    assert set(map(str, three.sinks.held().values())) == {str(Counter({OLD: 120}))}
    if not frozen:
        await produce(kafka, NEW, 400)
    # As docs/operations.md says: another directory; the database and the counts stay.
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
    async with asyncio.timeout(60):
        while True:
            held = three.sinks.held()
            if held == {
                "archive": Counter({NEW: new}),
                "sync": Counter({OLD: 120, NEW: new}),
                "counters": Counter({OLD: 120, NEW: new}),
            }:
                return
            for name, member in three.members.items():
                assert member.runs, f"{name} ended: {member.log.read_text()[-2000:]}; {held}"
            await asyncio.sleep(0.2)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("frozen", [False, True], ids=["idle", "frozen and grown past"])
async def test_a_broker_that_is_restored_from_an_older_copy_stops_its_consumers(
    frozen: bool,  # noqa: FBT001 - a parameter
    three: Three,
    own_kafka: EmbeddedKafka,
    tmp_path: Path,
    say: Callable[[str], None],
) -> None:
    """The topic has the same id; its log ends before their position, or has other records there."""
    kafka = own_kafka.address
    data, copy = tmp_path / "kafka" / "data", tmp_path / "copy"
    own_kafka.kill()
    shutil.copytree(data, copy)
    own_kafka.start()
    await produce(kafka, OLD, 60, first=121)
    await three.until_held(Counter({OLD: 180}))
    if frozen:
        with three.frozen():
            await _restore(own_kafka, data, copy)
            await produce(kafka, NEW, 400)
            await asyncio.sleep(FROZEN_S)
    else:
        await _restore(own_kafka, data, copy)
    stopped = await three.until_stopped()
    for name, (_, reason) in stopped.items():
        assert "restored from an older copy" in reason, f"{name}: {reason}"
    assert set(map(str, three.sinks.held().values())) == {str(Counter({OLD: 180}))}
    took = ", ".join(f"{name} {seconds:.1f} s" for name, (seconds, _) in sorted(stopped.items()))
    say(f"stopped after {took}; 0 records written on")


async def _restore(kafka: EmbeddedKafka, data: Path, copy: Path) -> None:
    kafka.kill()
    shutil.rmtree(data)
    shutil.copytree(copy, data)
    kafka.start()
