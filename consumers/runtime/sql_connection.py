"""A connection of any driver of PEP 249; it is rolled back and closed after an exception."""

import logging
from collections.abc import Callable
from traceback import clear_frames
from typing import Any, Protocol

log = logging.getLogger(__name__)


class Connection(Protocol):
    """The part of a driver's connection that is used. It must not commit by itself."""

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
        """Close; an open transaction is rolled back."""
        ...


def end(connection: Connection) -> None:
    """
    Roll back and close `connection`. Further exceptions are dropped: the caller raises the first.

    Closing is not enough: sqlite3 keeps the transaction of a closed connection while one of its
    cursors lives.
    """
    _attempt(connection.rollback)
    _attempt(connection.close)


def close_cursor(cursor: Any | None) -> None:
    """Close the cursor whose statement an exception may have left half-read, if there is one."""
    if cursor is not None:
        _attempt(cursor.close)


def _attempt(step: Callable[[], object]) -> None:
    try:
        step()
    except Exception as error:  # noqa: BLE001 - a driver may raise anything of a broken connection
        log.debug("ending a connection: %r", error)


def free_cursors(error: BaseException) -> None:
    """
    Free the local variables in the tracebacks of `error` and of all those that led to it.

    A cursor there that was not read to its end keeps a read lock in SQLite after the rollback.
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
