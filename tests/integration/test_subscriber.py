"""The example as another team uses it: its own directory, a real Kafka, SIGKILL."""

import asyncio
import random
import secrets
import shutil
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.structs import ConsumerRecord, RecordMetadata
from support.builders import a_body, a_callback
from support.kafka.admin import admin_client
from support.kafka.parts import Pipe, in_topic
from support.processes.example import Example

from ops.demo.embedded.child import free_port
from ops.demo.embedded.kafka import EmbeddedKafka
from schemas.outgoing_record import OutgoingRecord, main_topic_record
from schemas.topics import CALLBACKS, DEAD_LETTERS

RECORDS_OF_EACH = 1_000
DAY_MS = 24 * 3600 * 1000
APPS = ("1400000001", "1400000002")
COMMANDS = ("C2C.CallbackAfterSendMsg", "Group.CallbackAfterSendMsg", "State.StateChange")
Days = Counter[tuple[str, str, str]]


class Subscriber:
    """A copy of the example's directory, and its process."""

    def __init__(self, folder: Path, bootstrap_servers: str) -> None:
        port = free_port()
        here = {"127.0.0.1:9094": bootstrap_servers, "8092": str(port)}
        program = Example("subscriber", "subscriber.py", folder, here)
        self.file, self.log, self.start = folder / "days.db", program.log, program.start
        self.admin = f"http://127.0.0.1:{port}"

    async def run_until(self, count: int, **variables: str) -> None:
        """Run it until it has counted so many, then stop it by SIGTERM."""
        process = await self.start(**variables)
        try:
            await self.has(count)
        finally:
            process.terminate()
            code = await asyncio.wait_for(process.wait(), 180)
        assert code == 0, self.log.read_text()

    def counted(self) -> Days:
        """Return the counts in its file."""
        with closing(sqlite3.connect(self.file, timeout=180)) as connection:
            if not connection.execute("select 1 from sqlite_master where name = 'days'").fetchone():
                return Counter()
            rows = connection.execute("select day, app, command, callbacks from days")
            return Counter(
                {(day, app, command): callbacks for day, app, command, callbacks in rows}
            )

    async def has(self, count: int) -> None:
        """Return when it has counted so many."""
        async with asyncio.timeout(180):
            while self.counted().total() < count:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.01)


def callbacks(count: int, chance: random.Random) -> tuple[list[OutgoingRecord], Days]:
    """Return records of callbacks, and their number by day, app and command."""
    records, days = [], Counter[tuple[str, str, str]]()
    for number in range(count):
        at_ms = 1_700_000_000_000 + chance.randrange(3) * DAY_MS
        app, command = chance.choice(APPS), chance.choice(COMMANDS)
        body = a_body(
            CallbackCommand=command, MsgKey=f"{number}", From_Account=f"user{number % 40}"
        )
        records.append(main_topic_record(a_callback(body, sdkappid=app, received_at_ms=at_ms)))
        days[f"{datetime.fromtimestamp(at_ms / 1000, UTC):%F}", app, command] += 1
    return records, days


@pytest.mark.timeout(600)
async def test_the_example_counts_every_callback_once_over_kill_9(
    empty_kafka: EmbeddedKafka, tmp_path: Path, scaled: Callable[..., int]
) -> None:
    """The process is killed while it counts; in the end it has counted all that was sent."""
    kills = scaled(2, at_most=20)
    seed = secrets.randbits(32)
    print(f"seed {seed}")  # noqa: T201 - to repeat a red run
    chance = random.Random(seed)  # noqa: S311 - no secret
    records, sent = callbacks((kills + 1) * RECORDS_OF_EACH, chance)
    subscriber = Subscriber(tmp_path / "subscriber", empty_kafka.address)
    with closing(Pipe(empty_kafka.address, tmp_path / "spool")) as pipe:
        process = await subscriber.start()
        try:
            for life in range(kills + 1):
                await pipe.store(records[life * RECORDS_OF_EACH : (life + 1) * RECORDS_OF_EACH])
                await pipe.forward()
                if life == kills:
                    break
                await subscriber.has(life * RECORDS_OF_EACH + chance.randrange(1, RECORDS_OF_EACH))
                await asyncio.sleep(chance.random() * 0.05)
                process.kill()
                assert await process.wait() == -signal.SIGKILL
                process = await subscriber.start()
            await subscriber.has(len(records))
            await a_record_that_is_none_becomes_a_dead_letter(empty_kafka.address)
            # Records after it are counted in all partitions.
            more, sent_more = callbacks(200, chance)
            await pipe.store(more)
            await pipe.forward()
            await subscriber.has(len(records) + len(more))
            process.terminate()
            assert await asyncio.wait_for(process.wait(), 180) == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
    assert subscriber.counted() == sent + sent_more


@pytest.mark.timeout(600)
async def test_a_file_that_is_gone_stops_the_example_and_an_older_one_is_completed(
    empty_kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    """As its README says; rebuilt from Kafka it has the same counts."""
    records, sent = callbacks(400, random.Random(1))  # noqa: S311 - no secret
    subscriber = Subscriber(tmp_path / "subscriber", empty_kafka.address)
    older = tmp_path / "older.db"
    with closing(Pipe(empty_kafka.address, tmp_path / "spool")) as pipe:
        await pipe.store(records[:100])
        await pipe.forward()
        await subscriber.run_until(100)
        shutil.copy(subscriber.file, older)
        await pipe.store(records[100:])
        await pipe.forward()
        await subscriber.run_until(400)
    subscriber.file.unlink()
    process = await subscriber.start()
    try:
        async with asyncio.timeout(180):
            readyz = f"{subscriber.admin}/readyz"
            while "has nothing of" not in await said(readyz):  # noqa: ASYNC110 - polled
                await asyncio.sleep(0.1)
    finally:
        process.terminate()
        code = await asyncio.wait_for(process.wait(), 180)
    assert code == 1
    assert "CONSUMER_REBUILD=true" in subscriber.log.read_text().splitlines()[-1]
    await subscriber.run_until(400, CONSUMER_REBUILD="true")
    assert subscriber.counted() == sent
    shutil.copy(older, subscriber.file)
    await subscriber.run_until(400)
    assert subscriber.counted() == sent


@pytest.mark.timeout(600)
async def test_a_run_of_bad_records_has_the_example_wait_for_a_person(
    empty_kafka: EmbeddedKafka, tmp_path: Path
) -> None:
    """It leaves its group and rejects no more; a restart rejects as many again."""
    subscriber = Subscriber(tmp_path / "subscriber", empty_kafka.address)
    for _ in range(5):
        await produce_a_bad_record(empty_kafka.address)
    for life in (1, 2):
        process = await subscriber.start(CONSUMER_DEAD_LETTERS_MAX="2")
        try:
            async with asyncio.timeout(180):
                metrics = f"{subscriber.admin}/metrics"
                while "consumer_braked 1.0" not in await said(metrics):  # noqa: ASYNC110 - polled
                    await asyncio.sleep(0.1)
                while await members(empty_kafka.address):  # noqa: ASYNC110 - polled
                    await asyncio.sleep(0.1)
            assert await said(f"{subscriber.admin}/livez") == "the event loop runs\n"
        finally:
            process.terminate()
            code = await asyncio.wait_for(process.wait(), 180)
        assert code == 1
        assert "CONSUMER_DEAD_LETTERS_MAX" in subscriber.log.read_text().splitlines()[-1]
        assert len(await in_topic(empty_kafka.address, None, DEAD_LETTERS.name)) == 2 * life


async def said(url: str) -> str:
    """Return the body of an HTTP answer, or "" if there is no server."""
    try:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return await response.text()
    except aiohttp.ClientError:
        return ""


async def members(bootstrap_servers: str) -> int:
    """Return how many members the example's group has."""
    async with admin_client(bootstrap_servers) as admin:
        described: Any = (await admin.describe_consumer_groups(["subscriber"]))[0]
        return len(described.groups[0][5])


async def produce_a_bad_record(bootstrap_servers: str) -> RecordMetadata:
    """Append a record that no ingress wrote."""
    async with AIOKafkaProducer(bootstrap_servers=bootstrap_servers) as producer:
        placed: RecordMetadata = await producer.send_and_wait(
            CALLBACKS.name, b"no callback", key=b"key", headers=[("mine", b"1")], partition=0
        )
        return placed


async def a_record_that_is_none_becomes_a_dead_letter(bootstrap_servers: str) -> None:
    """Assert that such a record becomes a dead letter with its error, place and times."""
    before_ms = time.time_ns() // 1_000_000
    bad = await produce_a_bad_record(bootstrap_servers)
    letters: list[ConsumerRecord[bytes, bytes]] = []
    async with asyncio.timeout(180):
        while not letters:
            letters = await in_topic(bootstrap_servers, None, DEAD_LETTERS.name)
    (letter,) = letters
    headers = {name: value.decode() for name, value in letter.headers}
    first_ms, last_ms = (
        int(headers.pop(f"hookline.errors.{at}_failed_at_ms")) for at in ("first", "last")
    )
    assert before_ms <= first_ms <= last_ms <= time.time_ns() // 1_000_000
    assert (letter.key, letter.value) == (b"key", b"no callback")
    assert headers == {
        "mine": "1",
        "__connect.errors.topic": CALLBACKS.name,
        "__connect.errors.partition": "0",
        "__connect.errors.offset": str(bad.offset),
        "__connect.errors.connector.name": "subscriber",
        "__connect.errors.stage": "TASK_PUT",
        "__connect.errors.exception.class.name": "NotACallback",
        "__connect.errors.exception.message": "the header ce_id is missing or empty",
        "hookline.errors.attempts": "1",
        "hookline.errors.group": "subscriber",
    }
