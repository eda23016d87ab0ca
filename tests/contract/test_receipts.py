"""The audit names every row of the database that differs from the stored callback."""

import asyncio
import gc
import hashlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import psycopg
import pytest
from support.archive.archives import HOUR_MS
from support.builders import P0, SAMPLES, a_body, a_stored_batch, a_stored_record

from consumers.runtime.batch import Position
from consumers.sync.database import DatabaseHandler
from ops.audit import receipts
from ops.audit.receipts import read_receipts
from ops.audit.report import POSTGRES, Report
from ops.audit.since import Since
from ops.audit.spool_ends import SpoolEnds
from ops.audit.tally import Tally
from ops.simulate.ledger import LedgerEntry, Outcome
from schemas.setting import Secret

ORIGIN = "o" * 16
BODIES = [
    *(sample.read_bytes() for sample in SAMPLES),
    a_body(MsgKey="odd", Text="nul \0 and \ud800"),
    b'{"CallbackCommand":"C2C.CallbackAfterSendMsg","A":1,"A":2,"n":1e999}',
    a_body(From_Account="a\0b", MsgSeq="x", MsgTime=10**17, MsgKey=7),
    # A repeat in which the sender filled in a field again.
    a_body(MsgKey="repeated", UnreadMsgNum=1),
    a_body(MsgKey="repeated", UnreadMsgNum=2),
]
RECORDS = [a_stored_record(offset, body, origin=ORIGIN) for offset, body in enumerate(BODIES)]


@pytest.fixture
async def filled(conninfo: str) -> AsyncIterator[str]:
    """A database that has all of them."""
    database = DatabaseHandler(Secret(conninfo))
    await database.store_first_position(P0, Position(0))
    await database.handle(a_stored_batch(*RECORDS))
    yield conninfo
    await database.close()


async def audited(conninfo: str) -> Report:
    """Return the report where Kafka and the archive have what was stored; it is read twice."""
    ends = SpoolEnds(by_spool={ORIGIN: {ORIGIN: len(RECORDS)}})
    tally = Tally(ends, [], audits_postgres=True, audits_counts=False)
    tally.note_log_starts({})
    for record in RECORDS:
        tally.add_record(P0.number, record.offset, record.headers, record.value)
        tally.origins.evidence(ORIGIN).archive.add(record.offset + 1)
    for _ in range(2):
        await read_receipts(conninfo, tally)
    return tally.report()


async def test_unaltered_rows_are_proven(filled: str) -> None:
    """Bodies that sync altered, and repeats with other bytes, are not faults."""
    report = await audited(filled)
    assert (report.proven, report.different, report.repeats) == (True, 0, 1)


async def test_only_the_receipts_since_a_time_are_read(conninfo: str) -> None:
    """A repeat shares the row of the first callback, whose body is not read: not compared."""
    bodies = [a_body(MsgKey="repeated", UnreadMsgNum=number) for number in (1, 2)]
    first, repeat = (
        a_stored_record(offset, body, origin=ORIGIN, received_at_ms=(offset + 1) * HOUR_MS)
        for offset, body in enumerate(bodies)
    )
    database = DatabaseHandler(Secret(conninfo))
    await database.store_first_position(P0, Position(0))
    await database.handle(a_stored_batch(first, repeat))
    await database.close()
    ends = SpoolEnds(
        by_spool={ORIGIN: {ORIGIN: 2}},
        since=Since(datetime.fromtimestamp(2 * HOUR_MS / 1000, UTC)),
        first_sequences={ORIGIN: 2},
    )
    tally = Tally(ends, [], audits_postgres=True, audits_counts=False)
    tally.note_log_starts({})
    tally.add_record(P0.number, repeat.offset, repeat.headers, repeat.value)
    tally.origins.evidence(ORIGIN).archive.add(2)
    await read_receipts(conninfo, tally)
    report = tally.report()
    assert (tally.receipt_count, report.different, report.proven) == (1, 0, True)


async def test_the_rows_of_a_ledger_are_asked_for_in_parts_and_once(
    filled: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ledger may have millions of entries, and an audit many rounds."""
    monkeypatch.setattr(receipts, "RECEIPTS_PER_FETCH", 2)
    ledger = [an_entry(dict(r.headers)["ce_id"].decode(), r.value) for r in RECORDS]
    ledger.append(an_entry("lost", b"{}"))
    tally = Tally(SpoolEnds(), ledger, audits_postgres=True, audits_counts=False)
    await read_receipts(filled, tally)
    assert tally.ledger_ids_without_row == ["lost"]
    report = tally.report().ledger
    assert report is not None
    assert (report.missing[POSTGRES], report.changed) == (1, 0)


def an_entry(ce_id: str, value: bytes) -> LedgerEntry:
    """Return the ledger's entry of a callback that was answered OK."""
    return LedgerEntry(
        id=ce_id,
        sdkappid="1",
        command="X",
        sha256=hashlib.sha256(value).hexdigest(),
        outcome=Outcome.OK,
        status=200,
        latency_ms=1,
    )


@pytest.mark.parametrize(
    ("change", "missing", "different"),
    [
        (
            "update hookline.messages set body_sha256 = sha256('x') where message_key = 'repeated'",
            0,
            1,
        ),
        ("update hookline.messages set raw = 'x' where raw is not null", 0, 2),
        ("update hookline.receipts set ce_id = (select max(ce_id) from hookline.receipts)", 0, 1),
        ("delete from hookline.receipts where sequence = 1", 1, 0),
        ("delete from hookline.messages where message_key = 'repeated'", 2, 0),
    ],
)
async def test_a_change_in_the_database_is_named(
    filled: str, change: str, missing: int, different: int
) -> None:
    """A body, raw bytes or an id may have changed, or a receipt or a row may be missing."""
    with psycopg.connect(filled) as connection:
        connection.execute(change.encode())
    report = await audited(filled)
    held = report.origins[0].sinks[POSTGRES]
    assert (held.missing, report.different >= different) == (missing, True)
    assert not report.proven


@pytest.mark.parametrize("is_since", [False, True])
@pytest.mark.parametrize(
    "change",
    [
        "insert into hookline.receipts values (%(origin)s, %(above)s, 'no row', now())",
        "insert into hookline.expired_receipts values (%(origin)s, %(above)s, %(above)s)",
        "update hookline.positions set last_sequence = %(above)s",
    ],
)
async def test_a_place_above_the_end_of_the_spool_is_noticed(
    filled: str, change: str, *, is_since: bool
) -> None:
    """A receipt without a row, one that was deleted, or the position: the spool went back."""
    end = len(RECORDS)
    since = Since(datetime(2026, 1, 1, tzinfo=UTC)) if is_since else None
    firsts = {ORIGIN: end + 1} if is_since else {}

    async def doubts(later: int) -> dict[str, str]:
        ends, later_ends = (
            SpoolEnds(by_spool={ORIGIN: {ORIGIN: last}}, since=since, first_sequences=firsts)
            for last in (end, later)
        )
        tally = Tally(ends, [], audits_postgres=True, audits_counts=False)
        await read_receipts(filled, tally)
        tally.origins.replace_ends(ends, later_ends)
        return tally.report().doubts

    assert await doubts(end) == {}
    with psycopg.connect(filled) as connection:
        connection.execute(change.encode(), {"origin": ORIGIN, "above": end + 1})
    assert "restored from an older copy" in (await doubts(end))[ORIGIN]
    assert await doubts(end + 1) == {}


@pytest.mark.parametrize("is_since", [False, True])
async def test_the_origin_of_a_receipt_without_a_row_is_noticed(
    filled: str, *, is_since: bool
) -> None:
    """But with --since, an origin without a spool may have no callbacks since then."""
    with psycopg.connect(filled) as connection:
        for origin in ("a" * 16, "z" * 16):
            values = {"origin": origin}
            statement = b"insert into hookline.receipts values (%(origin)s, 1, 'no row', now())"
            connection.execute(statement, values)
    ends = SpoolEnds(
        by_spool={ORIGIN: {ORIGIN: len(RECORDS)}},
        since=Since(datetime(2026, 1, 1, tzinfo=UTC)) if is_since else None,
        first_sequences={ORIGIN: len(RECORDS) + 1} if is_since else {},
    )
    tally = Tally(ends, [], audits_postgres=True, audits_counts=False)
    await read_receipts(filled, tally)
    assert tally.report().names_in_doubt == ([] if is_since else ["a" * 16, "z" * 16])


async def test_a_server_that_fails_after_the_audit_was_stopped_logs_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Two cancellations leave the thread alone; the server closes its connection after them."""
    monkeypatch.setattr(receipts, "CONNECT_TIMEOUT_S", 180)
    connected, closing = asyncio.Event(), asyncio.Event()

    async def close_later(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await closing.wait()
        writer.close()

    server = await asyncio.start_server(close_later, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    before = asyncio.all_tasks()
    reading = asyncio.create_task(
        read_receipts(
            f"postgresql://hookline@127.0.0.1:{port}/x?sslmode=disable",
            Tally(SpoolEnds(by_spool={}), [], audits_postgres=True, audits_counts=False),
        )
    )
    async with server:
        await connected.wait()
        for _ in range(2):
            reading.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await reading
        closing.set()
        while asyncio.all_tasks() != before:  # noqa: ASYNC110 - the thread's task is not ours
            await asyncio.sleep(0.01)
    gc.collect()
    assert not caplog.records
