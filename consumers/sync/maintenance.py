"""
Maintain the tables while others write them: build indexes, fill the columns of old rows.

A migration must be quick, because writers wait for it. This work makes nobody wait: indexes are
built concurrently, and rows are filled in short steps. One process of the group does it at a time.
It also gives the role of readers its rights, because that role may be created at any time.
"""

import asyncio
import logging
import time

import psycopg
from psycopg import AsyncConnection, errors

from consumers.runtime.handler import Stopped, Unavailable
from consumers.sync.connection import connect
from consumers.sync.fill import fill
from schemas.clients import check_cancellation
from schemas.setting import Secret

log = logging.getLogger(__name__)

APPLICATION = "hookline-sync-maintenance"
# Programs of version 1 may write rows without the columns at any time during a rolling upgrade.
INTERVAL_S = 60.0
# The interval while the user lacks a right: each attempt may read a whole table before it fails.
INTERVAL_WITHOUT_RIGHTS_S = 3600.0
# An arbitrary number, the same in all processes: one of them does the work.
_ADVISORY_LOCK = 0x686F6F6C
# The queries of docs/sync.md use them; docs/decisions/0032-indexes.md has their cost. `received_at`
# has an index since version 1.
INDEXES = {
    "messages_sender": "hookline.messages (sender, recipient, received_at)",
    "messages_recipient": "hookline.messages (recipient, received_at) where recipient is not null",
    "messages_group": "hookline.messages (group_id, received_at) where group_id is not null",
    "events_message_key": "hookline.events"
    " (left(coalesce(body ->> 'MsgKey', body ->> 'MsgID'), 128))"
    " where left(coalesce(body ->> 'MsgKey', body ->> 'MsgID'), 128) is not null",
    "events_group": "hookline.events (group_id, command) where group_id is not null",
    "events_read": "hookline.events (sender, recipient)"
    " where command = 'C2C.CallbackAfterMsgReport'",
    "messages_unfilled": "hookline.messages (ce_id) where online_only is null",
}
# The role that may read the tables; an administrator creates it (deploy/postgres/roles.sh).
READER = "hookline_reader"
_LACKS_RIGHTS = f"""
    select from pg_catalog.pg_roles, pg_catalog.pg_class
    where rolname = '{READER}' and relnamespace = 'hookline'::regnamespace
        and relkind in ('r', 'p', 'v') and relowner = current_user::regrole
        and not (
            has_schema_privilege(rolname, 'hookline', 'usage')
            and has_table_privilege(rolname, pg_class.oid, 'select')
        )"""
_GRANT = f"""
    grant usage on schema hookline to {READER};
    grant select on all tables in schema hookline to {READER}"""
_SELECT_INDEXES = (
    "select relname::text, indisvalid from pg_catalog.pg_index"
    " join pg_catalog.pg_class on pg_class.oid = indexrelid"
    " where relnamespace = to_regnamespace('hookline')"
)
# Index entries are bounded, so names are, too. New rows are bounded by a trigger. A step ends with
# the `ce_id` of its last row, null if no row is left.
_BOUND_NAMES = """
    with step as (
        select ce_id from hookline.{table}
        where ce_id > %(after)s and (
            octet_length(sender) > 512 or octet_length(recipient) > 512
            or octet_length(group_id) > 512
        )
        order by ce_id
        limit {rows_max}
    ), bounded as (
        update hookline.{table} as old
        set sender = hookline.bounded(sender), recipient = hookline.bounded(recipient),
            group_id = hookline.bounded(group_id)
        from step
        where old.ce_id = step.ce_id
    )
    select max(ce_id) from step"""
# The rows of one step, each a transaction of its own.
BOUND_ROWS_MAX = 500


async def maintain_until_stopped(conninfo: Secret) -> None:
    """Maintain the tables again and again; log what fails. End if they must not be used."""
    while True:
        check_cancellation()
        pause_s = INTERVAL_S
        try:
            await maintain(conninfo)
        except Stopped:
            return  # The next batch finds the same; then the consumer stops and says why.
        except errors.InsufficientPrivilege as error:
            log.warning(
                "the maintenance of the tables lacks a right; the user of SYNC_POSTGRES should own "
                "the tables: %s",
                error,
            )
            pause_s = INTERVAL_WITHOUT_RIGHTS_S
        except (psycopg.Error, Unavailable) as error:
            log.warning("the maintenance of the tables failed, and is tried again: %s", error)
        except Exception:
            # A bug here must not stop the writing.
            log.exception("the maintenance of the tables failed, and is tried again")
        await asyncio.sleep(pause_s)


async def maintain(conninfo: Secret) -> None:
    """
    Return once readers have their rights, all indexes exist and all rows have their columns.

    If another process does this work now, return immediately.

    Raises:
        Stopped, Unavailable, psycopg.Error: as `connect` does.
    """
    connection = await connect(conninfo, APPLICATION, statement_s=0, lock_s=0)
    try:
        cursor = await connection.execute("select pg_try_advisory_lock(%s)", (_ADVISORY_LOCK,))
        if await cursor.fetchone() != (True,):
            return
        cursor = await connection.execute(_LACKS_RIGHTS.encode())
        if await cursor.fetchone() is not None:
            await connection.execute(_GRANT.encode())
            log.info("the role %s may read the tables now", READER)
        await _build_indexes(connection)
        if filled := await fill(connection):
            log.info("filled the columns of %d messages that an earlier version wrote", filled)
    finally:
        await connection.close()


async def _build_indexes(connection: AsyncConnection) -> None:
    cursor = await connection.execute(_SELECT_INDEXES)
    # By the name of an existing index, whether it is valid.
    existing: dict[str, bool] = dict(await cursor.fetchall())
    to_build = [name for name in INDEXES if not existing.get(name)]
    if to_build:
        for table in ("messages", "events"):
            await _bound_names(connection, table)
    for name in to_build:
        if name in existing:
            # A build that was interrupted left an invalid index, which no query uses.
            await connection.execute(f"drop index concurrently hookline.{name}".encode())
        log.info("building the index hookline.%s; nobody waits for it", name)
        await connection.execute(
            f"create index concurrently if not exists {name} on {INDEXES[name]}".encode()
        )


async def _bound_names(connection: AsyncConnection, table: str) -> None:
    """Bound the names of old rows, in steps; pause after each step for as long as it took."""
    step = _BOUND_NAMES.format(table=table, rows_max=BOUND_ROWS_MAX).encode()
    after: str | None = ""
    while after is not None:
        check_cancellation()
        began_at = time.monotonic()
        cursor = await connection.execute(step, {"after": after})
        ((after,),) = await cursor.fetchall()
        await asyncio.sleep(time.monotonic() - began_at)
