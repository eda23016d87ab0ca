"""A topic that changes under three running consumers, and the contents of their sinks."""

import asyncio
import contextlib
import shutil
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewPartitions
from support.archive.reader import SUFFIX, read
from support.builders import a_body, a_callback
from support.kafka.access import plaintext
from support.kafka.admin import admin_client
from support.processes.consumer import Consumer
from support.processes.ingress import until
from valkey import Valkey

from ops.demo.embedded.kafka import EmbeddedKafka
from ops.topic_changes import apply_topics
from schemas.outgoing_record import main_topic_record, with_place_and_id
from schemas.topics import CALLBACKS

NAMES = ("archive", "sync", "counters")
# A consumer asks after 10 s without records. The bound is for a busy machine.
STOPPED_S_MAX = 180.0


async def produce(kafka: str, origin: str, count: int, *, first: int = 1) -> None:
    """Append `count` callbacks of an origin in transactions, as an ingress does."""
    async with AIOKafkaProducer(bootstrap_servers=kafka, transactional_id=origin) as producer:
        for begin in range(first, first + count, 50):
            async with producer.transaction():
                for sequence in range(begin, min(begin + 50, first + count)):
                    body = a_body(
                        MsgKey=f"{origin}-{sequence}", From_Account=f"user{sequence % 97}"
                    )
                    made = main_topic_record(a_callback(body))
                    await producer.send(
                        CALLBACKS.name,
                        made.value,
                        made.key,
                        headers=with_place_and_id(made.headers, origin, sequence),
                    )


async def recreate_topic(kafka: str) -> None:
    """Delete the topic and create it again immediately."""
    async with admin_client(kafka) as admin:
        await admin.delete_topics([CALLBACKS.name])
    done = await apply_topics(plaintext(kafka), body_bytes_max=1 << 20, replicas=1)
    assert f"{CALLBACKS.name}: created with {CALLBACKS.partitions} partitions" in done


def restore(kafka: EmbeddedKafka, copy: Path) -> None:
    """Kill the broker and start it again with a copy of its data."""
    kafka.kill()
    shutil.rmtree(kafka.data)
    shutil.copytree(copy, kafka.data)
    kafka.start()


async def add_partitions(kafka: str, count: int) -> None:
    """Increase the number of partitions of the topic to `count`."""
    async with admin_client(kafka) as admin:
        await admin.create_partitions({CALLBACKS.name: NewPartitions(count)})


def origins_in(archive: Path) -> Counter[str]:
    """Count the records of each origin in the segments below a directory."""
    return Counter(
        line["headers"]["ce_origin"]
        for path in archive.rglob(f"*{SUFFIX}")
        for line in read(str(path), path.read_bytes()).lines
    )


@dataclass
class Sinks:
    """The three sinks; a test may change `archive` to another directory."""

    archive: Path
    # A connection string and a URL.
    postgres: str
    valkey: str

    def held(self) -> dict[str, Counter[str]]:
        """Count the records of each origin in each sink; a doubled record counts twice."""
        return {
            "archive": origins_in(self.archive),
            "sync": self._sync(),
            "counters": self._counters(),
        }

    def partitions(self) -> set[int]:
        """Return the partitions that have records in every sink."""
        in_archive = {
            int(path.parent.name)
            for path in self.archive.rglob(f"*{SUFFIX}")
            if read(str(path), path.read_bytes()).lines
        }
        with psycopg.connect(self.postgres) as connection:
            rows = connection.execute(
                "select partition from hookline.positions where last_offset is not null"
            ).fetchall()
        with Valkey.from_url(self.valkey) as client:
            applied: dict[bytes, bytes] = client.execute_command("HGETALL", "hookline:1:applied")
        in_counts = {int(field.rpartition(b"/")[2]) for field in applied}
        return in_archive & {number for (number,) in rows} & in_counts

    def forget_positions(self) -> None:
        """Do as docs/runbook.md says where a topic was recreated."""
        with psycopg.connect(self.postgres) as connection:
            connection.execute("delete from hookline.positions")
        with Valkey.from_url(self.valkey) as client:
            client.delete("hookline:1:positions")

    def _sync(self) -> Counter[str]:
        with psycopg.connect(self.postgres) as connection:
            try:
                rows = connection.execute("select origin from hookline.receipts").fetchall()
            except (psycopg.errors.UndefinedTable, psycopg.errors.InvalidSchemaName):
                return Counter()  # the table does not exist yet
        return Counter(origin for (origin,) in rows)

    def _counters(self) -> Counter[str]:
        by_origin: Counter[str] = Counter()
        with Valkey.from_url(self.valkey) as client:
            applied: dict[bytes, bytes] = client.execute_command("HGETALL", "hookline:1:applied")
        for field, count in applied.items():
            by_origin[field.decode().split("/")[0]] += int(count)
        return by_origin


class Three:
    """Archive, sync and counters, each as a process."""

    def __init__(self, kafka: str, sinks: Sinks, directory: Path) -> None:
        self.sinks = sinks
        self._kafka = kafka
        self._directory = directory
        self._launched = 0
        self.members: dict[str, Consumer] = {}

    def launch(self, *, rebuild: bool = False) -> None:
        """Start the three processes."""
        self._launched += 1
        settings: dict[str, dict[str, object]] = {
            "archive": {"url": self.sinks.archive, "segment_age_s": 1},
            "sync": {"postgres": self.sinks.postgres},
            "counters": {"valkey": self.sinks.valkey},
        }
        for name in NAMES:
            log = self._directory / f"{name}-{self._launched}.log"
            env = {"CONSUMER_REBUILD": "true"} if rebuild else {}
            self.members[name] = Consumer(name, self._kafka, log, env=env, **settings[name])
            self.members[name].launch()

    async def until_held(self, expected: Counter[str], seconds: float = 180) -> float:
        """Return after how many seconds each sink held exactly `expected`."""

        def holds() -> bool:
            for name, member in self.members.items():
                assert member.runs, f"{name} ended: {member.log.read_text()[-2000:]}"
            return all(held == expected for held in self.sinks.held().values())

        try:
            return await until(holds, f"each sink has {expected}", seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; the sinks have {self.sinks.held()}") from error

    async def until_stopped(self) -> dict[str, tuple[float, str]]:
        """Return for each of them after how many seconds it stopped, and its reason; end them."""
        begun, ended = time.monotonic(), dict[str, tuple[float, str]]()
        while len(ended) < len(self.members):
            for name, member in self.members.items():
                if name not in ended and (reason := await member.reason_to_stop()):
                    ended[name] = (time.monotonic() - begun, reason)
            if time.monotonic() > begun + STOPPED_S_MAX:
                going_on = sorted(self.members.keys() - ended.keys())
                raise AssertionError(
                    f"after {STOPPED_S_MAX:g} s {going_on} go on; the sinks have "
                    f"{self.sinks.held()}"
                )
            await asyncio.sleep(0.05)
        self.stop()
        assert {member.process.returncode for member in self.members.values()} == {1}
        return ended

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Freeze all for the time of the block."""
        for member in self.members.values():
            member.freeze()
        try:
            yield
        finally:
            for member in self.members.values():
                member.thaw()

    def stop(self) -> None:
        """Stop those that run by SIGTERM, and wait for their end."""
        for member in self.members.values():
            if member.runs:
                member.stop()
        for member in self.members.values():
            member.process.wait(180)

    def kill(self) -> None:
        """Kill them as a crash would."""
        for member in self.members.values():
            member.kill()


@asynccontextmanager
async def three_consumers(kafka: str, sinks: Sinks, directory: Path) -> AsyncIterator[Three]:
    """Yield three consumers that run."""
    three = Three(kafka, sinks, directory)
    three.launch()
    try:
        yield three
    finally:
        three.kill()
