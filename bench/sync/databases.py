"""A PostgreSQL with a database for each run, whose tables and indexes exist and are empty."""

import asyncio
import contextlib
from collections.abc import Iterator
from pathlib import Path

import psycopg
from psycopg import sql

from bench.processes import stopping
from bench.sync import version_1
from consumers.sync.maintenance import maintain
from ops.demo.embedded.postgres import EmbeddedPostgres
from schemas.setting import Secret

# The databases that the others are copies of.
SHIPPED, VERSION_1 = "shipped", "version_1"
_ROWS = "select (select count(*) from hookline.messages) + (select count(*) from hookline.events)"
_RECEIPTS = "select count(*) from hookline.receipts"


class Databases:
    """Use `databases`. Tables are those of this release (SHIPPED), or of VERSION_1."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        self._server = server
        asyncio.run(maintain(Secret(self._create(SHIPPED))))
        with psycopg.connect(self._create(VERSION_1), autocommit=True) as connection:
            connection.execute(version_1.tables().encode())

    @property
    def pids(self) -> list[int]:
        """The server's process."""
        assert self._server.process is not None  # noqa: S101 - it was started
        return [self._server.process.pid]

    @contextlib.contextmanager
    def fresh(self, name: str, tables: str) -> Iterator[str]:
        """Yield the connection string of a database `name` with empty `tables`; drop it on exit."""
        created = self._create(name, tables)
        # The pages of the run before are on disk, so that it costs this run nothing.
        self._execute(sql.SQL("checkpoint"))
        try:
            yield created
        finally:
            self._execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))

    def _create(self, name: str, template: str = "template0") -> str:
        self._execute(
            sql.SQL("create database {} template {}").format(*map(sql.Identifier, (name, template)))
        )
        return self._server.conninfo.rpartition("/")[0] + f"/{name}"

    def _execute(self, statement: sql.SQL | sql.Composed) -> None:
        with psycopg.connect(self._server.conninfo, autocommit=True) as connection:
            connection.execute(statement)


@contextlib.contextmanager
def databases(directory: Path) -> Iterator[Databases]:
    """Yield databases of a server of their own, which is stopped on exit."""
    with stopping(EmbeddedPostgres(directory / "postgres")) as server:
        yield Databases(server)


def rows(conninfo: str) -> int:
    """Return the number of messages and events."""
    return _count(conninfo, _ROWS)


def receipts(conninfo: str) -> int:
    """Return the number of receipts."""
    return _count(conninfo, _RECEIPTS)


def _count(conninfo: str, query: str) -> int:
    with psycopg.connect(conninfo) as connection:
        (count,) = connection.execute(query.encode()).fetchone() or (0,)
    return int(count)
