"""Create the tables in PostgreSQL if they are absent; refuse tables of another version."""

import logging
from importlib.resources import files

from psycopg import AsyncConnection

from consumers.runtime.handler import Stopped

log = logging.getLogger(__name__)

# The version of schema.sql. Change both together.
SCHEMA_VERSION = 1
_FOUND = (
    "select array_agg(relname::text) from pg_catalog.pg_class"
    " where relnamespace = to_regnamespace('hookline')"
    " and relname in ('schema_version', 'positions', 'receipts', 'messages', 'events')"
)
_TABLES_TEXT = "The tables in the schema hookline of PostgreSQL"
# An arbitrary number, the same in all processes: only one of them may create the tables at a time.
_ADVISORY_LOCK = 0x686F6F6B
# One statement: a client that hangs between two statements would keep the lock.
_CREATE_IF_ABSENT = f"""do $hookline$ begin
    perform pg_advisory_xact_lock({_ADVISORY_LOCK});
    if to_regclass('hookline.schema_version') is not null then return; end if;
    if to_regnamespace('hookline') is null then create schema hookline; end if;
    {files(__package__).joinpath("schema.sql").read_text()}
end $hookline$""".encode()


async def ensure_tables(connection: AsyncConnection) -> None:
    """
    Return once the tables of this release exist.

    Raises:
        Stopped: the tables in the database are of another version.
    """
    tables = await _existing_tables(connection)
    if not tables:
        await connection.execute(_CREATE_IF_ABSENT)
        log.info("created the tables of version %d in the schema hookline", SCHEMA_VERSION)
    elif "schema_version" not in tables:
        raise Stopped(f"{_TABLES_TEXT} are from before they had a version; {_wanted()}")
    cursor = await connection.execute("select version from hookline.schema_version")
    versions = [version for (version,) in await cursor.fetchall()]
    if versions != [SCHEMA_VERSION]:
        shown = ", ".join(map(str, versions)) or "none"
        raise Stopped(f"{_TABLES_TEXT} have version {shown}; {_wanted()}")


def _wanted() -> str:
    return (
        f"this release needs version {SCHEMA_VERSION} and does not migrate. Use another database, "
        "start the release that created the tables, or drop them (drop schema hookline cascade) "
        "and build them again from what Kafka still has: start sync once with "
        "CONSUMER_REBUILD=true. See 'A consumer stops' in docs/runbook.md."
    )


async def _existing_tables(connection: AsyncConnection) -> set[str]:
    cursor = await connection.execute(_FOUND)
    (names,) = await cursor.fetchone() or (None,)
    return set(names or ())
