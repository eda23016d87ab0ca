"""Which months of the database go, and how much of it that is; deletes nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from psycopg import AsyncConnection

_BEFORE = "select date_trunc('month', (now() - %s) at time zone 'UTC') at time zone 'UTC'"
_MONTHS = """
    select to_char(month, 'YYYY-MM'), sum(messages)::bigint, sum(events)::bigint
    from (
        select date_trunc('month', received_at at time zone 'UTC') as month, 1 as messages,
            0 as events
        from hookline.messages
        union all
        select date_trunc('month', received_at at time zone 'UTC'), 0, 1 from hookline.events
    ) as rows
    group by month
    order by month"""
_SIZES = """
    select pg_total_relation_size('hookline.messages'), pg_total_relation_size('hookline.events'),
        (select count(*) from hookline.receipts), exists (select from hookline.expiring_ids)"""


class StoredMonth(NamedTuple):
    """A month (UTC) that has rows, such as 2026-05."""

    name: str
    messages: int
    events: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpiryPlan:
    """
    The months before `before`, which go, and the others, which stay.

    `bytes` is what the rows that go take with their indexes, by the average size of a row.
    `receipts`: the number of all receipts. `interrupted`: an earlier run has deleted rows, and not
    yet their receipts.
    """

    before: datetime
    going: Sequence[StoredMonth]
    staying: Sequence[StoredMonth]
    bytes: int
    receipts: int
    interrupted: bool


async def plan(connection: AsyncConnection, age: timedelta) -> ExpiryPlan:
    """Return which months are older than `age` as a whole, by the clock of the server."""
    ((before,),) = await (await connection.execute(_BEFORE, (age,))).fetchall()
    before = before.astimezone(UTC)
    ((of_messages, of_events, receipts, interrupted),) = await (
        await connection.execute(_SIZES)
    ).fetchall()
    months = [StoredMonth(*row) for row in await (await connection.execute(_MONTHS)).fetchall()]
    going = [month for month in months if month.name < f"{before:%Y-%m}"]
    messages = sum(month.messages for month in going), sum(month.messages for month in months)
    events = sum(month.events for month in going), sum(month.events for month in months)
    return ExpiryPlan(
        before=before,
        going=going,
        staying=months[len(going) :],
        bytes=_share(of_messages, *messages) + _share(of_events, *events),
        receipts=receipts,
        interrupted=interrupted,
    )


def _share(size: int, rows: int, of_all: int) -> int:
    return size * rows // (of_all or 1)
