"""Every sink keeps the contract that authors of consumers test, too."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import psycopg
import pytest
from support.counting import counting
from support.fakes import MemorySink

from consumers.archive.consumer import ArchiveHandler
from consumers.archive.store import open_store
from consumers.counters.server import connect
from consumers.runtime import Batch, Opened, sql_sink
from consumers.runtime.handler_checks import CHECKS, StoreUnderTest
from consumers.stats.store import StoredCounts
from consumers.stats.totals import totals
from consumers.sync.database import DatabaseHandler
from schemas.setting import Secret


@asynccontextmanager
async def memory(_: pytest.FixtureRequest) -> AsyncIterator[StoreUnderTest]:
    """Yield two members of the sink in memory that unit tests use."""
    applied = MemorySink()

    async def effects() -> int:
        return sum(map(len, applied.applied.values()))

    yield StoreUnderTest(applied, applied, effects)


@asynccontextmanager
async def archive(request: pytest.FixtureRequest) -> AsyncIterator[StoreUnderTest]:
    """Yield two members that write to one directory."""
    store = open_store(str(request.getfixturevalue("tmp_path")), create_directory=True)

    async def effects() -> int:
        names = [name for each in await store.partitions() for name in await store.names(each)]
        return sum([(await store.summary(name)).records for name in names])

    yield StoreUnderTest(ArchiveHandler(store), ArchiveHandler(store), effects)


@asynccontextmanager
async def sync(request: pytest.FixtureRequest) -> AsyncIterator[StoreUnderTest]:
    """Yield two members that sync to one PostgreSQL."""
    conninfo = request.getfixturevalue("conninfo")
    async with AsyncExitStack() as opened:
        databases = [DatabaseHandler(Secret(conninfo)) for _ in range(2)]
        for database in databases:
            opened.push_async_callback(database.close)
        yield StoreUnderTest(
            databases[0], databases[1], partial(in_postgres, conninfo, "hookline.receipts")
        )


@asynccontextmanager
async def counters(request: pytest.FixtureRequest) -> AsyncIterator[StoreUnderTest]:
    """Yield two members that count in one Valkey."""
    url = Secret(request.getfixturevalue("valkey_url"))
    async with AsyncExitStack() as opened:
        counts = [counting(url) for _ in range(2)]
        valkey = connect(url)
        for close in (*(each.close for each in counts), valkey.aclose):
            opened.push_async_callback(close)

        async def effects() -> int:
            stored = StoredCounts(valkey)
            origins = (await totals(stored, await stored.catalog())).origins
            return sum(each.applied for parts in origins.values() for each in parts.values())

        yield StoreUnderTest(counts[0], counts[1], effects)


@asynccontextmanager
async def sql_in_postgres(request: pytest.FixtureRequest) -> AsyncIterator[StoreUnderTest]:
    """Yield two members that write by `sql_sink` to one PostgreSQL."""
    conninfo = request.getfixturevalue("conninfo")

    def apply(cursor: psycopg.Cursor, batch: Batch) -> None:
        cursor.executemany("insert into seen values (%s)", [(r.offset,) for r in batch.records])

    def opened() -> Opened:
        connects = partial(psycopg.connect, conninfo)
        tables = ["create table if not exists seen (record bigint)"]
        return sql_sink("seen", psycopg, connects, apply, tables=tables)

    async with opened() as (handler, _), opened() as (rival, _):
        yield StoreUnderTest(handler, rival, partial(in_postgres, conninfo, "seen"))


async def in_postgres(conninfo: str, table: str) -> int:
    """Return how many rows a table has."""
    with psycopg.connect(conninfo) as connection:
        return len(connection.execute(f"table {table}".encode()).fetchall())


STORES = (memory, archive, sync, counters, sql_in_postgres)


@pytest.fixture(params=STORES, ids=lambda opened: opened.__name__)
async def store(request: pytest.FixtureRequest) -> AsyncIterator[StoreUnderTest]:
    """Yield an empty store."""
    async with request.param(request) as made:
        yield made


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
async def test_every_sink_keeps_the_contract(
    store: StoreUnderTest, check: Callable[[StoreUnderTest], Awaitable[None]]
) -> None:
    """The docstrings in `consumers/runtime/handler_checks.py` state the facts."""
    await check(store)
