"""A constraint or trigger that the owner adds to sync's tables rejects single rows only."""

from collections.abc import AsyncIterator

import psycopg
import pytest
from support.builders import P0, a_body, a_stored_batch, a_stored_record, all_rejected

from consumers.runtime.batch import Batch, Position, Record
from consumers.runtime.handler import Rejected, Stopped, TookTooLong, Unavailable
from consumers.sync.database import DatabaseHandler
from schemas.setting import Secret

TRIGGER = """
create function act() returns trigger language plpgsql as $$ begin
    if {condition} then {action} end if;
    return new;
end $$;
create trigger act {when} on hookline.{table} for each row execute function act()
"""
REFUSED = 3
LONG = "".join(map(chr, range(0x4E00, 0x4E00 + 8000)))


def trigger(
    action: str,
    condition: str = "new.sender = 'refused'",
    table: str = "messages",
    when: str = "before insert",
) -> str:
    """Return statements for a trigger that does `action` with the row that it refuses."""
    return TRIGGER.format(condition=condition, action=action, table=table, when=when)


def records() -> list[Record]:
    """Return five records; the owner's additions refuse only the one at offset REFUSED."""
    made = [a_stored_record(at, a_body(MsgKey=f"{at}", MsgSeq=at, GroupId="g")) for at in range(5)]
    odd = a_body(MsgKey="odd", MsgSeq=REFUSED - 1, From_Account="refused", CloudCustomData=LONG)
    made[REFUSED] = a_stored_record(REFUSED, odd)
    return made


OF_MESSAGES = {
    "unique": "add unique (message_seq)",
    "unique, deferred": "add unique (message_seq) deferrable initially deferred",
    "check": "add check (sender <> 'refused')",
    "check of the body": "add check (body ->> 'From_Account' <> 'refused')",
    "not null": "alter group_id set not null",
    "length": "alter sender type varchar(6)",
    "exclusion": "add exclude using btree (message_seq with =)",
    "generated column": "add ratio int generated always as (1 / (length(sender) - 7)) stored",
}
OTHERS = {
    "unique, by an expression": "create unique index on hookline.messages ((body -> 'MsgSeq'))",
    "foreign key": "create table people (name text primary key);"
    " insert into people values ('jared');"
    " alter table hookline.messages add foreign key (sender) references people",
    "domain": "create domain account as text check (value <> 'refused');"
    " alter table hookline.messages alter sender type account",
    "index": "create index on hookline.messages ((body ->> 'CloudCustomData'))",
    "policy": "alter table hookline.messages enable row level security;"
    " alter table hookline.messages force row level security;"
    " create policy reads on hookline.messages for select using (true);"
    " create policy writes on hookline.messages for insert with check (sender <> 'refused')",
    "partition without a match": "create table parts (like hookline.messages including all)"
    " partition by list (ce_id); drop table hookline.messages;"
    " alter table parts set schema hookline; alter table hookline.parts rename to messages;"
    " create table part partition of hookline.messages for values in (IDS)",
    "trigger that raises": trigger("raise exception 'the owner says no';"),
    "trigger that raises at the end": trigger("raise exception 'no';", when="after insert"),
    "trigger with a code of its own": trigger("raise exception 'no' using errcode = 'HL001';"),
    "trigger with an assertion": trigger("assert false;"),
    "trigger that divides": trigger("new.result := 1 / 0;"),
    "trigger that finds no row": trigger("select 1 into strict new.result where false;"),
    "trigger that finds two rows": trigger("new.result := (select 1 union all select 2);"),
    "trigger that drops": trigger("return null;"),
    "trigger that renames": trigger("new.ce_id := 'another';"),
    "receipts: check": "alter table hookline.receipts add check (sequence <> 4)",
    "receipts: unique": "create unique index on hookline.receipts ((sequence in (3, 4)))"
    " where sequence in (3, 4)",
    "receipts: trigger that raises": trigger(
        "raise exception 'no';", "new.sequence = 4", "receipts"
    ),
    "receipts: trigger that drops": trigger("return null;", "new.sequence = 4", "receipts"),
}
ADDED = {
    name: f"alter table hookline.messages {change}" for name, change in OF_MESSAGES.items()
} | OTHERS


@pytest.fixture
def owner(conninfo: str) -> str:
    """Return the connection string of a user who is not a superuser, so that policies apply."""
    with psycopg.connect(conninfo, autocommit=True) as connection:
        name = connection.info.dbname
        connection.execute(f"create role {name} login".encode())
        connection.execute(f"alter database {name} owner to {name}".encode())
    return conninfo.replace("hookline@", f"{name}@")


@pytest.fixture
async def database(owner: str) -> AsyncIterator[DatabaseHandler]:
    """Yield a database whose tables were just created."""
    made = DatabaseHandler(Secret(owner))
    await made.store_first_position(P0, Position(0))
    yield made
    await made.close()


def change(owner: str, statements: str) -> None:
    """Execute statements as the owner of the tables."""
    ids = (dict(each.headers)["ce_id"].decode() for each in records() if each.offset != REFUSED)
    listed = ", ".join(f"'{each}'" for each in ids)
    with psycopg.connect(owner) as connection:
        connection.execute(statements.replace("(IDS)", f"({listed})").encode())


async def deliver(database: DatabaseHandler, batch: Batch) -> list[int]:
    """Write and halve rejected batches as the runtime does; return the offsets of dead letters."""
    try:
        await database.handle(batch)
    except (Rejected, TookTooLong) as error:
        if len(batch.records) == 1:
            assert isinstance(error, Rejected)  # noqa: PT017 - no raise expected
            await database.handle(all_rejected(batch))
            return [batch.records[0].offset]
        half = len(batch.records) // 2
        parts = batch.records[:half], batch.records[half:]
        return [at for part in parts for at in await deliver(database, a_stored_batch(*part))]
    return []


@pytest.mark.parametrize("added", ADDED.values(), ids=ADDED)
async def test_the_refused_row_is_rejected_and_the_others_are_written(
    database: DatabaseHandler, owner: str, added: str
) -> None:
    """No row is skipped silently, and the consumer does not wait."""
    change(owner, added)
    five = records()
    assert await deliver(database, a_stored_batch(*five)) == [REFUSED]
    with psycopg.connect(owner) as connection:
        message_rows = connection.execute("select ce_id from hookline.messages").fetchall()
        places = connection.execute("select sequence from hookline.receipts").fetchall()
    written = [each for each in five if each.offset != REFUSED]
    assert {ce_id for (ce_id,) in message_rows} == {
        dict(each.headers)["ce_id"].decode() for each in written
    }
    assert {sequence for (sequence,) in places} == {each.offset + 1 for each in written}


async def test_a_batch_that_takes_too_long_is_written_in_parts(
    database: DatabaseHandler, owner: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow trigger or large bodies may cause it; the same batch would time out again."""
    monkeypatch.setattr("consumers.sync.database.STATEMENT_TIMEOUT_S", 4)
    await database.close()
    change(owner, trigger("perform pg_sleep(1);", "true"))
    assert await deliver(database, a_stored_batch(*records())) == []
    with psycopg.connect(owner) as connection:
        assert connection.execute("select count(*) from hookline.messages").fetchone() == (5,)


async def test_repeats_are_not_mistaken_for_refused_or_dropped_rows(
    database: DatabaseHandler, owner: str
) -> None:
    """They may be in one batch or in two, or the same record may come again."""
    change(owner, trigger("return null;"))
    first = a_stored_record(0, a_body())
    again = [a_stored_record(at, a_body()) for at in (1, 2)]
    same_place = first._replace(offset=3)
    for batch in (a_stored_batch(first, again[0]), a_stored_batch(again[1], same_place)):
        assert await deliver(database, batch) == []
    with psycopg.connect(owner) as connection:
        assert connection.execute("select count(*) from hookline.messages").fetchone() == (1,)
        assert connection.execute("select count(*) from hookline.receipts").fetchone() == (3,)


@pytest.mark.parametrize(
    "changed",
    [
        "alter table hookline.positions add check (next_offset < 3)",
        trigger("raise exception 'no';", "new.next_offset > 2", "positions", "before update"),
    ],
)
async def test_a_refused_position_stops_the_consumer(
    database: DatabaseHandler, owner: str, changed: str
) -> None:
    """No record is the cause; otherwise every record would become a dead letter."""
    change(owner, changed)
    with pytest.raises(Stopped, match="refuses the position of"):
        await deliver(database, a_stored_batch(*records()))
    with psycopg.connect(owner) as connection:
        assert connection.execute(
            "select next_offset, (select count(*) from hookline.receipts) from hookline.positions"
        ).fetchone() in ((0, 0), (2, 2))


async def test_a_consumer_waits_until_it_may_create_the_tables(conninfo: str) -> None:
    """An owner's event trigger raises; once it is dropped, the tables are created."""
    with psycopg.connect(conninfo) as connection:
        connection.execute(
            "create function no() returns event_trigger language plpgsql as"
            " $$ begin raise 'ask the owner first'; end $$;"
            " create event trigger no on ddl_command_start when tag in ('CREATE TABLE')"
            " execute function no()"
        )
    database = DatabaseHandler(Secret(conninfo))
    with pytest.raises(Unavailable, match="ask the owner first"):
        await database.position(P0)
    with psycopg.connect(conninfo) as connection:
        connection.execute("drop event trigger no")
    assert await database.position(P0) is None
    await database.close()


async def test_a_refused_first_position_stops_the_consumer(
    database: DatabaseHandler, owner: str
) -> None:
    """The sink has no position yet."""
    change(owner, "alter table hookline.positions add check (partition < 1)")
    with pytest.raises(Stopped, match="refuses the position of"):
        await database.store_first_position(P0._replace(number=1), Position(0))


@pytest.mark.parametrize(
    "changed",
    [
        "alter table hookline.messages drop constraint messages_pkey",
        "alter table hookline.messages drop column platform",
        "create rule r as on insert to hookline.messages do instead nothing",
        "alter table hookline.messages alter result type date using null",
    ],
)
async def test_tables_that_no_row_fits_stop_the_consumer(
    database: DatabaseHandler, owner: str, changed: str
) -> None:
    """The text contains the error of PostgreSQL."""
    change(owner, changed)
    with pytest.raises(Stopped, match="refuses the statement that writes"):
        await database.handle(a_stored_batch(*records()))


@pytest.mark.parametrize(
    "changed",
    [
        "alter table hookline.messages rename to elsewhere",
        "revoke insert on hookline.messages from current_user",
        "alter database current_database set default_transaction_read_only to on",
    ],
)
async def test_a_consumer_waits_while_a_person_works_on_the_tables(
    database: DatabaseHandler, owner: str, changed: str
) -> None:
    """Tables that are renamed, without rights or read-only: the batch is tried again."""
    name = psycopg.conninfo.conninfo_to_dict(owner)["dbname"]
    change(owner, changed.replace("current_database", str(name)))
    await database.close()
    with pytest.raises(Unavailable):
        await database.handle(a_stored_batch(*records()))
