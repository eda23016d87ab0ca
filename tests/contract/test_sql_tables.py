"""A sink in a SQL database does not add its records to the tables of another consumer."""

import asyncio

import pytest
from support.sql_database import SEEN, SqlDatabase

from consumers.runtime import Partition, Position, Stopped
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


async def test_a_consumer_that_never_began_leaves_its_tables_to_others(
    sql_database: SqlDatabase,
) -> None:
    """It stopped before its first position, for example because its sink seemed to be emptied."""
    assert await (await sql_database.member()).position(HERE) is None
    renamed = await sql_database.member(name="renamed")
    assert await renamed.position(HERE) is None
    await renamed.store_first_position(HERE, Position(0))
    with pytest.raises(Stopped, match="The consumer renamed writes to the table seen"):
        await (await sql_database.member()).position(HERE)


async def test_a_consumer_does_not_begin_after_another_has_begun_meanwhile(
    sql_database: SqlDatabase,
) -> None:
    """Its connection is older than the note of the other one."""
    second = await sql_database.member(name="renamed")
    assert await second.position(HERE) is None
    await (await sql_database.member()).store_first_position(HERE, Position(0))
    with pytest.raises(Stopped, match="The consumer seen writes to the table seen"):
        await second.store_first_position(HERE, Position(0))


async def test_one_of_two_consumers_that_begin_together_stops(sql_database: SqlDatabase) -> None:
    """Both have found the table without a writer."""
    first = await sql_database.member()
    second = await sql_database.member(name="renamed")
    for member in (first, second):
        assert await member.position(HERE) is None
    begun = [member.store_first_position(HERE, Position(0)) for member in (first, second)]
    ends = await asyncio.gather(*begun, return_exceptions=True)
    (lost,) = [end for end in ends if end is not None]
    assert isinstance(lost, Stopped)
    assert "writes to the table seen. " in str(lost)


async def test_members_that_begin_together_make_one_note(sql_database: SqlDatabase) -> None:
    """Each stores the first position of another partition."""
    partitions = [Partition(HERE.topic, number) for number in range(4)]
    members = [await sql_database.member() for _ in partitions]
    for member, partition in zip(members, partitions, strict=True):
        assert await member.position(partition) is None
    begun = [
        member.store_first_position(partition, Position(7))
        for member, partition in zip(members, partitions, strict=True)
    ]
    await asyncio.gather(*begun)
    for member, partition in zip(members, partitions, strict=True):
        assert await member.position(partition) == Position(7)


async def test_the_text_has_the_consumer_of_each_table(sql_database: SqlDatabase) -> None:
    """Two tables of two consumers."""
    for name, table in (("a", SEEN), ("b", OTHER)):
        member = await sql_database.member(name=name, tables=[table])
        await member.store_first_position(HERE, Position(0))
    third = await sql_database.member(name="third", tables=[SEEN, OTHER])
    texts = "The consumer a writes to the table seen, the consumer b writes to the table others. "
    with pytest.raises(Stopped, match=texts):
        await third.position(HERE)


async def test_positions_of_another_release_are_named_before_the_tables_are_checked(
    sql_database: SqlDatabase,
) -> None:
    """The check reads a column that such a table may lack."""
    await (await sql_database.member()).store_first_position(HERE, Position(0))
    sql_database.run(
        "drop table hookline_positions", "create table hookline_positions (next_offset bigint)"
    )
    with pytest.raises(Stopped, match="made by another release: the columns consumer,"):
        await (await sql_database.member(name="renamed")).position(HERE)


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
        ("create virtual table days using fts5 (day)", ["days"]),
        ("create foreign table if not exists days (day text) server s", ["days"]),
        ("create or replace table days (day text)", ["days"]),
        ("create temporary table t (x int)", []),
        ("create index if not exists i on days (day)", []),
        ("create table a (x int); create table `b` (x int)", ["a", "b"]),
    ],
)
def test_the_names_of_the_tables_that_a_statement_creates(statement: str, names: list[str]) -> None:
    """A temporary table is each connection's own."""
    assert names_in([statement]) == names
