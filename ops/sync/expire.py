"""
`hookline sync expire`: delete callbacks of old months from PostgreSQL, in short steps.

Three kinds of steps, each one statement that is whole or not at all:

1. Delete old rows of `messages` and `events`; note their ids in `expiring_ids`.
2. Delete the receipts of these ids, and note their sequences in `expired_receipts`.
3. Forget the ids.

So at any time the audit finds each receipt with its row, or with its id in `expiring_ids`, or in
`expired_receipts`. A receipt that lacks its row for another reason stays, and stays a fault. Sync
writes meanwhile. A run that was interrupted continues when it is started again.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from psycopg import AsyncConnection, sql

from schemas.clients import check_cancellation

# The rows of one step, and the receipts and ids. A step takes less than a second on a busy machine,
# and a callback that is repeated at this moment waits for it.
ROWS_PER_STEP = 5_000
RECEIPTS_PER_STEP = 10_000
# The pause between two looks at the transactions that are waited for.
POLL_S = 0.2
TABLES = ("messages", "events")
# The table of a step that waits for transactions to end.
TRANSACTIONS = "transactions"
# A step begins where the last one ended, because it would have to pass over all rows that were
# deleted before. The condition is in the outer statement as well: in partitions of an owner, two
# rows may have the same ctid.
_DELETE_ROWS = sql.SQL("""
    with gone as (
        delete from hookline.{table}
        where received_at < %(before)s and ctid = any(array(
            select ctid from hookline.{table}
            where received_at >= %(begin)s and received_at < %(before)s
            order by received_at
            limit %(rows)s
        ))
        returning ce_id, received_at
    ), noted as (
        insert into hookline.expiring_ids select ce_id from gone on conflict do nothing
    )
    select count(*), max(received_at)::text from gone""")
# A repeat may have come after its message was deleted: then there is a row again, and the receipts
# stay.
_DELETE_RECEIPTS = """
    with page as (
        select origin, sequence, ce_id
        from hookline.receipts
        where (origin, sequence) > (%(origin)s, %(sequence)s)
        order by origin, sequence
        limit %(rows)s
    ), gone as (
        delete from hookline.receipts as old
        using page
            join hookline.expiring_ids using (ce_id)
        where old.origin = page.origin and old.sequence = page.sequence
            and not exists (select from hookline.messages as row where row.ce_id = page.ce_id)
            and not exists (select from hookline.events as row where row.ce_id = page.ce_id)
        returning old.origin, old.sequence
    ), noted as (
        insert into hookline.expired_receipts (origin, first_sequence, last_sequence)
        select origin, min(sequence), max(sequence)
        from (
            select origin, sequence,
                sequence - row_number() over (partition by origin order by sequence) as range
            from gone
        ) as numbered
        group by origin, range
        on conflict (origin, first_sequence) do update
        set last_sequence = greatest(expired_receipts.last_sequence, excluded.last_sequence)
    )
    select origin, sequence, (select count(*) from page), (select count(*) from gone)
    from page
    order by origin desc, sequence desc
    limit 1"""
_JOIN_RANGES = """
    with ranges as (
        select origin, first_sequence, last_sequence,
            coalesce(first_sequence > 1 + max(last_sequence) over (
                partition by origin order by first_sequence
                rows between unbounded preceding and 1 preceding
            ), true) as begins
        from hookline.expired_receipts
    ), numbered as (
        select *, count(*) filter (where begins) over (
            partition by origin order by first_sequence
        ) as whole
        from ranges
    ), joined as (
        select origin, first_sequence, begins,
            max(last_sequence) over (partition by origin, whole) as last_sequence
        from numbered
    ), grown as (
        update hookline.expired_receipts as old
        set last_sequence = joined.last_sequence
        from joined
        where joined.begins and old.origin = joined.origin
            and old.first_sequence = joined.first_sequence
            and old.last_sequence < joined.last_sequence
    )
    delete from hookline.expired_receipts as old
    using joined
    where not joined.begins and old.origin = joined.origin
        and old.first_sequence = joined.first_sequence"""
_FORGET_IDS = """
    with page as (
        select ce_id from hookline.expiring_ids where ce_id > %(after)s
        order by ce_id
        limit %(rows)s
    ), gone as (
        delete from hookline.expiring_ids as old using page where old.ce_id = page.ce_id
    )
    select count(*), max(ce_id) from page"""
# Before every time.
_BEGINNING = "-infinity"


class DeletionStep(NamedTuple):
    """A statement that was committed: how many rows it read and deleted in a table."""

    table: str
    read: int
    deleted: int


async def expire(connection: AsyncConnection, before: datetime) -> AsyncGenerator[DeletionStep]:
    """
    Delete everything that was received before `before`; yield after each step.

    `connection` commits each statement. `prepare` of ops/sync/session.py was called.
    """
    for table in TABLES:
        async for step in _expire_rows(connection, table, before):
            yield step
    async for step in _wait_for_writers(connection):
        yield step
    async for step in _expire_receipts(connection):
        yield step


async def _execute(
    connection: AsyncConnection, statement: str | sql.Composed, values: Mapping[str, object]
) -> Any:
    """Execute a step and return its row; pause for as long as it took, so that sync goes on."""
    began_at = time.monotonic()
    query = statement if isinstance(statement, sql.Composed) else statement.encode()
    row = await (await connection.execute(query, values)).fetchone()
    await asyncio.sleep(time.monotonic() - began_at)
    return row


async def _expire_rows(
    connection: AsyncConnection, table: str, before: datetime
) -> AsyncGenerator[DeletionStep]:
    statement = _DELETE_ROWS.format(table=sql.Identifier(table))
    begin: str | None = _BEGINNING
    while begin:
        values = {"begin": begin, "before": before, "rows": ROWS_PER_STEP}
        deleted, last = await _execute(connection, statement, values)
        yield DeletionStep(table, deleted, deleted)
        # At the end, look once more from the beginning, for rows that came or changed meanwhile.
        begin = last or (_BEGINNING if begin != _BEGINNING else None)


async def _wait_for_writers(connection: AsyncConnection) -> AsyncGenerator[DeletionStep]:
    """
    Wait until every transaction has ended that may have seen a row before it was deleted.

    Sync may be about to commit the receipt of a repeat, whose message it saw: the receipt must be
    there when the receipts are read. A later one inserts its message again.
    """
    ((last,),) = await (await connection.execute("select pg_current_xact_id()::text")).fetchall()
    query = "select pg_snapshot_xmin(pg_current_snapshot()) > %s::text::xid8"
    is_first = True
    while await (await connection.execute(query, (last,))).fetchall() != [(True,)]:
        if is_first:
            yield DeletionStep(TRANSACTIONS, 0, 0)
        is_first = False
        check_cancellation()
        await asyncio.sleep(POLL_S)


async def _expire_receipts(connection: AsyncConnection) -> AsyncGenerator[DeletionStep]:
    origin, sequence = "", 0
    read = RECEIPTS_PER_STEP
    # Stop at a page that is not full: sync may write receipts faster than this reads the last ones,
    # and no new one has a row that was deleted.
    while read == RECEIPTS_PER_STEP:
        values = {"origin": origin, "sequence": sequence, "rows": RECEIPTS_PER_STEP}
        page = await _execute(connection, _DELETE_RECEIPTS, values)
        origin, sequence, read, deleted = page or ("", 0, 0, 0)
        yield DeletionStep("receipts", read, deleted)
    await connection.execute(_JOIN_RANGES)
    yield DeletionStep("expired_receipts", 0, 0)
    after: str | None = ""
    while after is not None:
        values = {"after": after, "rows": RECEIPTS_PER_STEP}
        forgotten, after = await _execute(connection, _FORGET_IDS, values)
        yield DeletionStep("expiring_ids", forgotten, forgotten)
