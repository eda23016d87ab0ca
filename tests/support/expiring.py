"""Callbacks of several months, a run of `hookline sync expire`, and what an audit says of it."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime

from psycopg import AsyncConnection
from support.builders import P0, a_body, a_callback

from consumers.runtime.batch import Record
from ops.audit.receipts import read_receipts
from ops.audit.report import Report
from ops.audit.spool_ends import SpoolEnds
from ops.audit.tally import Tally
from ops.simulate.ledger import LedgerEntry
from ops.sync import expire
from ops.sync.session import prepare
from schemas import outgoing_record as wire
from schemas.callback_record import place

FEBRUARY, MARCH, APRIL = (datetime(2023, month, 1, tzinfo=UTC) for month in (2, 3, 4))


def in_month(
    offset: int,
    at: datetime,
    key: str,
    *,
    command: str = "C2C.CallbackAfterSendMsg",
    origin: str = "o" * 16,
    sequence: int = 0,
) -> Record:
    """
    Return a record that was received `at`; those of one key and command have one `ce_id`.

    Its sequence is its offset + 1 if none is given.
    """
    body = a_body(CallbackCommand=command, MsgKey=key, EventTime=1_700_000_000)
    callback = a_callback(body, received_at_ms=round(at.timestamp() * 1000))
    made = wire.main_topic_record(callback)
    headers = tuple(wire.with_place_and_id(made.headers, origin, sequence or offset + 1))
    return Record(offset, callback.received_at_ms, made.key, made.value, headers)


@asynccontextmanager
async def opened(conninfo: str) -> AsyncIterator[AsyncConnection]:
    """Yield a connection as the command opens it."""
    async with await AsyncConnection.connect(conninfo, autocommit=True) as connection:
        await prepare(connection)
        yield connection


async def expired(conninfo: str, before: datetime) -> None:
    """Expire everything that was received before a time."""
    async with opened(conninfo) as connection, aclosing(expire.expire(connection, before)) as steps:
        async for _ in steps:
            pass


async def audited(
    conninfo: str, records: Sequence[Record], ledger: Sequence[LedgerEntry] = ()
) -> Report:
    """Return the report where Kafka and the archive have these records, in this order."""
    places = [place(record.headers) for record in records]
    ends = SpoolEnds(by_spool={origin: {origin: last} for origin, last in _last_of(places).items()})
    tally = Tally(ends, ledger, audits_postgres=True, audits_counts=False)
    tally.note_log_starts({})
    for record, (origin, sequence) in zip(records, places, strict=True):
        tally.add_record(P0.number, record.offset, record.headers, record.value)
        tally.origins.evidence(origin).archive.add(sequence)
    await read_receipts(conninfo, tally)
    return tally.report()


def _last_of(places: Iterable[tuple[str, int]]) -> dict[str, int]:
    last: dict[str, int] = {}
    for origin, sequence in places:
        last[origin] = max(sequence, last.get(origin, 0))
    return last
