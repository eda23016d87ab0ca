"""`hookline sync expire`: old months go, sync goes on, and the audit is right at each moment."""

import asyncio
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import psycopg
import pytest
from psycopg import AsyncConnection
from support.builders import APP, P0, a_stored_batch
from support.expiring import APRIL, FEBRUARY, MARCH, audited, expired, in_month, opened
from support.sync_tables import select

from consumers.sync.database import DatabaseHandler
from ops.audit.report import POSTGRES
from ops.simulate.ledger import LedgerEntry, Outcome
from ops.sync import expire, session
from ops.sync.plan import StoredMonth, plan
from ops.sync.session import NotExpired
from schemas.setting import Secret

TABLES = "select count(*) from pg_class where relnamespace = to_regnamespace('hookline')"
LEFT = """
    select (select count(*) from hookline.messages), (select count(*) from hookline.events),
        (select count(*) from hookline.receipts), (select count(*) from hookline.expiring_ids)"""
RANGES = "table hookline.expired_receipts order by 1, 2"
ORIGIN = "o" * 16
# Two months of a message, an event and a repeat each; the last message is a repeat of February's.
RECORDS = [
    in_month(0, FEBRUARY, "first"),
    in_month(1, FEBRUARY, "event", command="State.StateChange"),
    in_month(2, FEBRUARY, "first"),
    in_month(3, MARCH, "second"),
    in_month(4, MARCH, "another event", command="State.StateChange"),
    in_month(5, MARCH, "first"),
]


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each step have few rows."""
    monkeypatch.setattr(expire, "ROWS_PER_STEP", 2)
    monkeypatch.setattr(expire, "RECEIPTS_PER_STEP", 4)


async def test_rows_go_with_all_their_receipts(database: DatabaseHandler, conninfo: str) -> None:
    """A receipt of a later month goes with the message that it repeats; the rest is audited."""
    await database.handle(a_stored_batch(*RECORDS))
    await expired(conninfo, MARCH)
    assert select(conninfo, LEFT) == [(1, 1, 2, 0)]
    assert select(conninfo, RANGES) == [(ORIGIN, 1, 3), (ORIGIN, 6, 6)]
    report = await audited(conninfo, RECORDS)
    sink = report.origins[0].sinks[POSTGRES]
    assert (report.proven, sink.sequences, sink.expired, sink.returned) == (True, 2, 4, 0)
    await expired(conninfo, APRIL)
    assert select(conninfo, RANGES) == [(ORIGIN, 1, 6)]
    assert (await audited(conninfo, RECORDS)).proven


@pytest.mark.parametrize(
    ("damage", "missing"),
    [
        ("delete from hookline.receipts where sequence = 2", [2]),
        ("delete from hookline.events where command = 'State.StateChange'", [2, 5]),
        ("delete from hookline.messages where message_key = 'first'", [1, 3, 6]),
    ],
)
async def test_what_was_missing_before_stays_missing(
    database: DatabaseHandler, conninfo: str, damage: str, missing: list[int]
) -> None:
    """Only a receipt that was there with its row can expire."""
    await database.handle(a_stored_batch(*RECORDS))
    with psycopg.connect(conninfo) as connection:
        connection.execute(damage.encode())
    await expired(conninfo, APRIL)
    report = await audited(conninfo, RECORDS)
    assert report.origins[0].sinks[POSTGRES].missing_listed == missing
    assert not report.proven


async def test_it_may_be_interrupted_after_any_step(
    database: DatabaseHandler, conninfo: str
) -> None:
    """The audit proves what is left at each moment, and the next run continues."""
    await database.handle(a_stored_batch(*RECORDS))
    for steps in range(30):
        async with (
            opened(conninfo) as connection,
            aclosing(expire.expire(connection, MARCH)) as run,
        ):
            at = 0
            async for _ in run:
                assert (await audited(conninfo, RECORDS)).proven
                at += 1
                if at > steps:
                    break
            else:
                break
    assert steps >= 5
    assert select(conninfo, LEFT) == [(1, 1, 2, 0)]
    assert select(conninfo, RANGES) == [(ORIGIN, 1, 3), (ORIGIN, 6, 6)]


async def test_a_repeat_that_is_being_written_is_waited_for(
    database: DatabaseHandler, conninfo: str
) -> None:
    """It has seen the message that is then deleted; its receipt expires with the others."""
    await database.handle(a_stored_batch(*RECORDS[:5]))
    with psycopg.connect(conninfo) as writer:
        writer.execute("select pg_current_xact_id()")
        run = asyncio.create_task(expired(conninfo, MARCH))
        await until_rows_are_gone(conninfo)
        assert not run.done()
        writer.execute(
            "insert into hookline.receipts select origin, 6, ce_id, received_at"
            " from hookline.receipts where sequence = 1"
        )
        await asyncio.sleep(2 * expire.POLL_S)
        assert not run.done()
    await run
    assert select(conninfo, RANGES) == [(ORIGIN, 1, 3), (ORIGIN, 6, 6)]
    assert (await audited(conninfo, RECORDS)).proven


async def until_rows_are_gone(conninfo: str) -> None:
    """Return once the rows of February are deleted."""
    async with asyncio.timeout(180):
        while select(conninfo, "select count(*) from hookline.expiring_ids") != [(2,)]:  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_a_repeat_that_comes_during_a_run_keeps_its_receipts(
    database: DatabaseHandler, conninfo: str
) -> None:
    """Its message was deleted and is written again; there is no row without a receipt."""
    await database.handle(a_stored_batch(*RECORDS[:5]))
    async with opened(conninfo) as connection, aclosing(expire.expire(connection, MARCH)) as run:
        async for step in run:
            if step.table == "events" and not step.deleted:
                await database.handle(a_stored_batch(RECORDS[5]))
                break
        async for _ in run:
            pass
    assert select(conninfo, RANGES) == [(ORIGIN, 2, 2)]
    assert select(conninfo, LEFT) == [(2, 1, 5, 0)]
    assert (await audited(conninfo, RECORDS)).proven


async def test_a_month_that_is_read_again_is_written_and_expires_again(
    database: DatabaseHandler, conninfo: str
) -> None:
    """Sync refuses nothing that it reads; the audit names the rows that came again."""
    await database.handle(a_stored_batch(*RECORDS))
    await expired(conninfo, MARCH)
    with psycopg.connect(conninfo) as connection:
        connection.execute("update hookline.positions set next_offset = 0")
    await database.handle(a_stored_batch(*RECORDS[:2]))
    report = await audited(conninfo, RECORDS)
    sink = report.origins[0].sinks[POSTGRES]
    assert (report.proven, sink.expired, sink.returned) == (True, 2, 2)
    await expired(conninfo, MARCH)
    assert select(conninfo, LEFT) == [(1, 1, 2, 0)]
    assert (await audited(conninfo, RECORDS)).origins[0].sinks[POSTGRES].returned == 0


async def test_a_late_repeat_is_a_new_message(database: DatabaseHandler, conninfo: str) -> None:
    """Its month is that of the repeat."""
    await database.handle(a_stored_batch(*RECORDS[:5]))
    await expired(conninfo, MARCH)
    await database.handle(a_stored_batch(RECORDS[5]))
    await expired(conninfo, MARCH)
    months = "select extract(month from received_at at time zone 'UTC') from hookline.messages"
    assert select(conninfo, f"{months} where message_key = 'first'") == [(3,)]
    assert (await audited(conninfo, RECORDS)).proven


async def test_a_ledger_does_not_miss_what_has_expired(
    database: DatabaseHandler, conninfo: str
) -> None:
    """It misses what was never written."""
    ledger = [
        LedgerEntry(
            id=dict(record.headers)["ce_id"].decode(),
            sdkappid=APP,
            command="",
            sha256=sha256(record.value).hexdigest(),
            outcome=Outcome.OK,
            status=200,
            latency_ms=1,
        )
        for record in RECORDS
    ]
    await database.handle(a_stored_batch(*RECORDS[:4]))
    await expired(conninfo, MARCH)
    report = (await audited(conninfo, RECORDS, ledger)).ledger
    assert report is not None
    assert report.missing[POSTGRES] == 1


async def test_only_one_run_at_a_time(
    database: DatabaseHandler, conninfo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one would forget the ids of the first."""
    monkeypatch.setattr(session, "LOCK_WAIT_S", 0.0)
    await database.close()
    async with opened(conninfo):
        with pytest.raises(NotExpired, match="another `hookline sync expire` is under way"):
            await expired(conninfo, MARCH)


async def test_tables_of_another_release_are_refused(conninfo: str) -> None:
    """No table is made, and nothing is deleted."""
    with pytest.raises(NotExpired, match="start the consumer sync of this release once"):
        await expired(conninfo, MARCH)
    assert select(conninfo, TABLES) == [(0,)]
    database = DatabaseHandler(Secret(conninfo))
    await database.position(P0)
    await database.close()
    with psycopg.connect(conninfo) as connection:
        connection.execute("update hookline.schema_version set version = 99")
    with pytest.raises(NotExpired, match="need a program of version 99"):
        await expired(conninfo, MARCH)


async def test_tables_of_an_earlier_release_are_audited(
    database: DatabaseHandler, conninfo: str
) -> None:
    """Nothing has expired from them."""
    await database.handle(a_stored_batch(*RECORDS))
    with psycopg.connect(conninfo) as connection:
        connection.execute("drop table hookline.expired_receipts, hookline.expiring_ids")
    assert (await audited(conninfo, RECORDS)).proven


async def test_the_plan_has_whole_months_by_the_clock_of_the_server(
    database: DatabaseHandler, conninfo: str
) -> None:
    """The month in which the age begins stays, also where the session has another time zone."""
    now = datetime.now(UTC)
    this_month = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    age = timedelta(days=100)
    begins = (now - age).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    moment = timedelta(milliseconds=1)
    times = [begins - timedelta(days=400), begins - moment, begins, this_month, now]
    await database.handle(
        a_stored_batch(*(in_month(at, time, f"{at}") for at, time in enumerate(times)))
    )
    for zone in ("UTC", "Pacific/Kiritimati", "America/Adak"):
        async with await AsyncConnection.connect(
            conninfo, autocommit=True, options=f"-c timezone={zone}"
        ) as connection:
            planned = await plan(connection, age)
        assert planned.before == begins
        assert planned.going == [StoredMonth(f"{each:%Y-%m}", 1, 0) for each in times[:2]]
        assert sum(each.messages for each in planned.staying) == 3
        assert planned.staying[-1].name == f"{now:%Y-%m}"
        assert planned.bytes > 0
