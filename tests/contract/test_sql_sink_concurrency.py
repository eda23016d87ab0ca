"""Several members and partitions of a sink in a SQL database, and its connections."""

import asyncio
import contextlib
import sqlite3
import sys
import threading
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from support.sql_database import SEEN, SqlDatabase, see

from consumers.runtime import (
    Batch,
    Position,
    PositionDiffers,
    Stopped,
    Unavailable,
    sql_sink,
)
from consumers.runtime.handler_checks import HERE, THERE, a_batch
from consumers.runtime.sql_tables import SqlTables


async def test_one_of_two_rivals_wins_every_race(sql_database: SqlDatabase) -> None:
    """The other one gets the position of the winner."""
    members = [await sql_database.member() for _ in range(2)]
    await members[0].store_first_position(HERE, Position(20))
    for at in range(20, 50):
        races = [member.handle(a_batch(at, 1)) for member in members]
        ends = await asyncio.gather(*races, return_exceptions=True)
        (lost,) = [end for end in ends if end is not None]
        assert isinstance(lost, PositionDiffers)
        assert lost.next_offset == at + 1
    assert sql_database.seen() == list(range(20, 50))


async def test_members_that_create_the_tables_together_all_begin(sql_database: SqlDatabase) -> None:
    """A member that is refused tries again, as the runtime does."""
    members = [await sql_database.member() for _ in range(4)]
    waiting = members
    async with asyncio.timeout(180):
        while waiting:
            asked = [member.position(HERE) for member in waiting]
            ends = await asyncio.gather(*asked, return_exceptions=True)
            assert all(end is None or isinstance(end, Unavailable) for end in ends), ends
            waiting = [member for member, end in zip(waiting, ends, strict=True) if end]


@pytest.mark.parametrize("refusal", ["duplicate_table", "duplicate_object", "unique_violation"])
async def test_a_table_that_another_member_makes_meanwhile_is_found(
    conninfo: str, refusal: str
) -> None:
    """PostgreSQL has three ways to refuse it. A sequence counts the tries."""
    with psycopg.connect(conninfo) as connection:
        connection.execute("create sequence tries")
    once = f"do $$ begin if nextval('tries') = 1 then raise {refusal}; end if; end $$"
    connect = partial(psycopg.connect, conninfo)
    async with sql_sink("seen", psycopg, connect, see, tables=[once, SEEN]) as (handler, _):
        with contextlib.suppress(Unavailable):
            await handler.position(HERE)
        assert await handler.position(HERE) is None


async def test_a_statement_that_never_finds_its_table_stops_the_consumer(conninfo: str) -> None:
    """It lacks `if not exists`."""
    with psycopg.connect(conninfo) as connection:
        connection.execute("create table words (word text)")
    connect = partial(psycopg.connect, conninfo)
    tables = ["create table words (word text)"]
    async with sql_sink("seen", psycopg, connect, see, tables=tables) as (handler, _):
        with pytest.raises(Stopped, match='relation "words" already exists'):
            await handler.position(HERE)


async def test_a_call_that_timed_out_ends_before_the_next_one_begins(
    sql_database: SqlDatabase,
) -> None:
    """If it has still written, the next call gets the new position."""
    begun, go_on = threading.Event(), threading.Event()

    def slow(cursor: Any, batch: Batch) -> None:
        begun.set()
        go_on.wait(180)
        see(cursor, batch)

    handler = await sql_database.member(slow)
    await handler.store_first_position(HERE, Position(0))
    given_up = asyncio.create_task(handler.handle(a_batch(0, 3)))
    await asyncio.to_thread(begun.wait, 180)
    given_up.cancel()
    again = asyncio.create_task(handler.handle(a_batch(0, 3)))
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(PositionDiffers) as raised:
        await again
    assert raised.value.next_offset == 3
    assert sql_database.seen() == [0, 1, 2]


async def test_partitions_do_not_wait_for_each_other(conninfo: str) -> None:
    """A partition whose position is locked, by a frozen member for example, delays only itself."""
    connect = partial(psycopg.connect, conninfo)
    async with sql_sink("seen", psycopg, connect, see, tables=[SEEN]) as (handler, _):
        for partition in (HERE, THERE):
            await handler.store_first_position(partition, Position(0))
        with psycopg.connect(conninfo) as frozen:
            frozen.execute(
                "select 1 from hookline_positions where partition_number = %s for update",
                (HERE.number,),
            )
            waiting = asyncio.create_task(handler.handle(a_batch(0, 1)))
            await handler.handle(replace(a_batch(1, 1, begins_at=0), partition=THERE))
            assert not waiting.done()
        await waiting


async def test_partitions_do_not_wait_for_one_that_hangs_while_it_connects(
    sql_database: SqlDatabase,
) -> None:
    """The others connect, begin and write."""
    hangs, hanging = threading.Event(), threading.Event()

    def connect() -> Any:
        if not hanging.is_set():
            hanging.set()
            hangs.wait(180)
        return sql_database.connect()

    handler = await sql_database.member(connect=connect)
    stuck = asyncio.create_task(handler.position(HERE))
    await asyncio.to_thread(hanging.wait, 180)
    try:
        async with asyncio.timeout(180):
            await handler.store_first_position(THERE, Position(0))
            await handler.handle(replace(a_batch(0, 3), partition=THERE))
        assert not stuck.done()
    finally:
        hangs.set()
    assert await stuck is None


async def test_partitions_wait_a_bounded_time_for_one_that_hangs_while_it_creates_the_tables(
    conninfo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first statements do not return; the others continue without their turn."""
    monkeypatch.setattr(sys.modules[SqlTables.__module__], "TABLES_S_MAX", 0.1)
    with psycopg.connect(conninfo, autocommit=True) as server:
        server.execute("create schema hanging")
        for schema, seconds in (("hanging", 600), ("public", 0)):
            function = f"create function {schema}.wait() returns void language sql"
            server.execute(f"{function} as 'select pg_sleep({seconds})'".encode())
        paths = iter(["hanging", "public"])

        def connect() -> Any:
            return psycopg.connect(conninfo, options=f"-c search_path={next(paths)},public")

        waiting = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'"
        opened = sql_sink("seen", psycopg, connect, see, tables=[SEEN, "select wait()"])
        async with opened as (handler, _):
            stuck = asyncio.create_task(handler.position(HERE))
            async with asyncio.timeout(180):
                while server.execute(waiting).fetchone() == (0,):  # noqa: ASYNC110 - a server notifies nobody
                    await asyncio.sleep(0.01)
                await handler.store_first_position(THERE, Position(0))
                await handler.handle(replace(a_batch(0, 3), partition=THERE))
            assert not stuck.done()
            server.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where wait_event = 'PgSleep'"
            )
            with pytest.raises(Unavailable):
                await stuck


async def test_a_database_that_cannot_be_written_now_is_unavailable(tmp_path: Path) -> None:
    """A locked or missing database; later the consumer continues."""
    file = tmp_path / "later" / "seen.db"
    async with sql_sink(
        "seen", sqlite3, partial(sqlite3.connect, file, timeout=0.05), see, tables=[SEEN]
    ) as (handler, _):
        with pytest.raises(Unavailable, match="unable to open"):
            await handler.position(HERE)
        file.parent.mkdir()
        await handler.store_first_position(HERE, Position(0))
        with closing(sqlite3.connect(file)) as other:
            other.execute("begin immediate")
            with pytest.raises(Unavailable, match="locked"):
                await handler.handle(a_batch(0, 1))
        await handler.handle(a_batch(0, 1))


async def test_a_lost_connection_is_replaced(conninfo: str) -> None:
    """The call in flight is unavailable; the next call has a new connection."""
    connect = partial(psycopg.connect, conninfo)
    async with sql_sink("seen", psycopg, connect, see, tables=[SEEN]) as (handler, _):
        await handler.store_first_position(HERE, Position(0))
        with psycopg.connect(conninfo, autocommit=True) as other:
            other.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and pid <> pg_backend_pid()"
            )
        with pytest.raises(Unavailable):
            await handler.handle(a_batch(0, 1))
        await handler.handle(a_batch(0, 1))
