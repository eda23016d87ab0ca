"""Prepare the session of `hookline sync expire`: one run at a time, in tables of this release."""

import asyncio
import time

from psycopg import AsyncConnection

from consumers.sync.tables import SELECT_OLDEST_WRITER, version_fault
from ops.failure import Failure

# PostgreSQL frees the lock of a run that was killed or interrupted a moment later.
LOCK_WAIT_S = 10.0
LOCK_POLL_S = 0.2
# An arbitrary number, the same in all processes: only one of them may expire at a time.
_ADVISORY_LOCK = 0x686F6F6D
_HAS_TABLES = "select to_regclass('hookline.schema_version'), to_regclass('hookline.expiring_ids')"
# Many small lookups in indexes, and never a whole table, whatever the statistics of the tables say:
# a step must stay short.
_SESSION = """
    select set_config('statement_timeout', '0', false), set_config(name, 'off', false)
    from unnest(array[
        'enable_hashjoin', 'enable_mergejoin', 'enable_seqscan', 'enable_bitmapscan'
    ]) as name"""


class NotExpired(Failure):
    """The database cannot be read or written; the text says what to do."""


async def prepare(connection: AsyncConnection) -> None:
    """
    Check the tables, and keep other runs away until the connection is closed.

    Raises:
        NotExpired: the tables are of another release, or another run is under way.
    """
    cursor = await connection.execute(_HAS_TABLES)
    ((has_version, has_ids),) = await cursor.fetchall()
    if has_version is not None:
        versions = await (await connection.execute(SELECT_OLDEST_WRITER)).fetchall()
        if fault := version_fault([version for (version,) in versions]):
            raise NotExpired(f"PostgreSQL: {fault}")
    if has_ids is None:
        raise NotExpired(
            "PostgreSQL: the tables in the schema hookline do not exist, or are of an earlier "
            "release; start the consumer sync of this release once, which makes or migrates them"
        )
    await connection.execute(_SESSION)
    deadline = time.monotonic() + LOCK_WAIT_S
    while not await _has_lock(connection):
        if time.monotonic() > deadline:
            raise NotExpired("PostgreSQL: another `hookline sync expire` is under way; wait for it")
        await asyncio.sleep(LOCK_POLL_S)


async def _has_lock(connection: AsyncConnection) -> bool:
    cursor = await connection.execute("select pg_try_advisory_lock(%s)", (_ADVISORY_LOCK,))
    return await cursor.fetchone() == (True,)
