"""Connect to the database of sync: settings of the session, and the tables of this release."""

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict

from consumers.runtime.handler import Stopped
from consumers.sync.tables import ensure_tables
from schemas.setting import Secret

CONNECT_S = 5


def is_conninfo(text: str) -> bool:
    """Return whether `text` is a connection string; libpq's errors about others contain them."""
    try:
        ports = str(conninfo_to_dict(text).get("port") or "")
    except psycopg.Error:
        return False
    # Part of a password that is not percent-encoded would be taken for the port.
    return all(port.isdecimal() for port in ports.split(",") if port)


def first_line(error: Exception) -> str:
    """Return the first line of an error of PostgreSQL or libpq."""
    return (str(error).splitlines() or [type(error).__name__])[0]


def failure_text(error: psycopg.Error) -> str:
    """Return why PostgreSQL cannot be used, and what to check if there is no connection."""
    return f"PostgreSQL: {first_line(error)}{what_to_check(error)}"


def what_to_check(error: psycopg.Error) -> str:
    """Return the end of a text about `error`: the setting, if there is no connection."""
    # An answer of the server has an SQLSTATE, unless it refuses the connection.
    has_none = error.sqlstate is None and isinstance(error, psycopg.OperationalError)
    return "; check that it runs, and SYNC_POSTGRES (of a command: --postgres)" if has_none else ""


async def connect(conninfo: Secret, name: str, *, statement_s: int, lock_s: int) -> AsyncConnection:
    """
    Return a connection that commits each statement, to a database that has the tables.

    The server cancels a statement after `statement_s`, or after it has waited for one lock for
    `lock_s`; 0 for never. `name` is the application's in pg_stat_activity.

    Raises:
        Stopped: the database cannot be used: its encoding, or its tables.
        Unavailable: another transaction uses tables that have to be migrated.
        psycopg.Error: the database does not answer, or refuses.
    """
    connection = await AsyncConnection.connect(
        conninfo,
        autocommit=True,
        connect_timeout=CONNECT_S,
        application_name=name,
        # A connection pooler may send each statement to another server process.
        prepare_threshold=None,
        client_encoding="utf8",
    )
    try:
        await _prepare(connection, statement_s, lock_s)
    except BaseException:
        await connection.close()
        raise
    return connection


async def _prepare(connection: AsyncConnection, statement_s: int, lock_s: int) -> None:
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise Stopped(
            f"The database is encoded in {encoding}, which cannot hold every message. Create one "
            "with UTF8: create database hookline encoding 'UTF8' template template0; then set "
            "SYNC_POSTGRES to it"
        )
    await connection.execute(
        "select set_config('statement_timeout', %s, false), set_config('lock_timeout', %s, false)",
        (f"{statement_s}s", f"{lock_s}s"),
    )
    await ensure_tables(connection)
