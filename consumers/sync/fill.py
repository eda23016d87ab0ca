"""
Fill the columns of messages that a program of version 1 wrote, in bounded steps.

Such rows have null in `online_only`, which an index finds. A step updates some hundred rows in a
short transaction of its own, so it delays no reader and no writer.
"""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import AsyncConnection

from consumers.runtime.sql_failure import SqlFailure, sql_failure
from consumers.sync.message_columns import CONTENT_COLUMNS, content_columns
from schemas.body import Malformed, parse
from schemas.clients import check_cancellation

log = logging.getLogger(__name__)

# The bounds of one step.
ROWS_MAX = 500
BYTES_MAX = 4 << 20
_SELECT_UNFILLED = f"""
    select ce_id, body, raw
    from (
        select ce_id, body, raw, sum(octet_length(body)) over (order by ce_id) as bytes,
            row_number() over (order by ce_id) as number
        from (
            select ce_id, body::text as body, raw
            from hookline.messages
            where online_only is null and ce_id > %(after)s
            order by ce_id
            limit {ROWS_MAX}
        ) as next
    ) as summed
    where bytes <= {BYTES_MAX} or number = 1
    order by ce_id"""  # noqa: S608 - constants
_FILL = """
    update hookline.messages as old
    set topic_id = new.topic_id, message_id = new.message_id, online_only = new.online_only,
        delivered = new.delivered, element_types = new.element_types::text[], text = new.text
    from unnest(
        %(ce_id)b::text[], %(topic_id)b::text[], %(message_id)b::text[], %(online_only)b::boolean[],
        %(delivered)b::boolean[], %(element_types)b::text[], %(text)b::text[]
    ) as new (ce_id, topic_id, message_id, online_only, delivered, element_types, text)
    where old.ce_id = new.ce_id and old.online_only is null"""


async def fill(connection: AsyncConnection) -> int:
    """
    Fill all rows that lack their columns; return their number.

    It pauses after each step for as long as the step took. A row whose update PostgreSQL refuses,
    by an owner's constraint for example, is left as it is.

    Raises:
        psycopg.Error: the database cannot answer now; some rows are filled.
    """
    filled, after = 0, ""
    while True:
        check_cancellation()
        began_at = time.monotonic()
        cursor = await connection.execute(_SELECT_UNFILLED, {"after": after})
        rows = [(ce_id, *_columns(body, raw)) for ce_id, body, raw in await cursor.fetchall()]
        if not rows:
            return filled
        filled += await _update(connection, rows)
        after = rows[-1][0]
        await asyncio.sleep(time.monotonic() - began_at)


def _columns(body: str, raw: bytes | None) -> tuple[Any, ...]:
    try:
        return content_columns(parse(body.encode() if raw is None else raw))
    except Malformed:
        return content_columns({})


async def _update(connection: AsyncConnection, rows: Sequence[tuple[Any, ...]]) -> int:
    names = ("ce_id", *CONTENT_COLUMNS)
    values = {name: [row[at] for row in rows] for at, name in enumerate(names)}
    try:
        return (await connection.execute(_FILL, values)).rowcount
    except psycopg.Error as error:
        if sql_failure(error) is not SqlFailure.ROW_REFUSED:
            raise
        if len(rows) > 1:
            return sum([await _update(connection, [row]) for row in rows])
        log.warning("the columns of message %s are not filled: %s", rows[0][0], error)
        return 0
