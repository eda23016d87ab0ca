"""The tables of every released version are migrated, with their rows, while others write."""

import asyncio
import hashlib
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path

import psycopg
import pytest
from support import message_model
from support.builders import P0, SAMPLES, a_body, a_stored_batch, a_stored_record
from support.expiring import APRIL, FEBRUARY, MARCH, audited, expired, in_month, opened
from support.sync_tables import messages, select
from support.sync_version_1.program import made_by_version_1, write_as_version_1

from consumers.runtime.batch import Position, Record
from consumers.runtime.handler import Stopped, Unavailable
from consumers.sync import fill, tables
from consumers.sync.database import DatabaseHandler
from consumers.sync.maintenance import INDEXES, maintain
from ops.sync.expire import expire
from schemas.setting import Secret

ROOT = Path(__file__).parents[2]
MIGRATIONS = ROOT / "consumers" / "sync" / "migrations"
# A migration that a release contains never changes; a comment may.
RELEASED = {
    "0001.sql": "e77e257fc067f38af168324654c751584777664a1879b3829cd1b1d802a5b5d1",
}
BODIES = [
    *(sample.read_bytes() for sample in SAMPLES),
    a_body(MsgKey="online", OnlineOnlyFlag=1, MsgId="1-2-3"),
    a_body(MsgKey="odd", Text="nul \0 and \ud800", From_Account="紅" * 9000),
    a_body(MsgKey="group", CallbackCommand="Group.CallbackAfterSendMsg", TopicId="t"),
    a_body(MsgKey="big", MsgBody=[{"MsgType": "x", "MsgContent": {"Text": "a" * 100_000}}]),
]


def records(bodies: Sequence[bytes] = BODIES, first: int = 0) -> list[Record]:
    """Return records of these bodies."""
    return [a_stored_record(first + at, each) for at, each in enumerate(bodies)]


def assert_filled(conninfo: str, bodies: Sequence[bytes]) -> None:
    """Check the columns of all messages."""
    message_rows = messages(conninfo)
    assert message_rows
    for row in message_rows:
        body = bodies[row["sequence"] - 1]
        wanted = message_model.expected(body)
        assert {name: row[name] for name in wanted} == wanted, body[:200]


async def test_tables_of_version_1_are_migrated_with_their_rows(conninfo: str) -> None:
    """Columns of old rows are null at first, then filled; nothing else of a row changes."""
    made_by_version_1(conninfo)
    write_as_version_1(conninfo, a_stored_batch(*records()))
    before = messages(conninfo)
    database = DatabaseHandler(Secret(conninfo))
    assert await database.position(P0) == Position(len(BODIES))
    migrated = messages(conninfo)
    assert [row | old for row, old in zip(migrated, before, strict=True)] == migrated
    assert {row["online_only"] for row in migrated} == {None}
    await database.handle(a_stored_batch(*records([a_body(MsgKey="new")], first=len(BODIES))))
    await maintain(Secret(conninfo))
    assert_filled(conninfo, [*BODIES, a_body(MsgKey="new")])
    for row, old in zip(messages(conninfo), before, strict=False):
        kept = {name: value for name, value in old.items() if name != "sender"}
        assert {name: row[name] for name in kept} == kept
        assert row["sender"] in (old["sender"], message_model.account(old["sender"]))
    assert select(conninfo, "select number from hookline.migrations order by 1") == [
        (number,) for number in range(1, tables.VERSION + 1)
    ]
    await database.close()


async def test_programs_of_version_1_write_after_the_migration(conninfo: str) -> None:
    """During a rolling restart both versions write, in any order, and a repeat is one message."""
    made_by_version_1(conninfo)
    database = DatabaseHandler(Secret(conninfo))
    await database.position(P0)
    bodies = [a_body(MsgKey=f"key {at // 2}", From_Account="紅" * 9000) for at in range(10)]
    for at, record in enumerate(records(bodies)):
        if at % 3:
            write_as_version_1(conninfo, a_stored_batch(record))
        else:
            await database.handle(a_stored_batch(record))
        await maintain(Secret(conninfo))
    assert len({row["ce_id"] for row in messages(conninfo)}) == 5
    assert_filled(conninfo, bodies)
    await database.close()


async def test_programs_of_version_1_write_while_months_expire(conninfo: str) -> None:
    """Also repeats of what is deleted at that moment: the audit proves all that is left."""
    made_by_version_1(conninfo)
    times = [*[FEBRUARY] * 6, *[MARCH] * 30]
    written = [in_month(at, time, f"{at % 6}") for at, time in enumerate(times)]
    write_as_version_1(conninfo, a_stored_batch(*written[:6]))
    database = DatabaseHandler(Secret(conninfo))
    await database.position(P0)
    await database.close()
    reached = 6
    async with opened(conninfo) as connection, aclosing(expire(connection, MARCH)) as steps:
        async for _ in steps:
            write_as_version_1(conninfo, a_stored_batch(written[reached]))
            reached += 1
            assert (await audited(conninfo, written[:reached])).proven
    assert 10 < reached < len(written)
    await expired(conninfo, APRIL)
    assert select(conninfo, "table hookline.expired_receipts") == [("o" * 16, 1, reached)]


async def test_a_migrated_database_equals_a_new_one(conninfo: str) -> None:
    """Columns, comments, indexes and triggers are the same."""
    shape = """
        select c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
            col_description(c.oid, a.attnum), obj_description(c.oid),
            (select string_agg(tgname, ',') from pg_trigger where tgrelid = c.oid)
        from pg_class c join pg_attribute a on a.attrelid = c.oid and attnum > 0
        where relnamespace = 'hookline'::regnamespace order by 1, 2"""
    new = DatabaseHandler(Secret(conninfo))
    await new.position(P0)
    await maintain(Secret(conninfo))
    wanted = select(conninfo, shape)
    await new.close()
    with psycopg.connect(conninfo) as connection:
        connection.execute("drop schema hookline cascade")
    made_by_version_1(conninfo)
    await maintain(Secret(conninfo))
    assert select(conninfo, shape) == wanted


async def test_every_table_and_column_has_a_comment(conninfo: str) -> None:
    """People read them in their SQL tool."""
    database = DatabaseHandler(Secret(conninfo))
    await database.position(P0)
    await database.close()
    comments = select(
        conninfo,
        "select c.relname, attname, col_description(c.oid, attnum), obj_description(c.oid)"
        " from pg_class c join pg_attribute on attrelid = c.oid and attnum > 0"
        " where relnamespace = 'hookline'::regnamespace and relkind in ('r', 'p', 'v')",
    )
    assert len(comments) > 50
    assert [name for name in comments if not all(name)] == []


async def test_tables_of_a_later_release_that_fit_are_used(conninfo: str) -> None:
    """A member of the later release has migrated them; schema_version is not above ours."""
    database = DatabaseHandler(Secret(conninfo))
    await database.store_first_position(P0, Position(0))
    with psycopg.connect(conninfo) as connection:
        connection.execute("insert into hookline.migrations values (%s)", (tables.VERSION + 1,))
        connection.execute("alter table hookline.messages add column later text")
    await database.close()
    await database.handle(a_stored_batch(*records()))
    await database.close()


async def test_tables_of_a_later_release_that_do_not_fit_stop_the_consumer(conninfo: str) -> None:
    """The text names both versions and says what to do; nothing changes."""
    database = DatabaseHandler(Secret(conninfo))
    await database.store_first_position(P0, Position(0))
    with psycopg.connect(conninfo) as connection:
        connection.execute("update hookline.schema_version set version = %s", (tables.VERSION + 1,))
    await database.close()
    with pytest.raises(Stopped, match="start that release again") as raised:
        await database.position(P0)
    later, own = tables.VERSION + 1, tables.VERSION
    assert f"version {later} or later; this release has version {own}" in str(raised.value)
    with pytest.raises(Stopped):
        await maintain(Secret(conninfo))


async def test_members_that_start_together_migrate_once(conninfo: str) -> None:
    """The others wait for the lock and find the tables migrated."""
    made_by_version_1(conninfo)
    write_as_version_1(conninfo, a_stored_batch(*records()))
    members = [DatabaseHandler(Secret(conninfo)) for _ in range(5)]
    positions = await asyncio.gather(*(member.position(P0) for member in members))
    assert set(positions) == {Position(len(BODIES))}
    await asyncio.gather(*(maintain(Secret(conninfo)) for _ in range(3)))
    assert_filled(conninfo, BODIES)
    for member in members:
        await member.close()


async def test_a_migration_waits_for_no_long_transaction(
    conninfo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An analyst's transaction has read the table: writers of version 1 go on, we try again."""
    monkeypatch.setattr(tables, "_MIGRATE", tables._MIGRATE.replace(b"'2s'", b"'100ms'"))  # noqa: SLF001 - no wait
    made_by_version_1(conninfo)
    database = DatabaseHandler(Secret(conninfo))
    first, second, third = (a_stored_batch(each) for each in records()[:3])
    with psycopg.connect(conninfo) as analyst:
        analyst.execute("select count(*) from hookline.messages")
        with pytest.raises(Unavailable, match="cannot be migrated to version"):
            await database.position(P0)
        write_as_version_1(conninfo, first)
    await database.handle(second)
    write_as_version_1(conninfo, third)
    await database.close()


async def test_a_build_that_was_interrupted_is_done_again(conninfo: str) -> None:
    """PostgreSQL keeps the unfinished index and marks it as invalid."""
    await maintain(Secret(conninfo))
    valid = (
        "select relname from pg_index join pg_class on oid = indexrelid where indisvalid"
        " and relnamespace = 'hookline'::regnamespace"
    )
    with psycopg.connect(conninfo) as connection:
        connection.execute("update pg_index set indisvalid = false where indexrelid ="
                           " 'hookline.messages_unfilled'::regclass")  # fmt: skip
    await maintain(Secret(conninfo))
    assert {name for (name,) in select(conninfo, valid)} >= set(INDEXES)


async def test_rows_are_filled_in_steps_and_a_refused_one_is_passed_over(
    conninfo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step has few rows and few bytes; an owner's constraint refuses one row."""
    select = fill._SELECT_UNFILLED  # noqa: SLF001
    monkeypatch.setattr(fill, "_SELECT_UNFILLED", select.replace(str(fill.ROWS_MAX), "3"))
    made_by_version_1(conninfo)
    bodies = [a_body(MsgKey=f"{at}", MsgId="refused" if at == 4 else "good") for at in range(10)]
    write_as_version_1(conninfo, a_stored_batch(*records(bodies)))
    database = DatabaseHandler(Secret(conninfo))
    await database.position(P0)
    with psycopg.connect(conninfo) as connection:
        connection.execute("alter table hookline.messages add check (message_id <> 'refused')")
    for _ in range(2):
        await maintain(Secret(conninfo))
        message_rows = messages(conninfo)
        assert [row["message_id"] for row in message_rows] == ["good"] * 4 + [None] + ["good"] * 5
    await database.close()


async def test_names_of_old_rows_are_bounded_in_steps(
    conninfo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each long name once; short names between them stay as they are."""
    monkeypatch.setattr("consumers.sync.maintenance.BOUND_ROWS_MAX", 2)
    made_by_version_1(conninfo)
    senders = ["x" * 600 if at % 3 else "short" for at in range(12)]
    bodies = [a_body(MsgKey=f"{at}", From_Account=sender) for at, sender in enumerate(senders)]
    write_as_version_1(conninfo, a_stored_batch(*records(bodies)))
    await maintain(Secret(conninfo))
    stored_senders = [row["sender"] for row in messages(conninfo)]
    assert stored_senders == [message_model.account(sender) for sender in senders]


def test_released_migrations_do_not_change() -> None:
    """A database that has them would differ from a new one. Files are numbered without a gap."""
    files = sorted(path.name for path in MIGRATIONS.iterdir())
    assert files == [f"{number:04}.sql" for number in range(1, tables.VERSION + 1)]
    for name, digest in RELEASED.items():
        assert hashlib.sha256((MIGRATIONS / name).read_bytes()).hexdigest() == digest, name
