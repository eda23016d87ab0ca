"""A connection of any driver of PEP 249, and how to end it after an exception."""

import logging
from collections.abc import Callable
from traceback import clear_frames
from typing import Any, Protocol

log = logging.getLogger(__name__)


class SqlConnection(Protocol):
    """The part of a driver's connection that is used. It must not be in autocommit mode."""

    def cursor(self) -> Any:
        """Return a cursor with `execute`, `fetchone` and `rowcount`."""
        ...

    def commit(self) -> None:
        """Commit the transaction."""
        ...

    def rollback(self) -> None:
        """Roll back the transaction."""
        ...

    def close(self) -> None:
        """Close the connection; an open transaction is rolled back."""
        ...


class Statements:
    """Executes statements whose parameters are `?`, in the `paramstyle` of a driver (PEP 249)."""

    def __init__(self, paramstyle: str) -> None:
        self._mark = {"qmark": "?", "format": "%s", "pyformat": "%s"}[paramstyle]

    def execute(self, cursor: Any, statement: str, *values: object) -> None:
        """Execute `statement` with `values`, which replace its `?` in order."""
        cursor.execute(statement.replace("?", self._mark), values)


def end(connection: SqlConnection) -> None:
    """
    Roll back and close `connection`; drop exceptions, because the caller raises an earlier one.

    Closing is not enough: sqlite3 keeps the transaction of a closed connection while one of its
    cursors exists.
    """
    _attempt(connection.rollback)
    _attempt(connection.close)


def close_cursor(cursor: Any | None) -> None:
    """Close `cursor`, if there is one: its result may not have been read to the end."""
    if cursor is not None:
        _attempt(cursor.close)


def _attempt(step: Callable[[], object]) -> None:
    try:
        step()
    except Exception as error:  # noqa: BLE001 - a driver may raise anything for a broken connection
        log.debug("the driver failed to end a connection: %r", error)


def free_cursors(error: BaseException) -> None:
    """
    Free the local variables in the tracebacks of `error` and of all those that led to it.

    A cursor among them that was not read to its end keeps a read lock in SQLite after the rollback.
    """
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        clear_frames(each.__traceback__)
        waiting += (each.__cause__, each.__context__)
        if isinstance(each, BaseExceptionGroup):
            waiting += each.exceptions
