"""Make the tables of a SQL sink, and note which consumer writes to each of them."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Lock
from typing import Any

from consumers.runtime import sql_positions
from consumers.runtime.handler import Stopped
from consumers.runtime.sql_connection import SqlConnection, Statements
from consumers.runtime.sql_failure import already_exists
from consumers.runtime.sql_positions import SqlPositions

# Partitions make the tables one after the other, because a database may refuse to make them twice
# at the same time. A partition whose server hangs delays the others for this time at most.
TABLES_S_MAX = 5.0
_CREATE = """create table if not exists hookline_tables (
    table_name varchar(255) not null primary key, consumer varchar(255) not null)"""
_FIND = "select consumer from hookline_tables where table_name = ?"
_STORE = "insert into hookline_tables (table_name, consumer) values (?, ?)"
_NAME = re.compile(
    r"\bcreate\s+(?:or\s+replace\s+|unlogged\s+|virtual\s+|foreign\s+)?table\s+"
    r"(?:if\s+not\s+exists\s+)?([^\s(;]+)",
    re.IGNORECASE,
)


def names_in(statements: Sequence[str]) -> list[str]:
    """
    Return the names of the tables that `statements` create, in lower case and without quotes.

    The names are compared as text: `public.days` and `days` are two names, `"Days"` and `days` are
    one, a quoted name ends at a space, and a statement in a comment counts. A name that is wrongly
    taken for that of another consumer stops this one, with a text that says how to allow it.
    """
    names = [name for statement in statements for name in _NAME.findall(statement)]
    return list(dict.fromkeys(re.sub(r'["`\[\]]', "", name).lower() for name in names))


class SqlTables:
    """Makes the tables of one consumer, one connection at a time."""

    def __init__(
        self,
        name: str,
        driver: Any,
        creates: Sequence[str],
        statements: Statements,
        positions: SqlPositions,
    ) -> None:
        self._name = name
        self._creates = sql_positions.CREATE, _CREATE, *creates
        self._names = names_in(creates)
        self._error: type[Exception] = driver.Error
        self._execute = statements.execute
        self._positions = positions
        self._lock = Lock()

    def make(self, connection: SqlConnection) -> None:
        """
        Make the tables that are missing, and check that this consumer may write to them.

        Raises:
            Stopped: another consumer writes to one of them, and this one has not begun; or another
                release made the table of the positions.
            driver.Error: the database refuses a statement; nothing was made.
        """
        with self._in_turn():
            _retried(connection, self._creates, self._error)
            cursor = connection.cursor()
            self._positions.check_columns(cursor)
            if self._positions.has_any(cursor):
                # It began before there were notes, or before it had one of these tables.
                self._note(cursor, self._writers(cursor))
            else:
                self._check(self._writers(cursor))
            connection.commit()

    def note_writer(self, cursor: Any) -> None:
        """
        Note this consumer as the writer of its tables, in the transaction of its first position.

        A consumer that stops before it has a position has written nothing, and leaves no note.

        Raises:
            Stopped: another consumer has begun in one of them meanwhile.
            driver.Error: another member has just made the same note.
        """
        writers = self._writers(cursor)
        if not self._positions.has_any(cursor):
            self._check(writers)
        self._note(cursor, writers)

    def _writers(self, cursor: Any) -> dict[str, str]:
        """Return the consumer that writes to each table, of those that have a note."""
        writers = {}
        for table in self._names:
            self._execute(cursor, _FIND, table)
            if row := cursor.fetchone():
                writers[table] = str(row[0])
        return writers

    def _note(self, cursor: Any, writers: dict[str, str]) -> None:
        for table in self._names:
            if table not in writers:
                self._execute(cursor, _STORE, table, self._name)

    def _check(self, writers: dict[str, str]) -> None:
        others = {table: writer for table, writer in writers.items() if writer != self._name}
        if not others:
            return
        clauses = [f"{writer} writes to the table {table}" for table, writer in others.items()]
        quoted = ", ".join(f"'{table}'" for table in others)
        allow = f"set consumer = '{self._name}' where table_name in ({quoted})"
        raise Stopped(
            f"The consumer {', the consumer '.join(clauses)}. {self._name} has no position in this "
            f"database, so it would add every record of the topic to {', '.join(others)} a second "
            "time. Choose another database (another file), or other tables. If the tables were "
            "emptied, or a second time changes nothing, execute: "
            f"update hookline_tables {allow}"
        )

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
