"""
A handler over a SQL database with a Python driver (PEP 249), such as sqlite3 or psycopg.

A batch is one transaction: the position moves if it is where the batch begins, then the effect is
written. A rival waits for the position's row and compares anew when it is free.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from secrets import randbelow
from threading import Lock
from typing import Any

from consumers.runtime.batch import Batch, Limits, Partition, Position
from consumers.runtime.handler import Elsewhere, Handler, Rejected, Stopped, Unavailable
from consumers.runtime.sql_connection import Connection, close_cursor, end, free_cursors
from consumers.runtime.sql_failure import SqlFailure, is_general, sql_failure

LIMITS = Limits(records=1000, bytes=4 << 20, age_s=0.25)

_POSITIONS = """create table if not exists hookline_positions (
    consumer varchar(255) not null, topic varchar(255) not null, partition_number integer not null,
    next_offset bigint not null, last_offset bigint, last_origin text, last_sequence bigint,
    topic_id varchar(64), primary key (consumer, topic, partition_number))"""
_ALL = "select * from hookline_positions"
_COLUMNS = {
    *("consumer", "topic", "partition_number", "next_offset", "topic_id"),
    *("last_offset", "last_origin", "last_sequence"),
}
_OF_ONE = " where consumer = ? and topic = ? and partition_number = ?"
_FIND = (
    "select next_offset, topic_id, last_offset, last_origin, last_sequence from hookline_positions"
)
_BEGIN = (
    "insert into hookline_positions (consumer, topic, partition_number, next_offset, topic_id)"
    " values (?, ?, ?, ?, ?)"
)
_MOVE = (
    "update hookline_positions set next_offset = ?, last_offset = ?, last_origin = ?,"
    " last_sequence = ?, topic_id = coalesce(?, topic_id)"
)
# A topic id that is not known, on either side, equals any other.
_FOLLOWS = " and next_offset = ? and coalesce(topic_id, ?, '') = coalesce(?, topic_id, '')"
_FORGET = "delete from hookline_positions"
# Each connection probes with a row of its own, which is always rolled back: a process that freezes
# meanwhile does not block the others.
_PROBE_TOPIC = "probe"
# Partitions make the tables one after the other, because a database may refuse to make them twice
# at the same time. A partition whose server hangs holds up the others for this time at most.
TABLES_S_MAX = 5.0


class _Refused(Exception):
    """The database takes no rows like these, whenever they come."""


class SqlSink:
    """
    Applies batches by `apply(cursor, batch)`; each partition has one thread and one connection.

    A call that was given up may still be under way there; the partition's next one waits for it.
    """

    def __init__(
        self,
        name: str,
        driver: Any,
        connect: Callable[[], Connection],
        apply: Callable[[Any, Batch], None],
        *,
        tables: Sequence[str] = (),
    ) -> None:
        self._name = name
        self._connect = connect
        self._apply = apply
        self._tables = tables
        self._mark = {"qmark": "?", "format": "%s", "pyformat": "%s"}[driver.paramstyle]
        self._error = driver.Error
        # What drivers raise of values that a database cannot hold, and of text that is none.
        self._refusals = (driver.DataError, driver.IntegrityError, UnicodeError, OverflowError)
        self._not_now = (
            driver.OperationalError,
            driver.InterfaceError,
            driver.InternalError,
            OSError,
        )
        self._threads: dict[Partition, ThreadPoolExecutor] = {}
        self._open: dict[Partition, Connection] = {}
        self._making_tables = Lock()

    async def position(self, partition: Partition) -> Position | None:
        """
        Return the offset that is expected next and the last record, None if there is none.

        Raises:
            Unavailable: the database does not answer.
            Stopped: the connection commits by itself.
        """
        position: Position | None = await self._in_thread(partition, self._position)
        return position

    async def begin(self, partition: Partition, position: Position) -> None:
        """
        Store `position` of a partition without one; another position stays.

        Raises:
            Unavailable: the database does not answer.
        """
        await self._in_thread(partition, self._begin, position)

    async def handle(self, batch: Batch) -> None:
        """
        Apply the batch and move the position, in one transaction.

        Raises:
            Rejected: by `apply`, or the database refuses a row, and nobody knows of which record.
            Elsewhere: the batch does not follow the position; nothing was written.
            Unavailable: the database did not answer; it may have written all or nothing.
            Stopped: the database refuses the position, which concerns no record.
        """
        try:
            await self._in_thread(batch.partition, self._handle, batch)
        except _Refused as refused:
            if not batch.records:
                raise self._position_refused(batch.partition, refused) from refused.__cause__
            raise Rejected(None, f"the database of {self._name}: {refused}") from refused.__cause__

    def close(self) -> None:
        """Close each connection once no call is under way in it."""
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
            return self._find(cursor, partition)

    def _begin(self, partition: Partition, position: Position) -> None:
        try:
            with self._transaction(partition) as cursor:
                self._execute(
                    *(cursor, _BEGIN, self._name, *partition),
                    *(position.next_offset, position.topic_id),
                )
        except _Refused as refused:
            # Either another member was quicker, or the database refuses every new position.
            if self._position(partition) is None:
                raise self._position_refused(partition, refused) from refused.__cause__

    def _handle(self, partition: Partition, batch: Batch) -> None:
        next_offset, last, topic_id = batch.reached
        with self._transaction(partition) as cursor:
            try:
                self._execute(
                    *(cursor, _MOVE + _OF_ONE + _FOLLOWS),
                    *(next_offset, *(last or (None, None, None)), topic_id),
                    *(self._name, *partition, batch.begins_at, topic_id, topic_id),
                )
            except Exception as error:
                if self._failure(error) is SqlFailure.ROW:
                    raise self._position_refused(partition, error) from error
                raise
            if cursor.rowcount != 1:
                raise Elsewhere(self._find(cursor, partition))
            if batch.records:
                self._apply(cursor, batch)

    def _find(self, cursor: Any, partition: Partition) -> Position | None:
        self._execute(cursor, _FIND + _OF_ONE, self._name, *partition)
        if (found := cursor.fetchone()) is None:
            return None
        next_offset, topic_id, *last = found
        return Position(
            next_offset, None if last[0] is None else (last[0], last[1], last[2]), topic_id
        )

    def _execute(self, cursor: Any, statement: str, *values: object) -> None:
        cursor.execute(statement.replace("?", self._mark), values)

    @contextmanager
    def _transaction(self, partition: Partition) -> Iterator[Any]:
        """
        Commit what is done within.

        After an exception everything is rolled back, the connection is closed, and the next
        transaction opens another.
        """
        cursor = None
        try:
            if partition not in self._open:
                self._open[partition] = self._connected()
            cursor = self._open[partition].cursor()
            yield cursor
            self._open[partition].commit()
        except BaseException as error:
            close_cursor(cursor)
            free_cursors(error)
            self._drop(partition)
            failure = self._failure(error)
            if failure is SqlFailure.ROW:
                raise _Refused(str(error)) from error
            if failure is SqlFailure.NOT_NOW:
                raise Unavailable(f"the database of {self._name}: {error}") from error
            raise

    def _position_refused(self, partition: Partition, error: Exception) -> Stopped:
        return Stopped(
            f"The database of {self._name} refuses the position of {partition}: {error}. Only this "
            "consumer writes hookline_positions; remove the constraint or trigger that was added."
        )

    def _failure(self, error: BaseException) -> SqlFailure | None:
        if isinstance(error, self._error) and (failure := sql_failure(error)):
            return failure
        if isinstance(error, self._refusals):
            return SqlFailure.ROW
        if isinstance(error, self._not_now):
            return SqlFailure.NOT_NOW
        # MySQL refuses a row by a check in this way.
        return SqlFailure.ROW if isinstance(error, self._error) and is_general(error) else None

    def _connected(self) -> Connection:
        connection = self._connect()
        try:
            with self._alone():
                cursor = connection.cursor()
                for table in (_POSITIONS, *self._tables):
                    cursor.execute(table)
                connection.commit()
            self._check_positions(cursor)
            self._prove(connection)
        except BaseException as error:
            free_cursors(error)
            end(connection)
            if self._failure(error) is SqlFailure.ROW:
                # Another member makes the same tables.
                raise Unavailable(f"the database of {self._name}: {error}") from error
            raise
        return connection

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Wait for the other partitions' turns to make the tables, TABLES_S_MAX at most."""
        acquired = self._making_tables.acquire(timeout=TABLES_S_MAX)
        try:
            yield
        finally:
            if acquired:
                self._making_tables.release()

    def _check_positions(self, cursor: Any) -> None:
        """Refuse a table that another release made: it lacks columns."""
        cursor.execute(f"{_ALL} where 1 = 0")
        columns = {column[0].lower() for column in cursor.description}
        if missing := _COLUMNS - columns:
            raise Stopped(
                f"The table hookline_positions of {self._name} was made by another release: the "
                f"columns {', '.join(sorted(missing))} are missing. No release migrates it. Start "
                "the release that made it, or drop the table and what was written, and build them "
                "from what Kafka still has: start the consumer once with CONSUMER_REBUILD=true"
            )

    def _prove(self, connection: Connection) -> None:
        """Roll back a row: one that stays would mean that effect and position are two writes."""
        probe = Partition(_PROBE_TOPIC, randbelow(1 << 31))
        cursor = connection.cursor()
        self._execute(cursor, _BEGIN, self._name, *probe, 0, None)
        connection.rollback()
        stays = self._find(cursor, probe)
        if stays:
            self._execute(cursor, _FORGET + _OF_ONE, self._name, *probe)
        connection.commit()
        if stays:
            raise Stopped(
                f"The connection of {self._name} commits by itself (autocommit), or its tables "
                "know no transactions. A crash would lose or double records, so nothing is written."
            )

    def _drop(self, partition: Partition) -> None:
        if connection := self._open.pop(partition, None):
            end(connection)


@asynccontextmanager
async def sql_sink(
    name: str,
    driver: Any,
    connect: Callable[[], Connection],
    apply: Callable[[Any, Batch], None],
    *,
    tables: Sequence[str] = (),
    limits: Limits = LIMITS,
) -> AsyncIterator[tuple[Handler, Limits]]:
    """
    Yield a handler whose effect is `apply(cursor, batch)`, in one transaction with its position.

    `driver` is the module (PEP 249), `connect` makes a connection that does not commit by itself
    and bounds every call by a time-out, `tables` are statements for each new connection. `name`
    tells the positions of one consumer from another's in the same database.
    """
    sink = SqlSink(name, driver, connect, apply, tables=tables)
    try:
        yield sink, limits
    finally:
        sink.close()
