"""Kafka Connect, configured as docs/stores.md shows, writes to PostgreSQL over SIGKILL."""

import asyncio
import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from aiokafka import AIOKafkaProducer
from support.builders import a_body, a_callback
from support.connect.worker import ConnectWorker
from support.docs_blocks import the_block
from support.kafka.parts import Pipe, in_topic, many

from ops.demo.embedded import child
from ops.demo.embedded.kafka import EmbeddedKafka
from ops.demo.embedded.postgres import EmbeddedPostgres
from schemas.outgoing_record import main_topic_record
from schemas.topics import CALLBACKS

RECORDS = 1_000
# PostgreSQL's jsonb cannot hold this body. The request's URL had neither ClientIP nor OptPlatform.
ODD = a_callback(
    b'\xef\xbb\xbf{"CallbackCommand": "X.Y", "text": "\\ud800 \\u0000"}',
    client_ip="",
    opt_platform="",
)


def rows(postgres: EmbeddedPostgres, query: str) -> list[Any]:
    """Return the rows of a query."""
    with psycopg.connect(postgres.conninfo) as connection:
        return connection.execute(query.encode()).fetchall()


async def until(holds: Callable[[], bool], worker: ConnectWorker) -> None:
    """Return once `holds`; fail if the worker ends before that."""
    async with asyncio.timeout(300):
        while not holds():
            assert worker.process is not None
            assert worker.process.poll() is None, worker.log.read_text()[-5000:]
            await asyncio.sleep(0.05)


async def abort_a_record(bootstrap_servers: str) -> None:
    """Leave a record of an aborted transaction in the topic."""
    async with AIOKafkaProducer(
        bootstrap_servers=bootstrap_servers, transactional_id="aborted"
    ) as producer:
        await producer.begin_transaction()
        headers = [("ce_id", b"aborted"), ("ce_type", b"X.Y")]
        await producer.send_and_wait(CALLBACKS.name, b"{}", partition=0, headers=headers)
        await producer.abort_transaction()


def copies(records: list[Any]) -> set[tuple[str, ...]]:
    """Return what the table must have of the records of the topic."""
    wanted = set()
    for record in records:
        headers = {name: value.decode() for name, value in record.headers}
        names = ("ce_id", "ce_sdkappid", "ce_type", "ce_clientip", "ce_optplatform")
        wanted.add((*(headers.get(name) for name in names), record.value))
    return wanted


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_connect_writes_every_event_once_over_kill_9(
    own_kafka: EmbeddedKafka, tmp_path: Path, say: Callable[[str], None]
) -> None:
    """Repeats, and records that are written again after the kill, do not make a second row."""
    with (
        child.running(EmbeddedPostgres(tmp_path / "postgres")) as postgres,
        closing(Pipe(own_kafka.address, tmp_path / "spool")) as pipe,
    ):
        with psycopg.connect(postgres.conninfo) as connection:
            connection.execute(the_block("body bytea", "sql").encode())
        await abort_a_record(own_kafka.address)
        records = [*many(RECORDS), main_topic_record(ODD)]
        await pipe.store(records[: RECORDS // 2])
        await pipe.forward()
        worker = ConnectWorker(
            tmp_path / "connect", bootstrap_servers=own_kafka.address, postgres_port=postgres.port
        )

        def written() -> int:
            return int(rows(postgres, "select count(*) from callbacks")[0][0])

        with child.running(worker):
            await until(lambda: written() > 0, worker)
            worker.kill()
            before = written()
            # The last ones are repeats: the same ce_id at another place.
            await pipe.store([*records[RECORDS // 2 :], *records[:50]])
            await pipe.forward()
            worker.start()
            await until(lambda: written() == RECORDS + 1, worker)
            assert set(worker.states()) == {"RUNNING"}
        again = rows(postgres, "select count(*) from callbacks where xmax <> '0'")[0][0]
        say(f"{before} rows when killed, {again} rows written again")
        copied = rows(
            postgres, "select ce_id, app, command, client_ip, platform, body from callbacks"
        )
        assert set(copied) == copies(await in_topic(own_kafka.address, None))
        query = "select convert_from(body, 'utf8'), received_at from callbacks"
        ((text, received),) = rows(postgres, f"{query} where command = 'X.Y'")
        assert json.loads(text.removeprefix("\ufeff"))["text"] == "\ud800 \0"
        assert round(received.timestamp() * 1000) == ODD.received_at_ms


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_a_row_that_postgresql_refuses_stops_a_task_of_connect(
    own_kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    """It stays failed; restarted after the cause was removed, it writes every row."""
    with (
        child.running(EmbeddedPostgres(tmp_path / "postgres")) as postgres,
        closing(Pipe(own_kafka.address, tmp_path / "spool")) as pipe,
    ):
        with psycopg.connect(postgres.conninfo) as connection:
            connection.execute(the_block("body bytea", "sql").encode())
            connection.execute("alter table callbacks add check (command <> 'X.Y')")
        await pipe.store([main_topic_record(ODD), main_topic_record(a_callback(a_body()))])
        await pipe.forward()
        worker = ConnectWorker(
            tmp_path / "connect", bootstrap_servers=own_kafka.address, postgres_port=postgres.port
        )
        with child.running(worker):
            await until(lambda: "FAILED" in worker.states(), worker)
            with psycopg.connect(postgres.conninfo) as connection:
                connection.execute("alter table callbacks drop constraint callbacks_command_check")
            worker.restart_failed_tasks()
            await until(lambda: rows(postgres, "select count(*) from callbacks") == [(2,)], worker)
