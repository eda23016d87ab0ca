"""
Write to PostgreSQL: each partition has a connection, each batch is one statement.

Rows and position are in one statement, so no transaction stays open if a client hangs; that is why
sync does not use the runtime's `sql_sink`, whose transaction has several statements. A member that
lost its partition cannot write: the position is not the one that it expects.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files

import psycopg
from psycopg import AsyncConnection

from consumers.runtime.batch import Batch, Partition, Position
from consumers.runtime.callbacks import Callback, callbacks
from consumers.runtime.handler import PositionDiffers, Rejected, Stopped, TookTooLong, Unavailable
from consumers.runtime.sql_failure import SqlFailure, sql_failure
from consumers.runtime.sql_positions import position_in
from consumers.sync.connection import connect, failure_text, first_line
from consumers.sync.rows import rows
from consumers.sync.tables import VERSION
from schemas.setting import Secret

# The server cancels a statement first; then the client times out. If the server hangs, psycopg
# needs up to 10 s more to cancel (psycopg#1371); the sum must stay below the runtime's limit for a
# call, HANDLE_TIMEOUT_S.
STATEMENT_TIMEOUT_S = 7
ANSWER_TIMEOUT_S = 8.0
# Less than STATEMENT_TIMEOUT_S: a batch that waits for a lock is not too large, so it stays whole.
LOCK_TIMEOUT_S = 5
APPLICATION = "hookline-sync"

_APPLY = files(__package__).joinpath("apply.sql").read_bytes()


class _RowRefused(Exception):
    """PostgreSQL refuses one of these rows, probably for its content."""


class DatabaseHandler:
    """
    A handler: rows in one database.

    Each partition connects on first use, and again after a failure. Partitions share nothing, so a
    hanging connection delays only its own partition.
    """

    def __init__(self, conninfo: Secret) -> None:
        self._conninfo = conninfo
        self._connections: dict[Partition, AsyncConnection] = {}
        self._connect_locks: dict[Partition, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def position(self, partition: Partition) -> Position | None:
        """
        Return the position that is stored for `partition`, None if there is none.

        Raises:
            Unavailable: the database does not answer.
            Stopped: the tables are not those of this release.
        """
        try:
            async with self._connection(partition) as connection:
                cursor = await connection.execute(
                    "select next_offset, topic_id, last_offset, last_origin, last_sequence"
                    " from hookline.positions where topic = %s and partition = %s",
                    partition,
                )
                row = await cursor.fetchone()
        except _RowRefused as refused:
            raise _position_refused(partition, refused) from refused
        return None if row is None else position_in(row)

    async def store_first_position(self, partition: Partition, position: Position) -> None:
        """
        Store `position` if the partition has none yet; a stored position stays.

        Raises:
            Unavailable: the database does not answer.
            Stopped: the tables are not those of this release, or refuse the position.
        """
        try:
            async with self._connection(partition) as connection:
                await connection.execute(
                    "insert into hookline.positions (topic, partition, next_offset, topic_id)"
                    " values (%s, %s, %s, %s) on conflict (topic, partition) do nothing",
                    (*partition, position.next_offset, position.topic_id),
                )
        except _RowRefused as refused:
            raise _position_refused(partition, refused) from refused

    async def handle(self, batch: Batch) -> None:
        """
        Write the batch's rows and the position.

        Raises:
            Rejected: a record is not a callback; or PostgreSQL refuses a row, by a constraint for
                example, without naming it. Nothing was written.
            TookTooLong: the statement took more than STATEMENT_TIMEOUT_S; nothing was written.
            PositionDiffers: the batch does not follow the position; nothing was written.
            Unavailable: the database did not answer; it may have written all or nothing.
            Stopped: the tables are not those of this release; nothing was written.
        """
        parsed = list(callbacks(batch))
        try:
            try:
                await self._apply(batch, parsed)
            except _RowRefused:
                if len(batch.records) > 1:
                    raise
                # Another partition may have written the same callback at the same moment, so that
                # it was neither a new row nor one that existed when the statement began. Callbacks
                # without a record key are spread over the partitions, and so are their repeats.
                await self._apply(batch, parsed)
        except _RowRefused as refused:
            if not batch.records:
                raise _position_refused(batch.partition, refused) from refused
            # The kind of the dead letter is that of the cause, such as CheckViolation.
            raise Rejected(None, f"PostgreSQL: {refused}") from refused.__cause__

    async def close(self) -> None:
        """Close the connections."""
        for partition in list(self._connections):
            await self._drop(partition)

    async def _apply(self, batch: Batch, parsed: list[Callback]) -> None:
        last = batch.reached.last
        values = {
            "topic": batch.partition.topic,
            "partition": batch.partition.number,
            "begins_at": batch.begins_at,
            "next_offset": batch.next_offset,
            "last_offset": last[0] if last else None,
            "last_origin": last[1] if last else None,
            "last_sequence": last[2] if last else None,
            "kafka_topic_id": batch.reached.topic_id,
            "tables_version": VERSION,
            **rows(parsed).columns(),
        }
        async with self._connection(batch.partition) as connection:
            cursor = await connection.execute(_APPLY, values)
            applied = await cursor.fetchone()
        if not (applied and applied[0]):
            # A new connection checks whether this release may still write the tables.
            await self._drop(batch.partition)
            raise PositionDiffers(await self.position(batch.partition))

    @asynccontextmanager
    async def _connection(self, partition: Partition) -> AsyncIterator[AsyncConnection]:
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                async with self._connect_locks[partition]:
                    if partition not in self._connections:
                        self._connections[partition] = await connect(
                            self._conninfo,
                            APPLICATION,
                            statement_s=STATEMENT_TIMEOUT_S,
                            lock_s=LOCK_TIMEOUT_S,
                        )
                    connection = self._connections[partition]
                yield connection
        except psycopg.Error as error:
            failure = sql_failure(error) or _client_failure(error)
            connected = partition in self._connections
            if (
                failure is SqlFailure.ROW_REFUSED
                and connected
                and not _is_of_positions_table(error)
            ):
                # The statement is over and nothing was written; the connection is as before.
                raise _RowRefused(first_line(error)) from error
            await self._drop(partition)
            match failure:
                case None:
                    raise
                case SqlFailure.WRONG_TABLES:
                    raise _tables_refused(error) from error
                case SqlFailure.ROW_REFUSED if connected:
                    raise _position_refused(partition, error) from error
                case SqlFailure.TOOK_TOO_LONG:
                    raise TookTooLong(f"PostgreSQL: {first_line(error)}") from error
                case _:
                    raise Unavailable(failure_text(error)) from error
        except TimeoutError as error:
            await self._drop(partition)
            raise Unavailable(f"PostgreSQL: no answer within {ANSWER_TIMEOUT_S} s") from error
        except BaseException:
            # Interrupted at an unknown point: the connection may still be executing something.
            await self._drop(partition)
            raise

    async def _drop(self, partition: Partition) -> None:
        if connection := self._connections.pop(partition, None):
            await connection.close()


def _client_failure(error: psycopg.Error) -> SqlFailure | None:
    """Classify psycopg's own errors: a value that it cannot send, a lost connection, or a bug."""
    match error:
        case psycopg.DataError():
            return SqlFailure.ROW_REFUSED
        case psycopg.OperationalError() | psycopg.InterfaceError() | psycopg.InternalError():
            return SqlFailure.NOT_NOW
        case _:
            return None


def _is_of_positions_table(error: psycopg.Error) -> bool:
    return (error.diag.schema_name, error.diag.table_name) == ("hookline", "positions")


def _position_refused(partition: Partition, error: Exception) -> Stopped:
    return Stopped(
        f"PostgreSQL refuses the position of {partition}: {first_line(error)}. Only Hookline "
        "writes hookline.positions: remove the constraint or trigger that was added to it."
    )


def _tables_refused(error: psycopg.Error) -> Stopped:
    return Stopped(
        f"PostgreSQL refuses the statement that writes the tables: {first_line(error)}. They "
        "differ from those in consumers/sync/migrations, or a trigger on them fails. Undo the "
        "change; you may add columns, constraints and triggers that accept these rows."
    )
