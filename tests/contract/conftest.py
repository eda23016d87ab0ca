"""Fixtures that several tests of sinks share."""

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import psycopg
import pytest
from support.builders import P0
from support.counting import counting
from support.sql_database import SqlDatabase
from valkey import Valkey

from consumers.counters.counts import CountersHandler
from consumers.runtime.batch import Position
from consumers.sync.database import DatabaseHandler
from ops.demo.embedded import child
from ops.demo.embedded.postgres import FOLDERS, EmbeddedPostgres
from schemas.setting import Secret


@pytest.fixture(params=["sqlite", "postgres"])
async def sql_database(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[SqlDatabase]:
    """Yield an empty database."""
    async with AsyncExitStack() as opened:
        if request.param == "sqlite":
            yield SqlDatabase(sqlite3, partial(sqlite3.connect, tmp_path / "seen.db"), opened)
        else:
            conninfo = request.getfixturevalue("conninfo")
            yield SqlDatabase(psycopg, partial(psycopg.connect, conninfo), opened)


@pytest.fixture
async def database(conninfo: str) -> AsyncIterator[DatabaseHandler]:
    """Yield sync's handler of an empty database, whose position is 0."""
    made = DatabaseHandler(Secret(conninfo))
    await made.store_first_position(P0, Position(0))
    yield made
    await made.close()


@pytest.fixture
def valkey(valkey_url: str) -> Iterator[Valkey]:
    """Yield a client of an empty Valkey."""
    with Valkey.from_url(valkey_url) as client:
        yield client


@pytest.fixture
async def counts(valkey_url: str) -> AsyncIterator[CountersHandler]:
    """Yield counters in the empty Valkey, whose position is 0."""
    made = counting(valkey_url)
    await made.store_first_position(P0, Position(0))
    yield made
    await made.close()


@pytest.fixture(scope="module", params=sorted(FOLDERS))
def postgres_version(request: pytest.FixtureRequest) -> int:
    """Return each version of PostgreSQL that is installed."""
    version: int = request.param
    return version


@pytest.fixture(scope="module")
def server_of_version(
    postgres_version: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EmbeddedPostgres]:
    """Yield a server of each version, which only the tests of one file use."""
    directory = tmp_path_factory.mktemp(f"postgres-{postgres_version}")
    with child.running(EmbeddedPostgres(directory, postgres_version)) as server:
        yield server
