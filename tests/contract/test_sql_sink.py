"""A sink in a SQL database rolls a failed batch back: SQLite and PostgreSQL."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import Any

import pytest
from support.sql_database import SEEN, SqlDatabase, see

from consumers.runtime import (
    Batch,
    Position,
    Rejected,
    Stopped,
    Unavailable,
)
from consumers.runtime.handler_checks import HERE, THERE, a_batch

# A query of several rows, of which a test reads only the first.
HALF_READ = "select record from seen union all select 1 union all select 2"


async def test_a_refused_row_rolls_the_batch_back(sql_database: SqlDatabase) -> None:
    """The batch comes again in halves, because the refused record is not known."""
    handler = await sql_database.member()
    await handler.store_first_position(HERE, Position(0))
    await handler.handle(a_batch(0, 10))
    with pytest.raises(Rejected) as raised:
        await handler.handle(a_batch(10, 5))
    assert raised.value.offset is None
    assert isinstance(raised.value.__cause__, sql_database.driver.IntegrityError)
    assert sql_database.seen() == list(range(10))
    await handler.handle(a_batch(10, 2))
    assert sql_database.seen() == list(range(12))


async def test_an_exception_of_the_effect_rolls_the_batch_back_and_is_raised(
    sql_database: SqlDatabase,
) -> None:
    """The effect may reject a record by its offset, or have a bug."""

    def apply(cursor: Any, batch: Batch) -> None:
        see(cursor, batch)
        if batch.records[0].offset == 0:
            raise Rejected(2, "the test says so")
        if batch.records[0].offset == 1:
            raise ZeroDivisionError

    handler = await sql_database.member(apply)
    await handler.store_first_position(HERE, Position(0))
    with pytest.raises(Rejected, match="the test says so") as raised:
        await handler.handle(a_batch(0, 3))
    assert raised.value.offset == 2
    with pytest.raises(ZeroDivisionError):
        await handler.handle(a_batch(1, 3, begins_at=0))
    assert sql_database.seen() == []


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
    sql_database: SqlDatabase, apply: Callable[[Any, Batch], None], wanted: type[BaseException]
) -> None:
    """Another connection can write at once, while the exception still exists."""
    handler = await sql_database.member(apply)
    await handler.store_first_position(HERE, Position(0))
    with pytest.raises(wanted) as raised:
        await handler.handle(a_batch(0, 3))
    assert raised.value.__traceback__ is not None
    with closing(sql_database.impatient()) as other:
        cursor = other.cursor()
        cursor.execute("update hookline_positions set next_offset = next_offset")
        cursor.execute("insert into seen values (100)")
        other.commit()
    assert sql_database.seen() == [100]
    again = await sql_database.member()
    await again.handle(a_batch(0, 3))
    assert sql_database.seen() == [0, 1, 2, 100]


async def test_no_transaction_is_open_if_the_tables_cannot_be_created(
    sql_database: SqlDatabase,
) -> None:
    """The statements before the failing one are rolled back, and hold no lock."""
    tables = [SEEN, "insert into seen values (1)", "create nonsense"]
    # SQLite has one error for a statement that is wrong and for a file that is locked.
    outcome = Unavailable if sql_database.driver is sqlite3 else Stopped
    with pytest.raises(outcome, match="nonsense") as raised:
        await (await sql_database.member(tables=tables)).position(HERE)
    assert raised.value.__traceback__ is not None
    with closing(sql_database.impatient()) as other:
        other.cursor().execute(SEEN)
        other.commit()
    assert sql_database.seen() == []


async def test_a_trigger_that_raises_refuses_a_row(sql_database: SqlDatabase) -> None:
    """The owner of the database made the rule, as with a constraint."""
    handler = await sql_database.member()
    await handler.store_first_position(HERE, Position(0))
    if sql_database.driver is sqlite3:
        sql_database.run(
            "create trigger t before insert on seen when new.record = 12"
            " begin select raise(abort, 'the owner says no'); end"
        )
    else:
        sql_database.run(
            "create function f() returns trigger language plpgsql as $$ begin"
            " if new.record = 12 then raise 'the owner says no'; end if; return new; end $$",
            "create trigger t before insert on seen for each row execute function f()",
        )
    with pytest.raises(Rejected, match="the owner says no"):
        await handler.handle(a_batch(10, 3, begins_at=0))
    await handler.handle(a_batch(10, 2, begins_at=0))
    assert sql_database.seen() == [10, 11]


async def test_a_refused_position_stops_the_consumer(sql_database: SqlDatabase) -> None:
    """No record is the cause; otherwise every record would become a dead letter."""
    handler = await sql_database.member()
    await handler.store_first_position(HERE, Position(0))
    sql_database.run("create unique index u on hookline_positions (topic) where topic <> 'probe'")
    with pytest.raises(Stopped, match="refuses the position of"):
        await handler.store_first_position(THERE, Position(0))
    sql_database.run(
        "create unique index v on hookline_positions ((1)) where next_offset = 3",
        "insert into hookline_positions (consumer, topic, partition_number, next_offset)"
        " values ('another', 't', 0, 3)",
    )
    with pytest.raises(Stopped, match="refuses the position of"):
        await handler.handle(a_batch(0, 3))
    assert sql_database.seen() == []


async def test_a_table_of_another_release_stops_the_consumer(sql_database: SqlDatabase) -> None:
    """It lacks columns; columns that an owner adds are allowed."""
    await (await sql_database.member()).position(HERE)
    sql_database.run("alter table hookline_positions add column note text")
    await (await sql_database.member()).store_first_position(HERE, Position(0))
    sql_database.run("drop table hookline_positions")
    sql_database.run("create table hookline_positions (consumer varchar(255), next_offset bigint)")
    handler = await sql_database.member()
    for call in (handler.position(HERE), handler.store_first_position(HERE, Position(0))):
        with pytest.raises(Stopped, match="columns last_offset, last_origin, last_s"):
            await call


async def test_text_that_no_database_can_hold_is_refused(sql_database: SqlDatabase) -> None:
    """The text has lone surrogates, as some real bodies do."""

    def apply(cursor: Any, _: Batch) -> None:
        mark = "?" if sql_database.driver is sqlite3 else "%s"
        cursor.execute(f"insert into words values ({mark})", ("\ud800",))  # noqa: S608 - a mark

    handler = await sql_database.member(
        apply, tables=["create table if not exists words (word text)"]
    )
    await handler.store_first_position(HERE, Position(0))
    with pytest.raises(Rejected):
        await handler.handle(a_batch(0, 1))


async def test_a_connection_with_autocommit_stops_the_consumer(sql_database: SqlDatabase) -> None:
    """Effect and position would be two writes. Once that is fixed, the consumer continues."""
    by_itself: dict[str, Any] = (
        {"isolation_level": None} if sql_database.driver is sqlite3 else {"autocommit": True}
    )
    wrong = await sql_database.member(connect=partial(sql_database.connect, **by_itself))
    for _ in range(2):
        with pytest.raises(Stopped, match="commits each statement"):
            await wrong.position(HERE)
    right = await sql_database.member()
    await right.store_first_position(HERE, Position(0))
    await right.handle(a_batch(0, 1))
    assert sql_database.seen() == [0]
