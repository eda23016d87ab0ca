"""Fixtures that several tests of sinks share."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import psycopg
import pytest
from support.sql_database import SqlDatabase


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
