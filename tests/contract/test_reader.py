"""The role of readers may read everything that sync writes, and write nothing."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import errors
from support.builders import P0, a_stored_batch, a_stored_record
from support.docs_blocks import ROOT

from consumers.runtime.batch import Position
from consumers.sync.database import DatabaseHandler
from consumers.sync.maintenance import maintain
from ops.demo.embedded import child
from ops.demo.embedded.postgres import EmbeddedPostgres
from schemas.setting import Secret

TABLES = (
    "messages",
    "events",
    "receipts",
    "positions",
    "schema_version",
    "migrations",
    "message_events",
    "expired_receipts",
    "expiring_ids",
)
NEWEST = "it's new"
WRITES = (
    "insert into hookline.{table} select * from hookline.{table}",
    "update hookline.{table} set {column} = {column}",
    "delete from hookline.{table}",
    "truncate hookline.{table}",
    "drop table hookline.{table}",
    "alter table hookline.{table} add column x text",
    "create index on hookline.{table} ({column})",
    "create trigger t before insert on hookline.{table} execute function hookline.bound_names()",
    "do $$ begin lock table hookline.{table} in access exclusive mode; end $$",
)
REFUSED = (errors.ReadOnlySqlTransaction, errors.InsufficientPrivilege)
# The view takes no rows from anybody.
REFUSED_VIEW = (*REFUSED, errors.WrongObjectType, errors.ObjectNotInPrerequisiteState)
OTHER_WRITES = (
    "create table hookline.mine (x text)",
    "create table public.mine (x text)",
    "create schema mine",
    "drop schema hookline cascade",
    "create role mine",
    "alter role hookline_reader superuser",
    "create database mine",
    "set role hookline",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedPostgres]:
    """Yield a server that asks readers for their password, with the role of compose's script."""
    with child.running(EmbeddedPostgres(tmp_path_factory.mktemp("postgres"))) as made:
        access = made.data / "pg_hba.conf"
        trusted = access.read_text()
        access.write_text(f"host all hookline_reader 127.0.0.1/32 scram-sha-256\n{trusted}")
        passwords = tmp_path_factory.mktemp("passwords")
        create_role(made, passwords, "first")
        create_role(made, passwords, NEWEST)
        yield made


def create_role(server: EmbeddedPostgres, passwords: Path, password: str) -> None:
    """Run the script as the container of PostgreSQL does."""
    (passwords / "hookline").write_text("of-sync")
    (passwords / "hookline_reader").write_text(password)
    programs = Path(server._programs)  # noqa: SLF001 - psql is beside the server
    env = os.environ | {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "PGHOST": "127.0.0.1",
        "PGPORT": str(server.port),
        "POSTGRES_USER": "hookline",
        "POSTGRES_DB": "postgres",
        "PASSWORDS_DIR": str(passwords),
    }
    script = ROOT / "deploy" / "postgres" / "roles.sh"
    subprocess.run(["sh", str(script)], env=env, check=True, timeout=180)  # noqa: S607 - the shell
    with psycopg.connect(server.conninfo) as connection:
        connection.execute("select pg_reload_conf()")


def connect(server: EmbeddedPostgres, password: str = NEWEST) -> psycopg.Connection:
    """Connect as a reader."""
    return psycopg.connect(
        host="127.0.0.1",
        port=server.port,
        dbname="postgres",
        user="hookline_reader",
        password=password,
        autocommit=True,
    )


async def test_a_reader_reads_everything_and_writes_nothing(server: EmbeddedPostgres) -> None:
    """Also if it makes its session writable, and after the tables were built again."""
    for _ in range(2):
        database = DatabaseHandler(Secret(server.conninfo))
        await database.store_first_position(P0, Position(0))
        await database.handle(a_stored_batch(a_stored_record(0)))
        await database.close()
        await maintain(Secret(server.conninfo))
        with connect(server) as reader:
            for statement in refused_statements(reader):
                for setting in ("on", "off"):
                    reader.execute(f"set default_transaction_read_only = {setting}".encode())
                    with pytest.raises(psycopg.Error) as raised:
                        reader.execute(statement.encode())
                    refused = REFUSED_VIEW if "message_events" in statement else REFUSED
                    assert isinstance(raised.value, refused), (statement, raised.value)
            rows = reader.execute("select count(*) from hookline.messages").fetchone()
            assert rows == (1,)
        with psycopg.connect(server.conninfo) as connection:
            connection.execute("drop schema hookline cascade")


def refused_statements(reader: psycopg.Connection) -> list[str]:
    """Return every statement that a reader must not be able to execute; read each table."""
    statements = list(OTHER_WRITES)
    for table in TABLES:
        rows = reader.execute(f"table hookline.{table}".encode())
        columns = rows.description
        assert columns is not None
        statements += [each.format(table=table, column=columns[0].name) for each in WRITES]
    return statements


def test_a_reader_needs_its_password(server: EmbeddedPostgres) -> None:
    """The script changes it when it runs again; a quote in it does no harm."""
    for wrong in ("first", "reader", ""):
        with pytest.raises(psycopg.OperationalError, match="password"):
            connect(server, wrong)
    connect(server).close()


def test_readers_leave_connections_for_sync(server: EmbeddedPostgres) -> None:
    """A reader's connections are bounded, and its sessions are read-only from the beginning."""
    opened = [connect(server) for _ in range(20)]
    with pytest.raises(psycopg.OperationalError, match="too many connections for role"):
        connect(server)
    assert opened[0].execute("show transaction_read_only").fetchone() == ("on",)
    for each in opened:
        each.close()
