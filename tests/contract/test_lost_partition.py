"""After a loss in one partition, the runbook's commands delete its position and no other one."""

import re
from pathlib import Path

import psycopg
from support.builders import P0
from support.counting import counting
from support.sql_database import SqlDatabase
from valkey import Valkey

from consumers.runtime.batch import Partition, Position
from consumers.sync.database import DatabaseHandler

RUNBOOK = Path(__file__).parents[2] / "docs/runbook.md"
P1 = Partition(P0.topic, 1)


def command_of(consumer: str) -> str:
    """Return the command in the row of `consumer`, for partition 0."""
    section = RUNBOOK.read_text().partition('but the topic begins at …"')[2]
    row = re.search(rf"^\| {re.escape(consumer)}.*?\| `(.*?)`", section, re.MULTILINE)
    assert row is not None
    return row[1].replace("PARTITION", "0")


async def test_sync_loses_the_position_of_one_partition(
    database: DatabaseHandler, conninfo: str
) -> None:
    """The other partition continues where it was."""
    await database.store_first_position(P1, Position(5))
    statement = command_of("sync").partition('"delete')[2]
    with psycopg.connect(conninfo) as connection:
        connection.execute(f"delete{statement.removesuffix(chr(34))}".encode())
    assert await database.position(P0) is None
    assert await database.position(P1) == Position(5)


async def test_the_counters_lose_the_position_of_one_partition(valkey_url: str) -> None:
    """The other partition continues where it was."""
    counts = counting(valkey_url)
    try:
        await counts.store_first_position(P0, Position(0))
        await counts.store_first_position(P1, Position(5))
        words = command_of("counters").partition('"$COUNTERS_VALKEY" ')[2].split()
        with Valkey.from_url(valkey_url) as client:
            assert client.execute_command(*words) == 1
        assert await counts.position(P0) is None
        assert await counts.position(P1) == Position(5)
    finally:
        await counts.close()


async def test_a_sql_sink_loses_the_position_of_one_partition(sql_database: SqlDatabase) -> None:
    """The other partition continues where it was."""
    handler = await sql_database.member(name="seen")
    await handler.store_first_position(P0, Position(0))
    await handler.store_first_position(P1, Position(5))
    sql_database.run(command_of("one of your own with `sql_sink`").replace("NAME", "seen"))
    assert await handler.position(P0) is None
    assert await handler.position(P1) == Position(5)
