"""Faults of PostgreSQL: sync waits and goes on; only a refused row becomes a dead letter."""

import asyncio
import contextlib
import json
import os
import random
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from support.builders import P0, a_body, a_stored_batch, a_stored_record, all_rejected
from support.kafka.tcp_proxy import Network, tcp_proxy
from support.own_disk import mounted_disk, own_disk

from consumers.runtime.batch import Batch, Position
from consumers.runtime.handler import PositionDiffers, Rejected, TookTooLong, Unavailable
from consumers.sync.database import DatabaseHandler
from ops.demo.embedded import child
from ops.demo.embedded.postgres import EmbeddedPostgres
from schemas.setting import Secret

DISK_BYTES = 2 << 20
ROWS = 20
WAIT_S = 180


class Delivered:
    """Delivers one batch after the other as the runtime does, and notes what happened."""

    def __init__(self, database: DatabaseHandler) -> None:
        self.database = database
        self.dead_letters: list[int] = []
        self.unavailable: list[str] = []
        self.next_offset = 0

    async def batch(self, size: int = ROWS) -> None:
        """Deliver the next records until they are applied."""
        first, self.next_offset = self.next_offset, self.next_offset + size
        records = [a_stored_record(at) for at in range(first, self.next_offset)]
        await self.deliver(a_stored_batch(*records))

    async def deliver(self, batch: Batch) -> None:
        """Deliver a batch until it is applied: again, in halves, or without a rejected record."""
        async with asyncio.timeout(WAIT_S):
            while True:
                try:
                    await self.database.handle(batch)
                except TookTooLong as error:
                    self.unavailable.append(str(error))
                    if len(batch.records) > 1:
                        await self.in_halves(batch)
                        return
                except Unavailable as error:
                    self.unavailable.append(str(error))
                    await asyncio.sleep(0.05)
                except PositionDiffers as differs:
                    # Only an answer was lost: the batch was written.
                    assert differs.next_offset == batch.next_offset  # noqa: PT017 - no raise expected
                    return
                except Rejected:
                    if len(batch.records) == 1:
                        self.dead_letters.append(batch.records[0].offset)
                        batch = all_rejected(batch)
                        continue
                    await self.in_halves(batch)
                    return
                else:
                    return

    async def in_halves(self, batch: Batch) -> None:
        """Deliver the halves of a batch, one after the other."""
        half = len(batch.records) // 2
        await self.deliver(a_stored_batch(*batch.records[:half]))
        await self.deliver(a_stored_batch(*batch.records[half:]))

    async def until_unavailable(self, says: str) -> None:
        """Return once an attempt failed with a text that contains `says`."""
        async with asyncio.timeout(WAIT_S):
            while not any(says in text for text in self.unavailable):  # noqa: ASYNC110 - the server
                await asyncio.sleep(0.02)

    def check(self, conninfo: str) -> None:
        """Check that every record is there once, and nothing in the dead-letter topic."""
        assert self.dead_letters == []
        with psycopg.connect(conninfo) as connection:
            for table in ("receipts", "messages"):
                query = f"select count(*), count(distinct ce_id) from hookline.{table}"  # noqa: S608 - a constant
                counts = connection.execute(query.encode()).fetchone()
                assert counts == (self.next_offset, self.next_offset)


@asynccontextmanager
async def delivering(conninfo: str) -> AsyncIterator[Delivered]:
    """Yield a database with the position after a first batch."""
    database = DatabaseHandler(Secret(conninfo))
    await database.store_first_position(P0, Position(0))
    delivered = Delivered(database)
    await delivered.batch()
    try:
        yield delivered
    finally:
        await database.close()


@asynccontextmanager
async def during(delivered: Delivered, says: str) -> AsyncIterator[None]:
    """Deliver a batch while the caller causes a fault, which is over once an attempt has failed."""
    task = asyncio.create_task(delivered.batch())
    await delivered.until_unavailable(says)
    yield
    await task


def of_database(conninfo: str, setting: str) -> None:
    """Change a setting of the database, for connections that begin now."""
    name = conninfo_to_dict(conninfo)["dbname"]
    with psycopg.connect(conninfo) as connection:
        connection.execute("set transaction read write")
        connection.execute(f"alter database {name} {setting}".encode())


async def test_a_deadlock_with_another_program(conninfo: str) -> None:
    """Sync is the victim: its statement is rolled back, and written again."""
    async with delivering(conninfo) as delivered:
        of_database(conninfo, "set deadlock_timeout = '100ms'")
        await delivered.database.close()
        with psycopg.connect(conninfo) as other:
            other.execute("set deadlock_timeout = '60s'")
            record = a_stored_record(delivered.next_offset)
            ce_id = dict(record.headers)["ce_id"].decode()
            other.execute("insert into hookline.receipts values ('x', 1, 'x', now())")
            other.execute(
                "insert into hookline.messages (ce_id, sdkappid, command, received_at, body,"
                " altered, body_sha256) values (%s, '', '', now(), '{}', false, '')",
                (ce_id,),
            )
            task = asyncio.create_task(delivered.batch())
            await waits_for_lock(conninfo)
            await asyncio.to_thread(other.execute, "update hookline.positions set partition = 0")
            other.rollback()
        await task
        assert any("deadlock detected" in text for text in delivered.unavailable)
        delivered.check(conninfo)


async def waits_for_lock(conninfo: str) -> None:
    """Return once a statement of sync waits for a lock."""
    waiting = (
        "select from pg_stat_activity where application_name = 'hookline-sync'"
        " and datname = current_database() and wait_event_type = 'Lock'"
    )
    with psycopg.connect(conninfo, autocommit=True) as connection:
        async with asyncio.timeout(WAIT_S):
            while not connection.execute(waiting).fetchall():  # noqa: ASYNC110 - the server
                await asyncio.sleep(0.02)


async def test_a_serialization_failure(conninfo: str) -> None:
    """An owner made all transactions serializable; another one changed the position meanwhile."""
    async with delivering(conninfo) as delivered:
        of_database(conninfo, "set default_transaction_isolation = 'repeatable read'")
        await delivered.database.close()
        with psycopg.connect(conninfo) as other:
            other.execute("update hookline.positions set partition = 0")
            task = asyncio.create_task(delivered.batch())
            await waits_for_lock(conninfo)
            other.commit()
        await task
        assert any("could not serialize" in text for text in delivered.unavailable)
        delivered.check(conninfo)


async def test_an_analyst_locks_the_table(conninfo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The batch is not halved, because it is not too large: it waits for the lock."""
    monkeypatch.setattr("consumers.sync.database.LOCK_TIMEOUT_S", 1)
    async with delivering(conninfo) as delivered:
        await delivered.database.close()
        with psycopg.connect(conninfo) as analyst:
            analyst.execute("lock table hookline.messages in access exclusive mode")
            async with during(delivered, "lock timeout"):
                analyst.rollback()
        delivered.check(conninfo)


async def test_a_statement_that_is_cancelled(
    conninfo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch that is too slow is written in parts, and a part of one record again and again."""
    monkeypatch.setattr("consumers.sync.database.STATEMENT_TIMEOUT_S", 1)
    async with delivering(conninfo) as delivered:
        await delivered.database.close()
        with psycopg.connect(conninfo) as connection:
            connection.execute(
                "create function act() returns trigger language plpgsql as"
                " $$ begin perform pg_sleep(2); return new; end $$;"
                " create trigger act before insert on hookline.messages"
                " for each row execute function act()"
            )
        async with during(delivered, "statement timeout"):
            with psycopg.connect(conninfo) as connection:
                connection.execute("drop trigger act on hookline.messages")
        delivered.check(conninfo)


async def test_a_server_that_shuts_its_connections_down(conninfo: str) -> None:
    """As at a restart or a failover, in the middle of a statement and between two."""
    async with delivering(conninfo) as delivered:
        with psycopg.connect(conninfo, autocommit=True) as other:
            for _ in range(3):
                with other.transaction():
                    other.execute("lock table hookline.messages in access exclusive mode")
                    task = asyncio.create_task(delivered.batch())
                    await waits_for_lock(conninfo)
                    other.execute(
                        "select pg_terminate_backend(pid) from pg_stat_activity"
                        " where application_name = 'hookline-sync'"
                        " and datname = current_database()"
                    )
                    await delivered.until_unavailable("terminating connection")
                await task
        delivered.check(conninfo)


async def test_connections_that_are_reset(conninfo: str) -> None:
    """By a firewall, for example; new ones are refused for a while."""
    port = str(conninfo_to_dict(conninfo)["port"])
    async with (
        tcp_proxy(int(port)) as proxy,
        delivering(conninfo.replace(f":{port}", f":{proxy.port}")) as delivered,
    ):
        proxy.becomes(Network.REFUSES)
        async with during(delivered, "PostgreSQL"):
            proxy.becomes(Network.WORKS)
        delivered.check(conninfo)


async def test_a_database_that_is_read_only(conninfo: str) -> None:
    """A person made it so; existing connections and new ones."""
    async with delivering(conninfo) as delivered:
        of_database(conninfo, "set default_transaction_read_only to on")
        await delivered.database.close()
        async with during(delivered, "read-only transaction"):
            of_database(conninfo, "reset default_transaction_read_only")
        delivered.check(conninfo)


class Servers(EmbeddedPostgres):
    """A server of a test's own, and a standby of it."""

    def standby(self, directory: Path) -> "Servers":
        """Return a server that is not started yet and follows this one."""
        made = Servers(directory)
        made.data.mkdir(parents=True, mode=0o700)
        if os.geteuid() == 0:
            os.chown(made.data, child.NOBODY, child.NOBODY)
        copied = self._child(
            *("pg_basebackup", "-d", self.conninfo, "-D", made.data, "-R", "-c", "fast"),
            *("-X", "stream"),
        )
        assert copied.wait(180) == 0, self.log.read_text()
        return made


async def test_a_failover_to_a_standby(tmp_path: Path) -> None:
    """The standby refuses writes until it is promoted. Its position came with its rows."""
    with (
        child.running(Servers(tmp_path / "first")) as first,
        child.running(first.standby(tmp_path / "second")) as second,
    ):
        both = (
            f"host=127.0.0.1,127.0.0.1 port={first.port},{second.port} user=hookline"
            " dbname=postgres connect_timeout=2"
        )
        async with delivering(both) as delivered:
            await caught_up(second, delivered.next_offset)
            first.kill()
            async with during(delivered, "read-only transaction"):
                with psycopg.connect(second.conninfo, autocommit=True) as connection:
                    connection.execute("select pg_promote()")
            delivered.check(second.conninfo)


async def caught_up(standby: EmbeddedPostgres, rows: int) -> None:
    """Return once a standby has all rows."""
    async with asyncio.timeout(WAIT_S):
        while True:
            with (
                contextlib.suppress(psycopg.errors.UndefinedTable),
                psycopg.connect(standby.conninfo) as connection,
            ):
                receipt_count = connection.execute(
                    "select count(*) from hookline.receipts"
                ).fetchone()
                if receipt_count == (rows,):
                    return
            await asyncio.sleep(0.05)


async def test_a_server_without_a_free_connection(tmp_path: Path) -> None:
    """Other programs have them all; sync connects once one is free."""
    with child.running(EmbeddedPostgres(tmp_path / "postgres")) as server:
        async with delivering(server.conninfo) as delivered:
            await delivered.database.close()
            with contextlib.ExitStack() as others:
                with contextlib.suppress(psycopg.OperationalError):
                    while True:
                        opened = psycopg.connect(server.conninfo)
                        others.callback(opened.close)
                async with during(delivered, "too many clients"):
                    others.close()
            delivered.check(server.conninfo)


class OnSmallDisk(EmbeddedPostgres):
    """A server that sees a small disk at a folder."""

    disk: Path

    def _child(self, program: str, *arguments: str | Path) -> subprocess.Popen[bytes]:
        """Start a program that sees the disk, as the user to whom the disk belongs."""
        # PostgreSQL does not run as root, not even as the root of a user namespace.
        if os.geteuid() == 0:
            owner, as_owner = child.NOBODY, [str(shutil.which("setpriv")), *self._options]
        else:
            # The namespace's root is this user.
            own_ids = f"--map-user={os.geteuid()}", f"--map-group={os.getegid()}"
            owner, as_owner = 0, [str(shutil.which("unshare")), *own_ids]
        return child.start(
            [
                *own_disk(self.disk, DISK_BYTES, owner),
                *(*as_owner, self._programs / program, *arguments),
            ],
            log=self.log,
        )


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[OnSmallDisk]:
    """Yield a server with a tablespace `small`, on a disk of 2 MiB."""
    server = OnSmallDisk(tmp_path / "postgres")
    server.disk = mounted_disk(tmp_path)
    with child.running(server):
        with psycopg.connect(server.conninfo, autocommit=True) as connection:
            connection.execute(f"create tablespace small location '{server.disk}'".encode())
        yield server


async def test_a_full_disk(small_disk: OnSmallDisk) -> None:
    """The rows are written once there is space again."""
    chance = random.Random(1)  # noqa: S311 - no secret
    async with delivering(small_disk.conninfo) as delivered:
        with psycopg.connect(small_disk.conninfo) as connection:
            connection.execute("alter table hookline.messages set tablespace small")
        bodies = [
            a_body(MsgKey=f"big {at}", CloudCustomData=json.dumps(chance.randbytes(50_000).hex()))
            for at in range(60)
        ]
        first, delivered.next_offset = delivered.next_offset, delivered.next_offset + len(bodies)
        records = [a_stored_record(first + at, each) for at, each in enumerate(bodies)]
        task = asyncio.create_task(delivered.deliver(a_stored_batch(*records)))
        await delivered.until_unavailable("No space left on device")
        with psycopg.connect(small_disk.conninfo) as connection:
            connection.execute("set lock_timeout = '20s'")
            connection.execute("alter table hookline.messages set tablespace pg_default")
        await task
        delivered.check(small_disk.conninfo)


async def test_one_refused_row_of_a_thousand_is_the_only_dead_letter(conninfo: str) -> None:
    """PostgreSQL does not name it, so the batch is halved until it is alone."""
    async with delivering(conninfo) as delivered:
        with psycopg.connect(conninfo) as connection:
            connection.execute("alter table hookline.messages add check (message_key <> 'key-777')")
        await delivered.batch(1000)
        assert (delivered.dead_letters, delivered.unavailable) == ([777], [])
        with psycopg.connect(conninfo) as connection:
            receipt_count = connection.execute("select count(*) from hookline.receipts").fetchone()
        assert receipt_count == (delivered.next_offset - 1,)
