"""Sort the errors of a SQL database by what can be done about them. No I/O."""

import enum
from typing import Any

# A time-out or a person has cancelled the statement, in PostgreSQL; in MySQL and MariaDB.
_TOOK_TOO_LONG = frozenset(["57014", "70100"])
# Classes, the first two characters of an SQLSTATE (appendix A of PostgreSQL's manual).
_NOT_NOW = frozenset(["08", "25", "28", "3D", "40", "53", "55", "57", "58", "72", "F0", "XX"])
_WRONG_CLASSES = frozenset(["0A", "26", "3F", "42"])
# A missing right, table or schema: probably a person is changing the database.
_IN_CHANGE = frozenset(["42501", "42P01", "3F000"])
# A table or its type exists already.
_EXISTS = frozenset(["42P07", "42710"])
# If a policy refuses a row, PostgreSQL reports the SQLSTATE of a missing right. The name of the
# function in its source distinguishes the two in every language.
_ROW_POLICY = "ExecWithCheckOptions"


# The class of general errors. MySQL has many of them, which differ by number: no memory, disk full,
# lock wait, table full, read-only. The numbers of its client are errors of the connection.
_GENERAL = "HY"
_MYSQL_NOT_NOW = frozenset([1021, 1037, 1041, 1114, 1205, 1290, 1836, 3100])
_MYSQL_CLIENT_NUMBERS = range(2000, 3000)
_MYSQL_TOOK_TOO_LONG = 3024


class SqlFailure(enum.Enum):
    """The meaning of a failed statement for the rows that it was to write."""

    NOT_NOW = enum.auto()  # the same rows may be written later
    TOOK_TOO_LONG = enum.auto()  # the same rows may be written in smaller batches
    ROW_REFUSED = enum.auto()  # one of the rows can never be written
    WRONG_TABLES = enum.auto()  # no row can be written until a person changes the tables


def sql_failure(error: BaseException) -> SqlFailure | None:
    """
    Return the meaning of a driver's `error` by its SQLSTATE, None if that is missing or general.

    An unknown SQLSTATE counts as raised by a trigger: it refuses a row.
    """
    state = _state(error)
    if state is None:
        return None
    if state[:2] == _GENERAL:
        return _mysql_failure(getattr(error, "errno", None))
    if state in _TOOK_TOO_LONG:
        return SqlFailure.TOOK_TOO_LONG
    if state in _IN_CHANGE:
        function = getattr(getattr(error, "diag", None), "source_function", None)
        return SqlFailure.ROW_REFUSED if function == _ROW_POLICY else SqlFailure.NOT_NOW
    if state[:2] in _NOT_NOW:
        return SqlFailure.NOT_NOW
    return SqlFailure.WRONG_TABLES if state[:2] in _WRONG_CLASSES else SqlFailure.ROW_REFUSED


def already_exists(error: BaseException) -> bool:
    """Return whether a driver's `error` is that what it was to make exists already."""
    return _state(error) in _EXISTS


class DriverErrors:
    """
    The errors of a Python driver (PEP 249), sorted by SQLSTATE, and by their class without one.

    `base` is the class of all of them.
    """

    def __init__(self, driver: Any) -> None:
        self.base: type[Exception] = driver.Error
        # Drivers raise these for values that a database cannot hold, and for invalid text.
        self._of_rows = (driver.DataError, driver.IntegrityError, UnicodeError, OverflowError)
        self._not_now = (
            driver.OperationalError,
            driver.InterfaceError,
            driver.InternalError,
            OSError,
        )

    def failure(self, error: BaseException) -> SqlFailure | None:
        """Return the meaning of any error, None if it is a bug."""
        is_of_driver = isinstance(error, self.base)
        if is_of_driver and (failure := sql_failure(error)):
            return failure
        if isinstance(error, self._of_rows):
            return SqlFailure.ROW_REFUSED
        if isinstance(error, self._not_now):
            return SqlFailure.NOT_NOW
        # MySQL refuses a row by a check in this way.
        is_general = (_state(error) or "")[:2] == _GENERAL
        return SqlFailure.ROW_REFUSED if is_of_driver and is_general else None


def _state(error: BaseException) -> str | None:
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    if state is None and error.args and isinstance(error.args[0], dict):
        state = error.args[0].get("C")  # pg8000: the fields of PostgreSQL's message
    return state if isinstance(state, str) else None


def _mysql_failure(number: object) -> SqlFailure | None:
    if number == _MYSQL_TOOK_TOO_LONG:
        return SqlFailure.TOOK_TOO_LONG
    if isinstance(number, int) and (number in _MYSQL_NOT_NOW or number in _MYSQL_CLIENT_NUMBERS):
        return SqlFailure.NOT_NOW
    return None
