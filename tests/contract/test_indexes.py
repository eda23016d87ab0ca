"""The queries of docs/sync.md that have an index use it, on a table of some 100,000 rows."""

import asyncio

import psycopg
import pytest
from support.docs_blocks import ROOT, the_block
from support.sync_tables import select

from consumers.sync.maintenance import INDEXES, maintain
from ops.demo.embedded.postgres import EmbeddedPostgres
from schemas.setting import Secret

ROWS = 100_000
# Five of six messages are to an account, the others to a group; they came within the last 30 days.
FILL = f"""
    insert into hookline.messages (
        ce_id, sdkappid, command, sender, recipient, group_id, received_at,
        body, altered, body_sha256, online_only, delivered, element_types, text
    )
    select md5(n::text), '1400000001', 'X', 'user' || n * 7919 % 5000,
        case when n % 6 > 0 then 'user' || n * 104729 % 5000 end,
        case when n % 6 = 0 then '@TGS#' || n / 6 % 500 end,
        now() - interval '30 days' * ({ROWS} - n) / {ROWS},
        '{{}}', false, sha256(''), false, true, '{{TIMTextElem}}', 'hello ' || n
    from generate_series(1, {ROWS}::bigint) as n;
    update hookline.messages set sender = 'ann' where text like '%000';
    update hookline.messages set recipient = 'bob' where text like '%5000';
"""  # noqa: S608 - constants
QUERIES = {
    "where sender = 'ann' or recipient = 'ann'": {"messages_sender", "messages_recipient"},
    "where (sender = 'ann' and recipient = 'bob')": {"messages_sender"},
    "where group_id = '@TGS#1'\norder": {"messages_group"},
    "where received_at >= now()": {"messages_received_at"},
}


@pytest.fixture(scope="module")
def filled(server_of_version: EmbeddedPostgres) -> str:
    """Return the connection string of a full table in each version of PostgreSQL."""
    conninfo = server_of_version.conninfo
    asyncio.run(maintain(Secret(conninfo)))
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(FILL.encode())
        connection.execute("vacuum analyze hookline.messages")
    return conninfo


def test_every_documented_query_with_an_index_uses_it(filled: str) -> None:
    """It reads no more than some hundred blocks of the table's thousands."""
    with psycopg.connect(filled) as connection:
        for part, names in QUERIES.items():
            query = the_block(part, "sql")
            lines = connection.execute(
                f"explain (analyze, buffers, timing off) {query.rstrip().rstrip(';')}".encode()
            ).fetchall()
            plan = "\n".join(line for (line,) in lines)
            assert "Seq Scan" not in plan, plan
            assert {name for name in names if f" {name}" in plan} == names, plan
            assert connection.execute(query.encode()).fetchone(), query


def test_every_index_that_the_docs_list_is_there(filled: str) -> None:
    """And no other but those of the primary keys."""
    index_names = select(
        filled,
        "select indexrelid::regclass::text from pg_index"
        " where indrelid in ('hookline.messages'::regclass, 'hookline.events'::regclass)"
        " and not indisprimary and indisvalid",
    )
    listed = {*INDEXES, "messages_received_at", "events_received_at"}
    assert {name.removeprefix("hookline.") for (name,) in index_names} == listed
    for name in listed:
        assert the_row(name)


def the_row(name: str) -> str:
    """Return the row of an index in the table of docs/sync.md."""
    page = (ROOT / "docs" / "sync.md").read_text()
    (row,) = [line for line in page.splitlines() if line.startswith(f"| `{name}`")]
    return row
