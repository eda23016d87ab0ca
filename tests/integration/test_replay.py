"""`hookline replay sync` writes the selected callbacks that the database lacks, and no other."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support import sync_tables
from support.builders import P0
from support.kafka.parts import delete_before, ends_of, in_topic, many
from support.rejected_world import RejectedWorld, Stored, a_rejected_world

from ops.demo.embedded.kafka import EmbeddedKafka
from ops.failure import ExitCode

DELETED = """
    delete from hookline.receipts where sequence % 4 = 0;
    delete from hookline.messages where sender = 'user3'"""
ROWS = "select ce_id, xmin::text from hookline.messages order by ce_id"


@pytest.fixture
async def world(
    empty_kafka: EmbeddedKafka, conninfo: str, tmp_path: Path
) -> AsyncIterator[RejectedWorld]:
    """Yield a world without callbacks."""
    kafka = empty_kafka.address
    async with a_rejected_world(kafka, conninfo, tmp_path, subcommand="replay") as made:
        yield made


async def receipts(world: RejectedWorld) -> int:
    """Return the number of receipts."""
    return await asyncio.to_thread(sync_tables.receipts, world.conninfo)


async def change(world: RejectedWorld, statement: str) -> None:
    """Have the owner of the database change it."""
    async with world.changing() as owner:
        await owner.execute(statement.encode())


async def in_database(world: RejectedWorld, count: int) -> list[Stored]:
    """Have `count` callbacks in the topic, the archive and the database; return the records."""
    await world.pipe.store(many(count, people=5))
    await world.pipe.forward()
    await world.archive_all()
    async with world.database() as database:
        assert await database.position(P0) is None  # the tables are made
        await world.apply(database)
    return await in_topic(world.kafka, None)


async def summary(world: RejectedWorld, *arguments: str) -> dict[str, Any]:
    """Return the JSON that a run prints."""
    output = await world.hookline("sync", "--json", *arguments)
    (found,) = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    return dict(found)


@pytest.mark.timeout(600)
async def test_rows_that_were_deleted_come_back_and_the_others_stay_as_they_are(
    world: RejectedWorld,
) -> None:
    """From the topic and from the archive; one that is rejected holds up no other."""
    await in_database(world, 60)
    before = await world.rows(ROWS)
    await change(world, DELETED)
    preview = await world.hookline("sync")
    assert "60 callbacks, from " in preview
    assert "lacks 24 of them; 36 are there and stay unchanged" in preview
    assert "nothing was done" in preview
    assert await receipts(world) == 45
    rule = "alter table hookline.messages add constraint no_user3 check (sender <> 'user3')"
    await change(world, rule)
    output = await world.hookline("sync", "--yes", "--rate", "10000", code=ExitCode.DEAD_LETTERED)
    assert "12 callbacks written, 36 were there and are unchanged, 12 rejected by the" in output
    assert output.count("no_user3") == 12
    await change(world, "alter table hookline.messages drop constraint no_user3")
    done = await summary(world, "--yes")
    assert (done["written"], done["unchanged"]) == (12, 48)
    await change(world, DELETED)
    done = await summary(world, "--from", "archive", "--yes")
    assert (done["written"], done["unchanged"]) == (24, 36)
    after = await world.rows(ROWS)
    assert [ce_id for ce_id, _ in after] == [ce_id for ce_id, _ in before]
    # xmin is another one where a row was written again.
    assert len(set(after) & set(before)) == 48
    assert (await world.audited()).proven
    assert await world.rows("select 1 from hookline.positions where topic like 'replay:%'") == []


@pytest.mark.timeout(600)
async def test_only_the_selected_callbacks_are_written(world: RejectedWorld) -> None:
    """From the archive also those that Kafka has deleted; sync writes itself those it will read."""
    assert "no tables of sync" in await world.hookline("sync", "--yes", code=2)
    first = await in_database(world, 30)
    await asyncio.sleep(1.1)
    between = datetime.now(UTC).replace(microsecond=0)
    await world.pipe.store(many(20, first=31, people=5))
    await world.pipe.forward()
    await world.archive_all()
    async with world.database() as database:
        await world.apply(database)
    found = await in_topic(world.kafka, None)
    at = f"{between:%Y-%m-%dT%H:%M:%S}"
    assert sum(each.timestamp >= between.timestamp() * 1000 for each in found) == 20
    assert len(found) - len(first) == 20
    await change(world, "delete from hookline.receipts")
    late = await summary(world, "--user", "user3", "--since", at)
    assert (late["callbacks"], late["lacking"]) == (4, 4)
    done = await summary(world, "--user", "user3", "--since", at, "--yes")
    assert (done["written"], await receipts(world)) == (4, 4)
    last = {
        tp: [each for each in found if each.partition == tp.partition][-1].offset
        for tp in await ends_of(world.kafka)
        if any(each.partition == tp.partition for each in found)
    }
    await delete_before(world.kafka, last)
    output = await world.hookline("sync", "--until", at)
    assert "use --from archive" in output
    assert "no callback is selected" in output
    early = ("--from", "archive", "--until", at)
    done = await summary(world, *early, "--yes")
    assert (done["written"], done["unchanged"], await receipts(world)) == (30, 0, 34)
    # The database was restored from an older copy: sync reads one partition again by itself.
    await change(world, "delete from hookline.receipts")
    number = max(each.partition for each in first)
    pending = sum(each.partition == number for each in first)
    again = f"update hookline.positions set next_offset = 0 where partition = {number}"  # noqa: S608 - a number
    await change(world, again)
    done = await summary(world, *early, "--yes")
    assert done == {"written": 30 - pending, "unchanged": 0, "rejected": 0, "pending": pending}
    await change(world, "delete from hookline.positions")
    assert "no position of sync" in await world.hookline("sync", *early, code=2)
