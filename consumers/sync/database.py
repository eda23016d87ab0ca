"""
The PostgreSQL side: one connection, one statement a batch.

Rows and position are one statement, so no transaction ever stays open on a client that hangs, and
a member that lost its partition can write nothing: the position is not the one that it expects.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from importlib.resources import files

import psycopg
from psycopg import AsyncConnection

from consumers.runtime.batch import Batch, Partition
from consumers.runtime.callbacks import callbacks
from consumers.runtime.handler import Elsewhere, Rejected, Stopped, Unavailable
from consumers.sync.rows import Rows, rows
from schemas.settings import Secret

log = logging.getLogger(__name__)

# The server ends a statement first; then the client gives up. psycopg needs up to 10 s more to
# cancel on a server that hangs (psycopg#1371), and all must be over within the runtime's HANDLE_S.
STATEMENT_S = 5
CALL_S = 8.0
CONNECT_S = 5

_HERE = files(__package__)
_SCHEMA = _HERE.joinpath("schema.sql").read_bytes()
_APPLY = _HERE.joinpath("apply.sql").read_bytes()
# Any number, the same in all processes: two of them must not make the tables at once.
_ADVISORY_LOCK = 0x686F6F6B


class _Refused(Exception):
    """The database takes no rows like these, whenever they come."""


class Database:
    """A handler: rows in one database. Connects when first asked, and again after a failure."""

    def __init__(self, conninfo: Secret) -> None:
        self._conninfo = conninfo
        self._open: AsyncConnection | None = None

    async def position(self, partition: Partition) -> int | None:
        """
        Return the offset that is expected next, None if there is none.

        Raises:
            Unavailable: the database does not answer.
        """
        async with self._connection() as connection:
            cursor = await connection.execute(
                "select next_offset from hookline.positions where topic = %s and partition = %s",
                partition,
            )
            found = await cursor.fetchone()
        return found[0] if found else None

    async def begin(self, partition: Partition, next_offset: int) -> None:
        """
        Expect `next_offset` of a partition without a position; another position stays.

        Raises:
            Unavailable: the database does not answer.
        """
        async with self._connection() as connection:
            await connection.execute(
                "insert into hookline.positions values (%s, %s, %s, '', 0) on conflict do nothing",
                (*partition, next_offset),
            )

    async def handle(self, batch: Batch) -> None:
        """
        Write the batch's rows and the position.

        Raises:
            Rejected: one record is no callback, or its row is refused; nothing was written.
            Elsewhere: the position is not the one where the batch begins; nothing was written.
            Unavailable: the database did not answer; it may have written all or nothing.
        """
        new = rows(callbacks(batch))
        try:
            await self._apply(batch, new)
        except _Refused as refused:
            if not batch.records:
                raise
            raise await self._first_refused(batch, refused) from refused

    async def close(self) -> None:
        """Close the connection, if there is one."""
        if self._open is not None:
            await self._open.close()
            self._open = None

    async def _apply(self, batch: Batch, new: Rows, *, dry: bool = False) -> None:
        origin, sequence = new.receipts[-1][:2] if new.receipts else (None, None)
        values = {
            "topic": batch.partition.topic,
            "partition": batch.partition.number,
            "begins_at": batch.begins_at,
            "next_offset": batch.next_offset,
            "origin": origin,
            "sequence": sequence,
            **new.columns(),
        }
        async with self._connection() as connection:
            if dry:
                async with connection.transaction(force_rollback=True):
                    cursor = await connection.execute(_APPLY, values)
            else:
                cursor = await connection.execute(_APPLY, values)
            found = await cursor.fetchone()
        if not (found and found[0]):
            raise Elsewhere(await self.position(batch.partition))

    async def _first_refused(self, batch: Batch, reason: _Refused) -> Rejected:
        """Find by bisection the shortest run that is refused; its last record is to blame."""
        accepted, refused_at = 0, len(batch.records)
        while refused_at - accepted > 1:
            middle = (accepted + refused_at) // 2
            run = replace(batch, records=batch.records[:middle])
            try:
                await self._apply(run, rows(callbacks(run)), dry=True)
                accepted = middle
            except _Refused as refused:
                refused_at, reason = middle, refused
        return Rejected(batch.records[refused_at - 1].offset, f"PostgreSQL: {reason}")

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection]:
        try:
            async with asyncio.timeout(CALL_S):
                if self._open is None:
                    self._open = await self._connect()
                yield self._open
        except (
            psycopg.DataError,
            psycopg.IntegrityError,
            psycopg.errors.ProgramLimitExceeded,
        ) as error:
            raise _Refused(_told(error)) from error
        except (
            psycopg.OperationalError,
            psycopg.InterfaceError,
            psycopg.InternalError,
            psycopg.errors.InsufficientPrivilege,
            psycopg.errors.UndefinedTable,
            TimeoutError,
        ) as error:
            await self.close()
            raise Unavailable(f"PostgreSQL: {_told(error)}") from error
        except BaseException:
            # Cut somewhere: nobody knows what is still under way on it.
            await self.close()
            raise

    async def _connect(self) -> AsyncConnection:
        connection = await AsyncConnection.connect(
            self._conninfo,
            autocommit=True,
            connect_timeout=CONNECT_S,
            application_name="hookline-sync",
            # Poolers between may hand each statement to another server process.
            prepare_threshold=None,
            client_encoding="utf8",
        )
        try:
            await _prepare(connection)
        except BaseException:
            await connection.close()
            raise
        return connection


async def _prepare(connection: AsyncConnection) -> None:
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise Stopped(
            f"The database is encoded in {encoding}, which cannot hold every message. Name one "
            "that was made so: create database hookline encoding 'UTF8' template template0"
        )
    await connection.execute(
        "select set_config('statement_timeout', %s, false)", (f"{STATEMENT_S}s",)
    )
    async with connection.transaction():
        await connection.execute("select pg_advisory_xact_lock(%s)", (_ADVISORY_LOCK,))
        cursor = await connection.execute("select to_regclass('hookline.positions')")
        if (await cursor.fetchone()) == (None,):
            await connection.execute(_SCHEMA)
            log.info("made the tables in the schema hookline")


def _told(error: Exception) -> str:
    """Return the first line of what PostgreSQL or libpq says."""
    return (str(error).splitlines() or [type(error).__name__])[0]
