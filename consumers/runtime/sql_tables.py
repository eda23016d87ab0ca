"""Make the tables of a SQL sink, and note which consumer writes to each of them."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any

from consumers.runtime import sql_positions
from consumers.runtime.handler import Stopped
from consumers.runtime.sql_connection import SqlConnection
from consumers.runtime.sql_failure import already_exists
from consumers.runtime.sql_positions import SqlPositions, with_marks

# Partitions make the tables one after the other, because a database may refuse to make them twice
# at the same time. A partition whose server hangs delays the others for this time at most.
TABLES_S_MAX = 5.0
_CREATE = """create table if not exists hookline_tables (
    table_name varchar(255) not null primary key, consumer varchar(255) not null)"""
_FIND = "select consumer from hookline_tables where table_name = ?"
_STORE = "insert into hookline_tables (table_name, consumer) values (?, ?)"
_NAME = re.compile(
    r"\bcreate\s+(?:unlogged\s+)?table\s+(?:if\s+not\s+exists\s+)?([^\s(;]+)", re.IGNORECASE
)


def names_in(statements: Sequence[str]) -> list[str]:
    """Return the names of the tables that `statements` create, without quotes."""
    names = [name for statement in statements for name in _NAME.findall(statement)]
    return list(dict.fromkeys(re.sub(r'["`\[\]]', "", name).lower() for name in names))


class SqlTables:
    """Makes the tables of one consumer, one connection at a time."""

    def __init__(self, name: str, driver: Any, statements: Sequence[str]) -> None:
        self._name = name
        self._statements = sql_positions.CREATE, _CREATE, *statements
        self._names = names_in(statements)
        self._paramstyle = driver.paramstyle
        self._error: type[Exception] = driver.Error
        self._lock = Lock()

    def make(self, connection: SqlConnection, positions: SqlPositions) -> None:
        """
        Make the tables that are missing, and note this consumer as the one that writes to them.

        Raises:
            Stopped: another consumer writes to one of them, and this one has not begun.
            driver.Error: the database refuses a statement; nothing was made.
        """
        with self._in_turn():
            _retried(connection, self._statements, self._error)
            cursor = connection.cursor()
            writers = {name: self._writer(cursor, name) for name in self._names}
            others = {name: writer for name, writer in writers.items() if writer != self._name}
            if others and not positions.has_any(cursor):
                raise self._written_by(others)
            connection.commit()

    def _writer(self, cursor: Any, table: str) -> str:
        """Return the consumer that writes to `table`: this one, if none is noted."""
        self._execute(cursor, _FIND, table)
        if row := cursor.fetchone():
            return str(row[0])
        self._execute(cursor, _STORE, table, self._name)
        return self._name

    def _written_by(self, others: dict[str, str]) -> Stopped:
        tables = ", ".join(others)
        quoted = ", ".join(f"'{name}'" for name in others)
        allow = f"set consumer = '{self._name}' where table_name in ({quoted})"
        return Stopped(
            f"The consumer {', '.join(sorted(set(others.values())))} writes to the table {tables}. "
            f"{self._name} has no position in this database, so it would add every record of the "
            f"topic to {tables} a second time. Choose another database (another file), or other "
            "tables. If the tables were emptied, or a second time changes nothing, execute: "
            f"update hookline_tables {allow}"
        )

    def _execute(self, cursor: Any, statement: str, *values: object) -> None:
        cursor.execute(with_marks(statement, self._paramstyle), values)

    @contextmanager
    def _in_turn(self) -> Iterator[None]:
        """Wait until no other partition makes the tables, TABLES_S_MAX at most."""
        acquired = self._lock.acquire(timeout=TABLES_S_MAX)
        try:
            yield
        finally:
            if acquired:
                self._lock.release()


def _retried(
    connection: SqlConnection, statements: Sequence[str], driver_error: type[Exception]
) -> None:
    """
    Execute `statements` in one transaction, while other members make the same tables.

    PostgreSQL may refuse `create table if not exists` because another member has just made the
    table. The next try finds it, so there is one try more than there are tables.
    """
    for tries_left in reversed(range(len(statements) + 1)):
        try:
            cursor = connection.cursor()
            for statement in statements:
                cursor.execute(statement)
            connection.commit()
        except driver_error as error:
            if not (tries_left and already_exists(error)):
                raise
            connection.rollback()
        else:
            return
