"""A sink in a SQL database does not add its records to the tables of another consumer."""

import pytest
from support.sql_database import SqlDatabase

from consumers.runtime import Position, Stopped
from consumers.runtime.handler_checks import HERE, THERE, a_batch
from consumers.runtime.sql_tables import names_in

OTHER = "create table if not exists others (record bigint)"


async def test_a_consumer_does_not_begin_in_a_table_of_another_one(
    sql_database: SqlDatabase,
) -> None:
    """As after a change of its name: every record would be applied a second time."""
    first = await sql_database.member()
    await first.store_first_position(HERE, Position(0))
    await first.handle(a_batch(0, 3))
    second = await sql_database.member(name="renamed")
    with pytest.raises(Stopped, match="The consumer seen writes to the table seen") as raised:
        await second.position(HERE)
    with pytest.raises(Stopped, match="The consumer seen writes to the table seen"):
        await second.store_first_position(HERE, Position(0))
    await first.handle(a_batch(3, 2))
    assert sql_database.seen() == list(range(5))
    # The text has the statement that allows it.
    sql_database.run(str(raised.value).partition("execute: ")[2])
    assert await second.position(HERE) is None
    await second.store_first_position(HERE, Position(0))
    # Both have begun, so both continue after a restart.
    for name, next_offset in (("seen", 5), ("renamed", 0)):
        position = await (await sql_database.member(name=name)).position(HERE)
        assert position is not None
        assert position.next_offset == next_offset


async def test_consumers_with_tables_of_their_own_share_a_database(
    sql_database: SqlDatabase,
) -> None:
    """The name distinguishes their positions."""
    first = await sql_database.member()
    await first.store_first_position(HERE, Position(0))
    second = await sql_database.member(name="another", tables=[OTHER])
    await second.store_first_position(HERE, Position(7))
    # A second member and another partition of the same consumer find their own name.
    assert await (await sql_database.member()).position(THERE) is None


async def test_consumers_that_had_begun_before_the_table_continue(
    sql_database: SqlDatabase,
) -> None:
    """Earlier releases had no table `hookline_tables`."""
    for name in ("seen", "another"):
        member = await sql_database.member(name=name)
        if name == "another":
            sql_database.run("update hookline_tables set consumer = 'another'")
        await member.store_first_position(HERE, Position(0))
    sql_database.run("drop table hookline_tables")
    for name in ("seen", "another"):
        assert await (await sql_database.member(name=name)).position(HERE) is not None


@pytest.mark.parametrize(
    ("statement", "names"),
    [
        ("create table days (day text)", ["days"]),
        ('CREATE UNLOGGED TABLE\n IF NOT EXISTS team."Days"(day text)', ["team.days"]),
        ("create temporary table t (x int)", []),
        ("create index if not exists i on days (day)", []),
        ("create table a (x int); create table `b` (x int)", ["a", "b"]),
    ],
)
def test_the_names_of_the_tables_that_a_statement_creates(statement: str, names: list[str]) -> None:
    """A temporary table is each connection's own."""
    assert names_in([statement]) == names
