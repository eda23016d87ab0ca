"""Failures of a sink in a SQL database: SQLite and PostgreSQL."""

import asyncio
import sqlite3
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest

from consumers.runtime import (
    Batch,
    Elsewhere,
    Handler,
    Position,
    Rejected,
    Stopped,
    Unavailable,
    sql_sink,
)
from consumers.runtime.contract import HERE, THERE, a_batch
from consumers.runtime.sql_sink import SqlSink

SEEN = "create table if not exists seen (record bigint not null check (record <> 13))"
Open = Callable[[], Any]


def see(cursor: Any, batch: Batch) -> None:
    """Note the batch's offsets."""
    for record in batch.records:
        cursor.execute(f"insert into seen values ({record.offset:d})")  # noqa: S608 - a number


class Base:
    """A database, and how to connect to it."""

    def __init__(self, driver: Any, connect: Callable[..., Any], opened: AsyncExitStack) -> None:
        self.driver = driver
        self.connect = connect
        self._opened = opened

    async def member(
        self,
        apply: Callable[[Any, Batch], None] = see,
        connect: Open | None = None,
        tables: list[str] | None = None,
    ) -> Handler:
        """Return another handler on it."""
        made = sql_sink(
            "seen", self.driver, connect or self.connect, apply, tables=tables or [SEEN]
        )
        handler, _ = await self._opened.enter_async_context(made)
        return handler

    def run(self, *statements: str) -> None:
        """Execute a statement as the owner of the database."""
        with closing(self.connect()) as connection:
            for statement in statements:
                connection.cursor().execute(statement)
            connection.commit()

    def impatient(self) -> Any:
        """Return a connection that does not wait for locks."""
        if self.driver is sqlite3:
            return self.connect(timeout=0)
        return self.connect(options="-c lock_timeout=1")

    def seen(self) -> list[int]:
        """Return the offsets that were seen."""
        with closing(self.connect()) as connection:
            cursor = connection.cursor()
            cursor.execute("select record from seen order by record")
            return [record for (record,) in cursor.fetchall()]


@pytest.fixture(params=["sqlite", "postgres"])
async def base(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Base]:
    """An empty database."""
    async with AsyncExitStack() as opened:
        if request.param == "sqlite":
            yield Base(sqlite3, partial(sqlite3.connect, tmp_path / "seen.db"), opened)
        else:
            conninfo = request.getfixturevalue("conninfo")
            yield Base(psycopg, partial(psycopg.connect, conninfo), opened)


async def test_a_refused_row_rolls_the_batch_back(base: Base) -> None:
    """The batch comes again in halves, because the refused record is not known."""
    handler = await base.member()
    await handler.begin(HERE, Position(0))
    await handler.handle(a_batch(0, 10))
    with pytest.raises(Rejected) as raised:
        await handler.handle(a_batch(10, 5))
    assert raised.value.offset is None
    assert isinstance(raised.value.__cause__, base.driver.IntegrityError)
    assert base.seen() == list(range(10))
    await handler.handle(a_batch(10, 2))
    assert base.seen() == list(range(12))


async def test_an_exception_of_the_effect_rolls_the_batch_back_and_is_raised(
    base: Base,
) -> None:
    """A record that the effect rejects by its offset, and a bug."""

    def apply(cursor: Any, batch: Batch) -> None:
        see(cursor, batch)
        if batch.records[0].offset == 0:
            raise Rejected(2, "the test says so")
        if batch.records[0].offset == 1:
            raise ZeroDivisionError

    handler = await base.member(apply)
    await handler.begin(HERE, Position(0))
    with pytest.raises(Rejected, match="the test says so") as raised:
        await handler.handle(a_batch(0, 3))
    assert raised.value.offset == 2
    with pytest.raises(ZeroDivisionError):
        await handler.handle(a_batch(1, 3, begins_at=0))
    assert base.seen() == []


def raises(error: BaseException | None) -> Callable[[Any, Batch], None]:
    """
    Return an effect that writes and then raises `error`, or the driver's error for a refused row.

    Its traceback keeps a second cursor alive, which is not read to its end.
    """

    def apply(cursor: Any, batch: Batch) -> None:
        see(cursor, batch)
        half_read = cursor.connection.cursor()
        half_read.execute("select record from seen union all select 1 union all select 2")
        half_read.fetchone()
        if error:
            raise error
        cursor.execute("insert into seen values (13)")

    return apply


HALF_READ = "select record from seen union all select 1 union all select 2"


def leaves_its_cursor_half_read(cursor: Any, batch: Batch) -> None:
    """Write, read with the sink's own cursor, but not to the end, and raise."""
    see(cursor, batch)
    cursor.execute(HALF_READ)
    cursor.fetchone()
    raise ZeroDivisionError


def read_half(connection: Any, error: BaseException) -> None:
    """Raise `error`, whose traceback keeps a cursor alive that is not read to its end."""
    half_read = connection.cursor()
    half_read.execute(HALF_READ)
    half_read.fetchone()
    raise error


def raises_while_another_is_handled(cursor: Any, batch: Batch) -> None:
    """Raise one exception from another while a third is handled."""
    see(cursor, batch)
    try:
        read_half(cursor.connection, KeyError())
    except KeyError:
        raise ZeroDivisionError from OSError()


def raises_a_group(cursor: Any, batch: Batch) -> None:
    """Raise exceptions in a group, as a task group does."""
    see(cursor, batch)
    errors = []
    try:
        read_half(cursor.connection, KeyError())
    except KeyError as error:
        errors.append(error)
    raise ExceptionGroup("of the test", errors)


@pytest.mark.parametrize(
    ("apply", "wanted"),
    [
        (raises(None), Rejected),
        (raises(Rejected(3, "the test says so")), Rejected),
        (raises(Unavailable("the test says so")), Unavailable),
        (raises(OSError("no such file")), Unavailable),
        (raises(UnicodeError()), Rejected),
        (raises(ZeroDivisionError()), ZeroDivisionError),
        (raises(SystemExit()), SystemExit),
        (leaves_its_cursor_half_read, ZeroDivisionError),
        (raises_while_another_is_handled, ZeroDivisionError),
        (raises_a_group, ExceptionGroup),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
async def test_no_transaction_is_open_after_the_exception(
    base: Base, apply: Callable[[Any, Batch], None], wanted: type[BaseException]
) -> None:
    """For any exception: another connection writes at once, while the exception still exists."""
    handler = await base.member(apply)
    await handler.begin(HERE, Position(0))
    with pytest.raises(wanted) as raised:
        await handler.handle(a_batch(0, 3))
    assert raised.value.__traceback__ is not None
    with closing(base.impatient()) as other:
        cursor = other.cursor()
        cursor.execute("update hookline_positions set next_offset = next_offset")
        cursor.execute("insert into seen values (100)")
        other.commit()
    assert base.seen() == [100]
    again = await base.member()
    await again.handle(a_batch(0, 3))
    assert base.seen() == [0, 1, 2, 100]


async def test_no_transaction_is_open_if_the_tables_cannot_be_created(base: Base) -> None:
    """The statements before the failing one are rolled back, and hold no lock."""
    tables = [SEEN, "insert into seen values (1)", "create nonsense"]
    error = base.driver.OperationalError if base.driver is sqlite3 else psycopg.ProgrammingError
    with pytest.raises(Unavailable if base.driver is sqlite3 else error) as raised:
        await (await base.member(tables=tables)).position(HERE)
    assert raised.value.__traceback__ is not None
    with closing(base.impatient()) as other:
        other.cursor().execute(SEEN)
        other.commit()
    assert base.seen() == []


async def test_a_trigger_that_raises_refuses_a_row(base: Base) -> None:
    """The owner of the database made the rule, as with a constraint."""
    handler = await base.member()
    await handler.begin(HERE, Position(0))
    if base.driver is sqlite3:
        base.run(
            "create trigger t before insert on seen when new.record = 12"
            " begin select raise(abort, 'the owner says no'); end"
        )
    else:
        base.run(
            "create function f() returns trigger language plpgsql as $$ begin"
            " if new.record = 12 then raise 'the owner says no'; end if; return new; end $$",
            "create trigger t before insert on seen for each row execute function f()",
        )
    with pytest.raises(Rejected, match="the owner says no"):
        await handler.handle(a_batch(10, 3, begins_at=0))
    await handler.handle(a_batch(10, 2, begins_at=0))
    assert base.seen() == [10, 11]


async def test_a_refused_position_stops_the_consumer(base: Base) -> None:
    """No record is the cause; otherwise every record would become a dead letter."""
    handler = await base.member()
    await handler.begin(HERE, Position(0))
    base.run("create unique index u on hookline_positions (topic) where topic <> 'probe'")
    with pytest.raises(Stopped, match="refuses the position of"):
        await handler.begin(THERE, Position(0))
    base.run(
        "create unique index v on hookline_positions ((1)) where next_offset = 3",
        "insert into hookline_positions (consumer, topic, partition_number, next_offset)"
        " values ('another', 't', 0, 3)",
    )
    with pytest.raises(Stopped, match="refuses the position of"):
        await handler.handle(a_batch(0, 3))
    assert base.seen() == []


async def test_a_table_of_another_release_stops_the_consumer(base: Base) -> None:
    """It lacks columns; columns that an owner adds are allowed."""
    await (await base.member()).position(HERE)
    base.run("alter table hookline_positions add column note text")
    await (await base.member()).begin(HERE, Position(0))
    base.run("drop table hookline_positions")
    base.run("create table hookline_positions (consumer varchar(255), next_offset bigint)")
    handler = await base.member()
    for call in (handler.position(HERE), handler.begin(HERE, Position(0))):
        with pytest.raises(Stopped, match="columns last_offset, last_origin, last_s"):
            await call


async def test_text_that_no_database_can_hold_is_refused(base: Base) -> None:
    """Lone surrogates, which real bodies have."""

    def apply(cursor: Any, _: Batch) -> None:
        mark = "?" if base.driver is sqlite3 else "%s"
        cursor.execute(f"insert into words values ({mark})", ("\ud800",))  # noqa: S608 - a mark

    handler = await base.member(apply, tables=["create table if not exists words (word text)"])
    await handler.begin(HERE, Position(0))
    with pytest.raises(Rejected):
        await handler.handle(a_batch(0, 1))


async def test_a_connection_with_autocommit_stops_the_consumer(base: Base) -> None:
    """Effect and position would be two writes. Once that is fixed, the consumer continues."""
    by_itself: dict[str, Any] = (
        {"isolation_level": None} if base.driver is sqlite3 else {"autocommit": True}
    )
    wrong = await base.member(connect=partial(base.connect, **by_itself))
    for _ in range(2):
        with pytest.raises(Stopped, match="commits each statement"):
            await wrong.position(HERE)
    right = await base.member()
    await right.begin(HERE, Position(0))
    await right.handle(a_batch(0, 1))
    assert base.seen() == [0]


async def test_one_of_two_rivals_wins_every_race(base: Base) -> None:
    """The other one gets the position of the winner."""
    members = [await base.member() for _ in range(2)]
    await members[0].begin(HERE, Position(20))
    for at in range(20, 50):
        races = [member.handle(a_batch(at, 1)) for member in members]
        ends = await asyncio.gather(*races, return_exceptions=True)
        (lost,) = [end for end in ends if end is not None]
        assert isinstance(lost, Elsewhere)
        assert lost.next_offset == at + 1
    assert base.seen() == list(range(20, 50))


async def test_members_that_create_the_tables_together_all_begin(base: Base) -> None:
    """A member that is refused tries again, as the runtime does."""
    members = [await base.member() for _ in range(4)]
    waiting = members
    async with asyncio.timeout(20):
        while waiting:
            asked = [member.position(HERE) for member in waiting]
            ends = await asyncio.gather(*asked, return_exceptions=True)
            assert all(end is None or isinstance(end, Unavailable) for end in ends), ends
            waiting = [member for member, end in zip(waiting, ends, strict=True) if end]


async def test_a_call_that_timed_out_ends_before_the_next_one_begins(base: Base) -> None:
    """If it has still written, the next call gets the new position."""
    begun, go_on = threading.Event(), threading.Event()

    def slow(cursor: Any, batch: Batch) -> None:
        begun.set()
        go_on.wait(20)
        see(cursor, batch)

    handler = await base.member(slow)
    await handler.begin(HERE, Position(0))
    given_up = asyncio.create_task(handler.handle(a_batch(0, 3)))
    await asyncio.to_thread(begun.wait, 20)
    given_up.cancel()
    again = asyncio.create_task(handler.handle(a_batch(0, 3)))
    await asyncio.sleep(0)
    go_on.set()
    with pytest.raises(Elsewhere) as raised:
        await again
    assert raised.value.next_offset == 3
    assert base.seen() == [0, 1, 2]


async def test_partitions_do_not_wait_for_each_other(conninfo: str) -> None:
    """A partition whose position is locked, by a frozen member for example, delays only itself."""
    connect = partial(psycopg.connect, conninfo)
    async with sql_sink("seen", psycopg, connect, see, tables=[SEEN]) as (handler, _):
        for partition in (HERE, THERE):
            await handler.begin(partition, Position(0))
        with psycopg.connect(conninfo) as frozen:
            frozen.execute(
                "select 1 from hookline_positions where partition_number = %s for update",
                (HERE.number,),
            )
            waiting = asyncio.create_task(handler.handle(a_batch(0, 1)))
            await handler.handle(replace(a_batch(1, 1, begins_at=0), partition=THERE))
            assert not waiting.done()
        await waiting


async def test_partitions_do_not_wait_for_one_that_hangs_while_it_connects(base: Base) -> None:
    """The others connect, begin and write."""
    hangs, hanging = threading.Event(), threading.Event()

    def connect() -> Any:
        if not hanging.is_set():
            hanging.set()
            hangs.wait(30)
        return base.connect()

    handler = await base.member(connect=connect)
    stuck = asyncio.create_task(handler.position(HERE))
    await asyncio.to_thread(hanging.wait, 20)
    try:
        async with asyncio.timeout(20):
            await handler.begin(THERE, Position(0))
            await handler.handle(replace(a_batch(0, 3), partition=THERE))
        assert not stuck.done()
    finally:
        hangs.set()
    assert await stuck is None


async def test_partitions_wait_a_bounded_time_for_one_that_hangs_while_it_creates_the_tables(
    conninfo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first statements do not return; the others continue without their turn."""
    monkeypatch.setattr(sys.modules[SqlSink.__module__], "TABLES_S_MAX", 0.1)
    with psycopg.connect(conninfo, autocommit=True) as server:
        server.execute("create schema hanging")
        for schema, seconds in (("hanging", 30), ("public", 0)):
            function = f"create function {schema}.wait() returns void language sql"
            server.execute(f"{function} as 'select pg_sleep({seconds})'".encode())
        paths = iter(["hanging", "public"])

        def connect() -> Any:
            return psycopg.connect(conninfo, options=f"-c search_path={next(paths)},public")

        waiting = "select count(*) from pg_stat_activity where wait_event = 'PgSleep'"
        opened = sql_sink("seen", psycopg, connect, see, tables=[SEEN, "select wait()"])
        async with opened as (handler, _):
            stuck = asyncio.create_task(handler.position(HERE))
            async with asyncio.timeout(20):
                while server.execute(waiting).fetchone() == (0,):  # noqa: ASYNC110 - a server notifies nobody
                    await asyncio.sleep(0.01)
                await handler.begin(THERE, Position(0))
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
        await handler.begin(HERE, Position(0))
        with closing(sqlite3.connect(file)) as other:
            other.execute("begin immediate")
            with pytest.raises(Unavailable, match="locked"):
                await handler.handle(a_batch(0, 1))
        await handler.handle(a_batch(0, 1))


async def test_a_lost_connection_is_replaced(conninfo: str) -> None:
    """The call in flight is unavailable; the next call has a new connection."""
    connect = partial(psycopg.connect, conninfo)
    async with sql_sink("seen", psycopg, connect, see, tables=[SEEN]) as (handler, _):
        await handler.begin(HERE, Position(0))
        with psycopg.connect(conninfo, autocommit=True) as other:
            other.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and pid <> pg_backend_pid()"
            )
        with pytest.raises(Unavailable):
            await handler.handle(a_batch(0, 1))
        await handler.handle(a_batch(0, 1))
