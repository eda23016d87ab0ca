"""Ask PostgreSQL for the rows of callbacks, and for the receipts of those that were found."""

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC
from typing import Any

import psycopg
from psycopg import AsyncConnection

from consumers.sync.connection import failure_text
from consumers.sync.queryable import column_text
from ops.find.collection import DATABASE, LocatedCallback, Sighting
from ops.find.question import Question
from ops.find.row_query import row_ranges, row_statements
from ops.find.sources import NotSearched
from ops.records.time_range import TimeRange

CONNECT_TIMEOUT_S = 5
# The server cancels a statement after this time.
STATEMENT_S = 20
_ROWS = """
    select ce_id, 'messages' from hookline.messages where ce_id = any(%(ids)s)
    union all
    select ce_id, 'events' from hookline.events where ce_id = any(%(ids)s)"""
_RECEIPTS = """
    select origin, sequence, received_at from hookline.receipts
    where (origin, sequence) in (
        select * from unnest(%(origins)s::text[], %(sequences)s::bigint[])
    )"""
_HAS_EXPIRY_TABLES = "select to_regclass('hookline.expired_receipts') is not null"
_EXPIRED = """
    select asked.origin, asked.sequence
    from unnest(%(origins)s::text[], %(sequences)s::bigint[]) as asked (origin, sequence)
    join hookline.expired_receipts as range on range.origin = asked.origin
        and asked.sequence between range.first_sequence and range.last_sequence"""


@contextlib.asynccontextmanager
async def connected(conninfo: str) -> AsyncIterator[AsyncConnection]:
    """
    Yield a connection that reads, with bounded statements.

    Raises:
        NotSearched: the database does not answer, or has no such tables, in this block, too.
    """
    try:
        async with await AsyncConnection.connect(
            conninfo,
            autocommit=True,
            connect_timeout=CONNECT_TIMEOUT_S,
            application_name="hookline-find",
            # A connection pooler may send each statement to another server process.
            prepare_threshold=None,
            client_encoding="utf8",
        ) as connection:
            await connection.execute(
                "select set_config('statement_timeout', %s, false),"
                " set_config('default_transaction_read_only', 'on', false)",
                (f"{STATEMENT_S}s",),
            )
            yield connection
    except psycopg.errors.QueryCanceled as error:
        raise NotSearched(
            f"PostgreSQL has no index for this and did not finish within {STATEMENT_S} s; give a"
            " range of time (--since, --until)"
        ) from error
    except psycopg.Error as error:
        raise NotSearched(failure_text(error)) from error


async def rows(
    conninfo: str, question: Question, time_range: TimeRange | None, *, limit: int
) -> tuple[list[LocatedCallback], str]:
    """
    Return the rows of the callbacks that are asked for, and what was searched, in words.

    With a range, and if no index finds the rows, only rows received in it are searched: first those
    of the first hour, the others only if there is none among them.

    Raises:
        NotSearched: as `connected` does.
    """
    async with connected(conninfo) as connection:
        by_id: dict[str, LocatedCallback] = {}
        part = time_range
        for part in row_ranges(question, time_range):
            for statement, values in row_statements(question, part):
                limited = f"{statement} order by received_at limit {limit + 1}"
                for row in await _fetch(connection, limited, values):
                    by_id.setdefault(row[0], _callback(row))
            if by_id:
                break
        return list(by_id.values()), f"rows received between {part}" if part else "all rows"


async def sightings(
    conninfo: str, callbacks: Sequence[LocatedCallback]
) -> dict[tuple[str, int], list[Sighting]]:
    """
    Return, by origin and sequence, the sightings of callbacks in the database.

    Raises:
        NotSearched: as `connected` does.
    """
    values = {
        "origins": [column_text(each.origin) for each in callbacks],
        "sequences": [each.sequence for each in callbacks],
        "ids": [column_text(each.ce_id) for each in callbacks],
    }
    async with connected(conninfo) as connection:
        rows_of = {row[0]: row[1] for row in await _fetch(connection, _ROWS, values)}
        receipts = {row[:2]: row[2] for row in await _fetch(connection, _RECEIPTS, values)}
        expired: set[tuple[Any, ...]] = set()
        if await _fetch(connection, _HAS_EXPIRY_TABLES, {}) == [(True,)]:
            expired = {row[:2] for row in await _fetch(connection, _EXPIRED, values)}
    sightings_of: dict[tuple[str, int], list[Sighting]] = {}
    for each in callbacks:
        key, of_one = (
            (each.origin, each.sequence),
            sightings_of.setdefault((each.origin, each.sequence), []),
        )
        if table := rows_of.get(each.ce_id):
            of_one.append(_row_sighting(table, each.ce_id))
        if at := receipts.get(key):
            of_one.append(
                Sighting(store=DATABASE, where="hookline.receipts", at=at.astimezone(UTC))
            )
        elif key in expired:
            of_one.append(
                Sighting(store=DATABASE, where="hookline.expired_receipts", note="expired")
            )
    return sightings_of


async def _fetch(
    connection: AsyncConnection, statement: str, values: Mapping[str, Any]
) -> list[tuple[Any, ...]]:
    return await (await connection.execute(statement.encode(), values)).fetchall()


def _row_sighting(table: str, ce_id: str) -> Sighting:
    return Sighting(store=DATABASE, where=f"hookline.{table} where ce_id = '{ce_id}'")


def _callback(row: Sequence[Any]) -> LocatedCallback:
    ce_id, app, command, sender, recipient, group, received_at, sent_at, body, table = row
    return LocatedCallback(
        origin="",
        sequence=0,
        ce_id=ce_id,
        app=app,
        command=command,
        sender=sender or "",
        recipient=recipient or "",
        group=group or "",
        received_at=received_at.astimezone(UTC),
        sent_at=sent_at.astimezone(UTC) if sent_at else None,
        body=bytes(body),
        sightings=[_row_sighting(table, ce_id)],
    )
