"""Sort a SQL database's errors: of a row, of this moment, or of the tables. Pure."""

import enum

# Classes, the first two characters of an SQLSTATE (appendix A of PostgreSQL's manual).
_NOT_NOW = frozenset(["08", "25", "28", "3D", "40", "53", "55", "57", "58", "72", "F0", "XX"])
_TABLES = frozenset(["0A", "26", "3F", "42"])
# No right, no table or no schema at this moment: a person is at work on the database.
_IN_WORK = frozenset(["42501", "42P01", "3F000"])
# PostgreSQL reports a row that a policy refuses by the SQLSTATE of a missing right. The name of the
# function in its source is the same in every language.
_ROW_POLICY = "ExecWithCheckOptions"


class SqlFailure(enum.Enum):
    """The meaning of a failed statement for the rows that it was to write."""

    NOT_NOW = enum.auto()  # the same rows may be written later
    ROW = enum.auto()  # one of the rows can never be written
    TABLES = enum.auto()  # no row can be written until a person changes the tables


def sql_failure(error: BaseException) -> SqlFailure | None:
    """
    Return the meaning of a driver's `error` by its SQLSTATE, None if it has none.

    A code that the database itself does not use comes from a trigger, which refuses a row.
    """
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    if not isinstance(state, str):
        return None
    if state in _IN_WORK:
        function = getattr(getattr(error, "diag", None), "source_function", None)
        return SqlFailure.ROW if function == _ROW_POLICY else SqlFailure.NOT_NOW
    if state[:2] in _NOT_NOW:
        return SqlFailure.NOT_NOW
    return SqlFailure.TABLES if state[:2] in _TABLES else SqlFailure.ROW
