"""A broker, a spool and the sinks, in which callbacks are rejected, and `hookline` as a process."""

import asyncio
import json
import os
import sys
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from aiokafka import AIOKafkaProducer
from aiokafka.structs import ConsumerRecord
from support.builders import P0, a_body, a_callback, reached
from support.kafka.access import plaintext
from support.kafka.parts import Pipe, ends_of, in_topic, many, sequences
from support.processes.command import run_hookline
from support.sync_tables import select

from consumers.archive.consumer import ArchiveHandler
from consumers.archive.store import open_store
from consumers.runtime.batch import Batch, Partition, Position, Record
from consumers.runtime.handler import Handler
from consumers.sync.database import DatabaseHandler
from ops.audit.report import Report
from ops.dead_letters.reader import dead_letters, read_actions
from schemas.body import Malformed
from schemas.dead_letter import DeadLetterReason, reason_headers
from schemas.outgoing_record import OutgoingRecord, malformed_record
from schemas.setting import Secret
from schemas.topics import CALLBACKS, DEAD_LETTERS

Stored = ConsumerRecord[bytes, bytes]
_RECEIPTS = (
    "select count(*), count(distinct sequence), min(sequence), max(sequence),"
    " (select count(*) from hookline.messages) from hookline.receipts"
)


@dataclass(frozen=True, slots=True)
class RejectedWorld:
    """The places in which a test looks."""

    kafka: str
    pipe: Pipe
    conninfo: str
    archive: Path
    subcommand: str

    def command(self, *arguments: str) -> list[str]:
        """Return the command line of the subcommand of `hookline`."""
        return [sys.executable, "-m", "ops.cli", self.subcommand, *arguments]

    @property
    def env(self) -> dict[str, str]:
        """Return the environment of that command."""
        return os.environ | {
            "HOOKLINE_BOOTSTRAP_SERVERS": self.kafka,
            "SYNC_POSTGRES": self.conninfo,
            "ARCHIVE_URL": str(self.archive),
            "COLUMNS": "200",
        }

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        """Start the subcommand."""
        return await asyncio.create_subprocess_exec(
            *self.command(*arguments),
            env=self.env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )

    async def hookline(self, *arguments: str, code: int = 0) -> str:
        """Run the subcommand, check its exit code, and return its output."""
        run = await asyncio.to_thread(
            run_hookline, self.subcommand, *arguments, env=self.env, is_merged=True
        )
        assert run.returncode == code, run.stdout
        return run.stdout

    async def groups(self, *arguments: str) -> list[dict[str, Any]]:
        """Return the groups of `ls`."""
        output = await self.hookline("ls", "--json", *arguments)
        return [json.loads(line) for line in output.splitlines() if line.startswith("{")]

    async def reject(self, records: Sequence[Stored], *, consumer: str = "sync") -> None:
        """Write records of the main topic to the dead-letter topic, as the runtime does."""
        async with AIOKafkaProducer(
            bootstrap_servers=self.kafka, enable_idempotence=True
        ) as producer:
            for record in records:
                reason = DeadLetterReason(
                    topic=record.topic,
                    partition=record.partition,
                    offset=record.offset,
                    component=consumer,
                    group=consumer,
                    stage="TASK_PUT",
                    exception="CheckViolation",
                    message=f"row {record.offset} violates the rule",
                    attempts=1,
                    first_failed_at_ms=1,
                    last_failed_at_ms=1,
                )
                headers = [*record.headers, *reason_headers(reason)]
                await producer.send(DEAD_LETTERS.name, record.value, record.key, headers=headers)

    async def reject_by_sync_and_ingress(self, count: int) -> None:
        """Have sync and the ingress reject `count` callbacks each."""
        await self.pipe.store(many(count))
        await self.pipe.forward()
        async with self.database() as database:
            assert await database.position(P0) is None  # the tables are made
        await self.sync_passes_all()
        await self.reject(await in_topic(self.kafka, None))
        await self.pipe.store(malformed_before(range(count)))
        await self.pipe.forward()

    async def resend_to_sync_and_ingress(self, count: int) -> int:
        """
        Send what is open, and check that all callbacks are in their sinks once, `count` of each.

        Return how many were open.
        """
        left = sum(int(group["open"]) for group in await self.groups())
        for consumer in ("sync", "ingress"):
            await self.hookline("resend", consumer, "--yes", "--records-per-s", "10000")
        groups = await self.groups()
        assert {(group["open"], group["resent"]) for group in groups} == {(0, count)}
        assert await self.receipts() == (count, count, 1, count, count)
        sequences_in_kafka = sequences(await in_topic(self.kafka, None))
        assert sorted(sequences_in_kafka) == list(range(1, 2 * count + 1))
        async with self.database() as database:
            await self.apply(database)
        report = await self.audited()
        assert report.proven, report
        return left

    @asynccontextmanager
    async def database(self) -> AsyncIterator[DatabaseHandler]:
        """Yield the handler of sync."""
        database = DatabaseHandler(Secret(self.conninfo))
        try:
            yield database
        finally:
            await database.close()

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        """Return a query's rows."""
        return await asyncio.to_thread(select, self.conninfo, query)

    async def receipts(self) -> tuple[object, ...]:
        """Return how many receipts and different ones, the first, the last, how many messages."""
        (found,) = await self.rows(_RECEIPTS)
        return found

    async def open_ids(self, consumer: str) -> list[str]:
        """Return the ids of the open dead letters of a consumer, in order."""
        actions = await read_actions(plaintext(self.kafka))
        async with aclosing(dead_letters(plaintext(self.kafka))) as read:
            return [
                str(letter.id)
                async for letters in read
                for letter in letters
                if letter.consumer == consumer and actions.is_open(letter.id)
            ]

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[psycopg.AsyncConnection]:
        """Yield a connection of the database's owner."""
        async with await psycopg.AsyncConnection.connect(self.conninfo, autocommit=True) as owner:
            yield owner

    async def sync_passes_all(self) -> None:
        """Have the database's positions be at the end of the topic, without its rows."""
        async with self.database() as database:
            for tp, end in (await ends_of(self.kafka)).items():
                await database.store_first_position(Partition(*tp), Position(end))

    async def apply(self, handler: Handler) -> None:
        """Hand all callbacks of the main topic to a sink, from its position on."""
        by_partition: defaultdict[int, list[Record]] = defaultdict(list)
        for each in await in_topic(self.kafka, None):
            record = Record(each.offset, each.timestamp, each.key, each.value or b"", each.headers)
            by_partition[each.partition].append(record)
        for number, records in by_partition.items():
            partition = Partition(CALLBACKS.name, number)
            await handler.store_first_position(partition, Position(0))
            position = await handler.position(partition)
            assert position is not None
            new = [each for each in records if each.offset >= position.next_offset]
            if new:
                await handler.handle(
                    Batch(
                        partition=partition,
                        begins_at=position.next_offset,
                        reached=reached(new),
                        records=new,
                    )
                )

    async def archive_all(self) -> None:
        """Have the archive hold all callbacks of the main topic."""
        await self.apply(ArchiveHandler(open_store(str(self.archive), create_directory=True)))

    async def audited(self) -> Report:
        """Archive everything, and return the report of an audit without counts."""
        await self.archive_all()
        return await self.pipe.audit(self.archive, self.conninfo)


@asynccontextmanager
async def a_rejected_world(
    kafka: str, conninfo: str, folder: Path, *, subcommand: str = "dead-letters"
) -> AsyncIterator[RejectedWorld]:
    """Yield a world without callbacks."""
    with closing(Pipe(kafka, folder / "spool")) as pipe:
        yield RejectedWorld(kafka, pipe, conninfo, folder / "archive", subcommand)


def malformed_before(numbers: Iterable[int]) -> list[OutgoingRecord]:
    """Return dead letters of an ingress whose rules refused callbacks that ours accept."""
    return [
        malformed_record(
            a_callback(a_body(MsgKey=f"malformed-{number}", From_Account=f"user{number % 7}")),
            Malformed(f"refused by a rule of an earlier release, at character {number}"),
        )
        for number in numbers
    ]
