"""The running consumer maintains its tables while it writes."""

import asyncio
import logging
from collections.abc import Callable

import psycopg
import pytest
from support.builders import P0, a_stored_batch, a_stored_record
from support.kafka.tcp_proxy import Network, tcp_proxy

from consumers.runtime.batch import Position
from consumers.sync import maintenance
from consumers.sync.consumer import SYNC, SyncSettings
from schemas.setting import Secret

INDEXES = "select count(*) from pg_indexes where schemaname = 'hookline' and indexname = any(%s)"


async def until(holds: Callable[[], bool]) -> None:
    """Return once the condition holds."""
    async with asyncio.timeout(180):
        while not holds():  # noqa: ASYNC110 - the server
            await asyncio.sleep(0.05)


def has_all_indexes(conninfo: str) -> bool:
    """Return whether each index is there."""
    with psycopg.connect(conninfo) as connection:
        valid_count = connection.execute(INDEXES, (list(maintenance.INDEXES),)).fetchone()
    return valid_count == (len(maintenance.INDEXES),)


async def test_a_consumer_builds_the_indexes_while_it_writes(conninfo: str) -> None:
    """It stops at once, without an open connection."""
    async with SYNC.open(SyncSettings(postgres=Secret(conninfo))) as (handler, _):
        await handler.store_first_position(P0, Position(0))
        offset = 0
        while not has_all_indexes(conninfo):
            await handler.handle(a_stored_batch(a_stored_record(offset)))
            offset += 1
        await handler.handle(a_stored_batch(a_stored_record(offset)))
    with psycopg.connect(conninfo) as connection:
        opened = "select from pg_stat_activity where application_name like 'hookline-sync%'"
        mine = f"{opened} and datname = current_database()"
        await until(lambda: not connection.execute(mine.encode()).fetchall())


async def test_the_maintenance_is_tried_again_after_a_failure(
    conninfo: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The database is away at first, and a bug stops nothing."""
    monkeypatch.setattr(maintenance, "INTERVAL_S", 0.05)
    port = str(psycopg.conninfo.conninfo_to_dict(conninfo)["port"])
    async with tcp_proxy(int(port)) as proxy:
        proxy.becomes(Network.REFUSES)
        through_proxy = conninfo.replace(f":{port}", f":{proxy.port}")
        async with SYNC.open(SyncSettings(postgres=Secret(through_proxy))):
            await until(lambda: "is tried again" in caplog.text)
            with monkeypatch.context() as broken:
                broken.setattr(maintenance, "connect", None)
                await until(lambda: "TypeError" in caplog.text)
            proxy.becomes(Network.WORKS)
            await until(lambda: has_all_indexes(conninfo))


async def test_a_user_who_does_not_own_the_tables_writes_all_the_same(
    conninfo: str, caplog: pytest.LogCaptureFixture
) -> None:
    """The log names the right that the maintenance lacks, once in an hour."""
    caplog.set_level(logging.INFO)
    with psycopg.connect(conninfo, autocommit=True) as connection:
        role = connection.info.dbname
        async with SYNC.open(SyncSettings(postgres=Secret(conninfo))) as (handler, _):
            await handler.store_first_position(P0, Position(0))
            await until(lambda: has_all_indexes(conninfo))
        for statement in (
            f"create role {role} login",
            f"grant usage on schema hookline to {role}",
            f"grant select, insert, update on all tables in schema hookline to {role}",
            "drop index hookline.messages_group",
        ):
            connection.execute(statement.encode())
    other = conninfo.replace("hookline@", f"{role}@")
    async with SYNC.open(SyncSettings(postgres=Secret(other))) as (handler, _):
        await until(lambda: "lacks a right" in caplog.text)
        await handler.handle(a_stored_batch(a_stored_record(0)))
    assert not has_all_indexes(conninfo)
