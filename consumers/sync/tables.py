"""
Create the tables in PostgreSQL, or migrate those of an earlier version.

A migration is a file of consumers/sync/migrations, named by its number. A released one never
changes. Migrations only go forwards, and are quick on tables of any size; `maintain` does the work
that takes long.

The column `schema_version.version` is not the version of the tables, but that of the oldest program
that may write them; an older program refuses them. A migration that only adds to the tables does
not raise it, so programs of two versions run side by side while the members of a group are replaced
one after the other.
"""

import logging
from collections.abc import Sequence
from importlib.resources import files

from psycopg import AsyncConnection, errors

from consumers.runtime.handler import Stopped, Unavailable

log = logging.getLogger(__name__)

_FILES = sorted(files(__package__).joinpath("migrations").iterdir(), key=lambda file: file.name)
# The version of the tables that this release writes: the number of its last migration.
VERSION = len(_FILES)
_SELECT_TABLES = (
    "select array_agg(relname::text) from pg_catalog.pg_class"
    " where relnamespace = to_regnamespace('hookline') and relname in"
    " ('schema_version', 'positions', 'receipts', 'messages', 'events', 'migrations')"
)
SELECT_OLDEST_WRITER = "select version from hookline.schema_version"
_TABLES_TEXT = "The tables in the schema hookline of PostgreSQL"
# An arbitrary number, the same in all processes: only one of them may migrate at a time.
_ADVISORY_LOCK = 0x686F6F6B
# The longest time that a migration waits for a table that another transaction uses. Meanwhile,
# PostgreSQL makes new writers wait until the migration has had the table, or has given up.
LOCK_TIMEOUT_S = 2
_CREATE_SCHEMA = "if to_regnamespace('hookline') is null then create schema hookline; end if;"
_INSERT_MIGRATION = "insert into hookline.migrations (number) values ({number});"


def _step(number: int, text: str) -> str:
    before, after = (
        (_CREATE_SCHEMA, "") if number == 1 else ("", _INSERT_MIGRATION.format(number=number))
    )
    return (
        f"if reached < {number} then {before}"
        f" execute $migration${text}$migration$; {after} end if;\n"
    )


# One statement: a client that hangs between two statements would keep the locks.
_MIGRATE = f"""do $hookline$ declare reached integer := 0; begin
    perform pg_advisory_xact_lock({_ADVISORY_LOCK});
    perform set_config('lock_timeout', '{LOCK_TIMEOUT_S}s', true);
    if to_regclass('hookline.schema_version') is not null then reached := 1; end if;
    if to_regclass('hookline.migrations') is not null then
        select max(number) into reached from hookline.migrations;
    end if;
    {"".join(_step(at, file.read_text()) for at, file in enumerate(_FILES, 1))}
end $hookline$""".encode()  # noqa: S608 - constants


async def ensure_tables(connection: AsyncConnection) -> None:
    """
    Return once the tables of this release exist, or those of a later one that still fits.

    Raises:
        Stopped: this release must not write the tables in the database.
        Unavailable: another transaction uses a table that has to be altered.
    """
    tables = await _existing_tables(connection)
    reached = 0
    if tables:
        if "schema_version" not in tables:
            raise Stopped(f"{_TABLES_TEXT} are from before they had a version; {_other_database()}")
        cursor = await connection.execute(SELECT_OLDEST_WRITER)
        if fault := version_fault([version for (version,) in await cursor.fetchall()]):
            raise Stopped(fault)
        reached = await _reached(connection) if "migrations" in tables else 1
    if reached < VERSION:
        await _migrate(connection)
        log.info("the tables in the schema hookline have version %d now, from %d", VERSION, reached)


def version_fault(oldest_writers: Sequence[int]) -> str:
    """Return why this release must not use tables with these rows in schema_version, or ""."""
    if len(oldest_writers) != 1:
        shown = ", ".join(map(str, oldest_writers)) or "none"
        return (
            f"{_TABLES_TEXT} have the versions {shown} in hookline.schema_version, which must have "
            f"one row; {_other_database()}"
        )
    if oldest_writers[0] > VERSION:
        return (
            f"{_TABLES_TEXT} need a program of version {oldest_writers[0]} or later; this release "
            f"has version {VERSION}. A later release has migrated them, and no migration goes "
            f"backwards: start that release again, or {_other_database()}"
        )
    return ""


def _other_database() -> str:
    return (
        "use another database, or drop the tables (drop schema hookline cascade) and build them "
        "again from what Kafka still has: start sync once with CONSUMER_REBUILD=true. See "
        "'A consumer stops' in docs/runbook.md."
    )


async def _migrate(connection: AsyncConnection) -> None:
    try:
        await connection.execute(_MIGRATE)
    except errors.LockNotAvailable as error:
        raise Unavailable(
            "PostgreSQL: the tables in the schema hookline cannot be migrated to version "
            f"{VERSION} while another transaction uses them. It is tried again. "
            "pg_stat_activity shows the transactions: xact_start, pid, query"
        ) from error


async def _reached(connection: AsyncConnection) -> int:
    cursor = await connection.execute("select max(number) from hookline.migrations")
    (reached,) = await cursor.fetchone() or (None,)
    return reached or 1


async def _existing_tables(connection: AsyncConnection) -> set[str]:
    cursor = await connection.execute(_SELECT_TABLES)
    (names,) = await cursor.fetchone() or (None,)
    return set(names or ())
