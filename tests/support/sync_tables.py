"""Read the tables that sync has written."""

from typing import Any

import psycopg
from psycopg.rows import dict_row


def select(conninfo: str, query: str) -> list[tuple[Any, ...]]:
    """Return a query's rows."""
    with psycopg.connect(conninfo) as connection:
        return connection.execute(query.encode()).fetchall()


def receipts(conninfo: str) -> int:
    """Return the number of receipts, 0 while sync has not made its tables."""
    if select(conninfo, "select to_regclass('hookline.receipts')") == [(None,)]:
        return 0
    ((count,),) = select(conninfo, "select count(*) from hookline.receipts")
    return int(count)


def messages(conninfo: str) -> list[dict[str, Any]]:
    """Return all messages in the order in which they were stored."""
    with psycopg.connect(conninfo, row_factory=dict_row) as connection:
        return connection.execute(
            "select m.*, sequence from hookline.messages m join hookline.receipts using (ce_id)"
            " order by sequence"
        ).fetchall()
