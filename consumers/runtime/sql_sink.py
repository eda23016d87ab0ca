"""
A handler over a SQL database with a Python driver (PEP 249), such as sqlite3 or psycopg.

A batch is one transaction: the position moves if it is where the batch begins, then the effect is
written. Another member that writes the same position waits for its row, and compares it again when
the row is free.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from consumers.runtime.batch import Batch, Limits, Partition, Position
from consumers.runtime.handler import (
    Handler,
    PositionDiffers,
    Rejected,
    Stopped,
    TookTooLong,
    Unavailable,
)
from consumers.runtime.sql_connection import (
    SqlConnection,
    Statements,
    close_cursor,
    end,
    free_cursors,
)
from consumers.runtime.sql_failure import DriverErrors, SqlFailure
from consumers.runtime.sql_positions import SqlPositions
from consumers.runtime.sql_tables import SqlTables

LIMITS = Limits(records=1000, bytes=4 << 20, age_s=0.25)


class _RowRefused(Exception):
    """The database will never take one of the rows."""


class SqlSink:
    """
    Applies batches by `apply(cursor, batch)`; each partition has one thread and one connection.

    A call that timed out may still be running there; the partition's next call waits for it.
    """

    def __init__(
        self,
        name: str,
        driver: Any,
        connect: Callable[[], SqlConnection],
        apply: Callable[[Any, Batch], None],
        *,
        tables: Sequence[str] = (),
    ) -> None:
        self._name = name
        self._connect = connect
        self._apply = apply
        statements = Statements(driver.paramstyle)
        self._positions = SqlPositions(name, statements)
        self._tables = SqlTables(name, driver, tables, statements, self._positions)
        self._errors = DriverErrors(driver)
        self._threads: dict[Partition, ThreadPoolExecutor] = {}
        self._connections: dict[Partition, SqlConnection] = {}

    async def position(self, partition: Partition) -> Position | None:
        """
        Return the sink's position, None if there is none.

        Raises:
            Unavailable: the database does not answer.
            Stopped: the connection commits each statement, or the tables are of another release
                or of another consumer.
        """
        position: Position | None = await self._in_thread(partition, self._position)
        return position

    async def store_first_position(self, partition: Partition, position: Position) -> None:
        """
        Store `position` of a partition without one; another position stays.

        Raises:
            Unavailable: the database does not answer.
            Stopped: the database refuses the position, or the tables are of another consumer.
        """
        await self._in_thread(partition, self._store_first, position)

    async def handle(self, batch: Batch) -> None:
        """
        Apply the batch and move the position, in one transaction.

        Raises:
            Rejected: by `apply`, or the database refuses a row without saying which.
            PositionDiffers: the batch does not follow the position; nothing was written.
            Unavailable: the database did not answer; it may have written all or nothing.
            TookTooLong: the database cancelled a statement; nothing was written.
            Stopped: the database refuses the position or a statement, whatever the records are.
        """
        try:
            await self._in_thread(batch.partition, self._handle, batch)
        except _RowRefused as refused:
            if not batch.records:
                raise self._position_refused(batch.partition, refused) from refused.__cause__
            raise Rejected(None, f"the database of {self._name}: {refused}") from refused.__cause__

    def close(self) -> None:
        """Close each connection after its last call."""
        for partition, thread in self._threads.items():
            thread.submit(self._drop, partition)
            thread.shutdown(wait=False)

    async def _in_thread(self, partition: Partition, call: Callable[..., Any], *args: Any) -> Any:
        if partition not in self._threads:
            self._threads[partition] = ThreadPoolExecutor(1, f"{self._name} {partition}")
        thread = self._threads[partition]
        return await asyncio.get_running_loop().run_in_executor(thread, call, partition, *args)

    def _position(self, partition: Partition) -> Position | None:
        with self._transaction(partition) as cursor:
            return self._positions.find(cursor, partition)

    def _store_first(self, partition: Partition, position: Position) -> None:
        for tries_left in (1, 0):
            try:
                with self._transaction(partition) as cursor:
                    self._tables.note_writer(cursor)
                    self._positions.store_first(cursor, partition, position)
            except _RowRefused as refused:
                # Another member was first with this position, or with the note in its first
                # transaction, which the next try finds; or the database refuses every new row.
                if self._position(partition) is not None:
                    return
                if not tries_left:
                    raise self._position_refused(partition, refused) from refused.__cause__
            else:
                return

    def _handle(self, partition: Partition, batch: Batch) -> None:
        with self._transaction(partition) as cursor:
            try:
                follows = self._positions.move(cursor, batch)
            except Exception as error:
                if self._errors.failure(error) is SqlFailure.ROW_REFUSED:
                    raise self._position_refused(partition, error) from error
                raise
            if not follows:
                raise PositionDiffers(self._positions.find(cursor, partition))
            if batch.records:
                self._apply(cursor, batch)

    @contextmanager
    def _transaction(self, partition: Partition) -> Iterator[Any]:
        """
        Yield a cursor, and commit at the end.

        After an exception everything is rolled back, the connection is closed, and the next
        transaction opens another.
        """
        cursor = None
        try:
            if partition not in self._connections:
                self._connections[partition] = self._open_connection()
            cursor = self._connections[partition].cursor()
            yield cursor
            self._connections[partition].commit()
        except BaseException as error:
            close_cursor(cursor)
            free_cursors(error)
            self._drop(partition)
            failure = self._errors.failure(error)
            if failure is SqlFailure.ROW_REFUSED:
                raise _RowRefused(str(error)) from error
            if failure is SqlFailure.NOT_NOW:
                raise Unavailable(f"the database of {self._name}: {error}") from error
            if failure is SqlFailure.TOOK_TOO_LONG:
                raise TookTooLong(f"the database of {self._name}: {error}") from error
            if failure is SqlFailure.WRONG_TABLES:
                raise self._statement_refused(error) from error
            raise

    def _position_refused(self, partition: Partition, error: Exception) -> Stopped:
        return Stopped(
            f"The database of {self._name} refuses the position of {partition}: {error}. Only this "
            "consumer writes hookline_positions; remove the constraint or trigger that was added."
        )

    def _statement_refused(self, error: BaseException) -> Stopped:
        return Stopped(
            f"The database of {self._name} refuses a statement: {error}. Either its tables were "
            "changed, or the statement is wrong. Correct it, then start the consumer again."
        )

    def _open_connection(self) -> SqlConnection:
        connection = self._connect()
        try:
            self._tables.make(connection)
            self._positions.check_rollback(connection)
        except BaseException as error:
            free_cursors(error)
            end(connection)
            if self._errors.failure(error) is SqlFailure.ROW_REFUSED:
                # Another member makes the same tables.
                raise Unavailable(f"the database of {self._name}: {error}") from error
            raise
        return connection

    def _drop(self, partition: Partition) -> None:
        if connection := self._connections.pop(partition, None):
            end(connection)


@asynccontextmanager
async def sql_sink(
    name: str,
    driver: Any,
    connect: Callable[[], SqlConnection],
    apply: Callable[[Any, Batch], None],
    *,
    tables: Sequence[str] = (),
    limits: Limits = LIMITS,
) -> AsyncIterator[tuple[Handler, Limits]]:
    """
    Yield a handler whose effect is `apply(cursor, batch)`, in one transaction with its position.

    `driver` is the module (PEP 249). `connect` makes a connection that does not commit by itself,
    and whose calls have a time-out. `tables` are statements for each new connection. `name`
    distinguishes the positions of several consumers in one database.
    """
    sink = SqlSink(name, driver, connect, apply, tables=tables)
    try:
        yield sink, limits
    finally:
        sink.close()
