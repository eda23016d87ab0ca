"""Which of PostgreSQL's errors concern a row, which the moment, and which the tables. Pure."""

import enum

import psycopg

# Classes, the first two characters of an SQLSTATE (appendix A of PostgreSQL's manual).
_NOT_NOW = frozenset(["08", "25", "28", "3D", "40", "53", "55", "57", "58", "72", "F0", "XX"])
_TABLES = frozenset(["0A", "26", "3F", "42"])
# No right yet, or no tables at this moment: a person is at work on the database.
_IN_WORK = frozenset(
    (
        psycopg.errors.InsufficientPrivilege.sqlstate,
        psycopg.errors.UndefinedTable.sqlstate,
        psycopg.errors.InvalidSchemaName.sqlstate,
    )
)
# PostgreSQL reports a row that a policy refuses by the same SQLSTATE as a missing right. The name
# of the function in its source is the same in every language.
_ROW_POLICY = "ExecWithCheckOptions"


class Failure(enum.Enum):
    """What a failed statement means for the rows that it was to write."""

    NOT_NOW = enum.auto()  # the same rows may be written later
    ROW = enum.auto()  # one of the rows can never be written
    TABLES = enum.auto()  # no row can be written until a person changes the tables
    BUG = enum.auto()


def failure(error: psycopg.Error) -> Failure:
    """
    Return what `error` means.

    A code that PostgreSQL itself does not use comes from a trigger, which refuses a row by it.
    """
    state = error.sqlstate
    if state is None:
        return _of_client(error)
    if state in _IN_WORK:
        by_policy = error.diag.source_function == _ROW_POLICY
        return Failure.ROW if by_policy else Failure.NOT_NOW
    if state[:2] in _NOT_NOW:
        return Failure.NOT_NOW
    return Failure.TABLES if state[:2] in _TABLES else Failure.ROW


def _of_client(error: psycopg.Error) -> Failure:
    """Sort what psycopg raises by itself: a lost connection, a value that it cannot send."""
    match error:
        case psycopg.DataError():
            return Failure.ROW
        case psycopg.OperationalError() | psycopg.InterfaceError() | psycopg.InternalError():
            return Failure.NOT_NOW
        case _:
            return Failure.BUG
