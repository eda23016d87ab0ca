"""Errors of drivers that the tests do not install, and their outcome in a SQL sink."""

import asyncio
import sqlite3
from types import SimpleNamespace
from typing import Any

import pytest

from consumers.runtime import (
    Batch,
    Position,
    Rejected,
    Stopped,
    TookTooLong,
    Unavailable,
    sql_sink,
)
from consumers.runtime.handler_checks import HERE, a_batch


class OfMySQL(Exception):
    """The attributes of mysql-connector's errors."""

    def __init__(self, errno: int, sqlstate: str) -> None:
        super().__init__(f"{errno} ({sqlstate})")
        self.errno = errno
        self.sqlstate = sqlstate


class Base(OfMySQL, sqlite3.DatabaseError):
    """The class of most of its errors."""


class Operational(OfMySQL, sqlite3.OperationalError):
    """The class of a connection that is lost during a query."""


class Integrity(OfMySQL, sqlite3.IntegrityError):
    """The class of SQLSTATE 23000."""


def of_pg8000(sqlstate: str) -> sqlite3.DatabaseError:
    """Return an error as pg8000 raises it: the fields of PostgreSQL's message."""
    return sqlite3.DatabaseError({"S": "ERROR", "C": sqlstate, "M": "the test says so"})


@pytest.mark.parametrize(
    ("error", "wanted"),
    [
        (Base(1205, "HY000"), Unavailable),
        (Base(3024, "HY000"), TookTooLong),
        (Base(1317, "70100"), TookTooLong),
        (Operational(1969, "70100"), TookTooLong),
        (Base(1021, "HY000"), Unavailable),
        (Base(1290, "HY000"), Unavailable),
        (Base(2006, "HY000"), Unavailable),
        (Operational(2013, "HY000"), Unavailable),
        (Operational(9999, "HY000"), Unavailable),
        (Base(1053, "08S01"), Unavailable),
        (Base(3819, "HY000"), Rejected),
        (Base(1366, "HY000"), Rejected),
        (Integrity(1062, "23000"), Rejected),
        (of_pg8000("23514"), Rejected),
        (of_pg8000("57014"), TookTooLong),
        (of_pg8000("42703"), Stopped),
        (sqlite3.DatabaseError("a bug"), sqlite3.DatabaseError),
        (sqlite3.DatabaseError({}), sqlite3.DatabaseError),
    ],
    ids=str,
)
def test_an_outage_is_waited_for_and_a_refused_row_is_rejected(
    error: Exception, wanted: type[Exception]
) -> None:
    """An outage must not make a dead letter, whichever class the driver raises."""

    def apply(_: Any, __: Batch) -> None:
        raise error

    async def handle() -> None:
        driver = SimpleNamespace(
            paramstyle="qmark",
            **{
                name: getattr(sqlite3, name)
                for name in (
                    *("Error", "DataError", "IntegrityError"),
                    *("OperationalError", "InterfaceError", "InternalError"),
                )
            },
        )
        connect = lambda: sqlite3.connect(":memory:")  # noqa: E731 - in the thread of each partition
        async with sql_sink("errors", driver, connect, apply) as (handler, _):
            await handler.store_first_position(HERE, Position(0))
            await handler.handle(a_batch(0, 1))

    with pytest.raises(wanted):
        asyncio.run(handle())
