"""Kafka to archive by the real runtime: each committed record is in one line, once."""

import asyncio
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from support.kafka.admin import admin_client
from support.kafka.parts import Pipe, delete_before, in_topic, many, run_until

from consumers.archive.consumer import ArchiveHandler
from consumers.archive.segment import Line, read_lines, read_summary
from consumers.archive.segment_name import SUFFIX
from consumers.archive.store import open_store
from consumers.runtime.batch import Batch, Limits, Partition, Position
from consumers.runtime.handler import Stopped, Unavailable
from ops.audit.report import ARCHIVE, SinkReport
from schemas.outgoing_record import ORIGIN, SEQUENCE
from schemas.topics import CALLBACKS

LIMITS = Limits(records=200, bytes=1 << 20, age_s=0.3, period_s=3600)


def archived(directory: Path, origin: str) -> list[int]:
    """Return the sequences of `origin` in the archive, partition by partition."""
    sequences = []
    for path in directory.glob(f"*/*/*{SUFFIX}"):
        for text in read_lines(path.read_bytes()):
            line = msgspec.json.decode(text, type=Line)
            if line.headers.get(ORIGIN) == origin:
                sequences.append(int(line.headers[SEQUENCE] or 0))
    return sequences


def an_archive(directory: Path) -> ArchiveHandler:
    """Return a writer of the archive in `directory`."""
    return ArchiveHandler(open_store(str(directory), create_directory=True))


async def archive_until(
    count: int, archive: ArchiveHandler, directory: Path, pipe: Pipe, group: str
) -> None:
    """Run one member until `count` records of the pipe's origin are archived."""
    await run_until(
        archive,
        lambda: len(archived(directory, pipe.spool.origin)) >= count,
        bootstrap_servers=pipe.bootstrap_servers,
        group=group,
        limits=LIMITS,
        seconds=180,
    )


async def test_what_is_in_the_topic_is_in_the_archive_once(
    pipe: Pipe, tmp_path: Path, group: str
) -> None:
    """The audit proves it, and does not if a segment is missing."""
    await pipe.store(many(1_000))
    await pipe.forward()
    directory = tmp_path / "archive"
    await archive_until(1_000, an_archive(directory), directory, pipe, group)
    assert sorted(archived(directory, pipe.spool.origin)) == list(range(1, 1_001))

    async def proof() -> SinkReport:
        report = await pipe.audit(directory)
        return next(o for o in report.origins if o.origin == pipe.spool.origin).sinks[ARCHIVE]

    archive_report = await proof()
    assert (archive_report.missing, archive_report.sequences) == (0, 1_000)
    segments = [
        path
        for path in sorted(directory.glob(f"*/*/*{SUFFIX}"))
        if pipe.spool.origin in read_summary(path.read_bytes()).origins
    ]
    segments[0].unlink()
    assert (await proof()).missing > 0


async def test_an_aborted_transaction_is_not_archived(
    pipe: Pipe, tmp_path: Path, group: str
) -> None:
    """Only committed records exist for readers."""
    producer = AIOKafkaProducer(
        bootstrap_servers=pipe.bootstrap_servers, transactional_id=f"aborts-{group}"
    )
    await producer.start()
    await producer.begin_transaction()
    headers = [(ORIGIN, pipe.spool.origin.encode()), (SEQUENCE, b"99")]
    await producer.send_and_wait(CALLBACKS.name, b"{}", partition=0, headers=headers)
    await producer.abort_transaction()
    await producer.stop()
    await pipe.store(many(20))
    await pipe.forward()
    directory = tmp_path / "archive"
    await archive_until(20, an_archive(directory), directory, pipe, group)
    assert sorted(archived(directory, pipe.spool.origin)) == list(range(1, 21))


async def test_members_come_and_go_and_every_record_is_archived_once(
    pipe: Pipe, tmp_path: Path, group: str
) -> None:
    """Three in turn and two at once share the partitions; no chain has an overlap or a gap."""
    directory = tmp_path / "archive"
    origin = pipe.spool.origin

    async def member(count: int) -> None:
        await archive_until(count, an_archive(directory), directory, pipe, group)

    for portion in range(3):
        await pipe.store(many(300, first=1 + 300 * portion))
        await pipe.forward()
        await asyncio.gather(*(member(300 * (portion + 1)) for _ in range(1 + portion % 2)))
    assert sorted(archived(directory, origin)) == list(range(1, 901))


async def test_while_the_sink_is_down_the_member_stays_and_nothing_is_lost(
    pipe: Pipe, tmp_path: Path, group: str
) -> None:
    """Its partitions pause; when the sink is back, the same records are written once."""
    directory = tmp_path / "archive"

    class Flaky(ArchiveHandler):
        calls = 0

        async def handle(self, batch: Batch) -> None:
            Flaky.calls += 1
            if Flaky.calls <= 3:
                raise Unavailable("the test says so")
            await super().handle(batch)

    await pipe.store(many(100))
    await pipe.forward()
    await archive_until(
        100, Flaky(open_store(str(directory), create_directory=True)), directory, pipe, group
    )
    assert sorted(archived(directory, pipe.spool.origin)) == list(range(1, 101))


async def test_an_offset_that_retention_deleted_stops_the_consumer(
    pipe: Pipe, tmp_path: Path, group: str
) -> None:
    """It stops with an error instead of skipping the deleted records."""

    class Behind(ArchiveHandler):
        async def position(self, _partition: Partition) -> Position:
            return Position(0)

    await pipe.store(many(10))
    await pipe.forward()
    partition = (await in_topic(pipe.bootstrap_servers, pipe.spool.origin))[0].partition
    await delete_before(pipe.bootstrap_servers, {TopicPartition(CALLBACKS.name, partition): 1})
    with pytest.raises(ExceptionGroup) as raised:
        await run_until(
            Behind(open_store(str(tmp_path / "archive"), create_directory=True)),
            lambda: False,
            bootstrap_servers=pipe.bootstrap_servers,
            group=group,
            limits=LIMITS,
        )
    assert raised.group_contains(
        Stopped, match=f"{CALLBACKS.name}/{partition} at 0, but the topic begins at"
    )


async def test_offsets_are_committed_after_the_effect(
    pipe: Pipe, tmp_path: Path, group: str
) -> None:
    """Lag tools read them: the committed offset is the one that the archive expects next."""
    await pipe.store(many(200, people=100))
    await pipe.forward()
    archive = an_archive(tmp_path / "archive")
    committed: dict[int, int] = {}

    async def watch(admin: AIOKafkaAdminClient) -> None:
        while len(committed) < CALLBACKS.partitions:
            await asyncio.sleep(0.1)
            offsets = await admin.list_consumer_group_offsets(group)
            committed.update({tp.partition: o.offset for tp, o in offsets.items() if o.offset > 0})

    async with admin_client(pipe.bootstrap_servers) as admin:
        watching = asyncio.create_task(watch(admin))
        await run_until(
            archive,
            watching.done,
            bootstrap_servers=pipe.bootstrap_servers,
            group=group,
            limits=LIMITS,
        )
    for number, offset in committed.items():
        # Never ahead of the sink; the archive may have gone on since.
        position = await archive.position(Partition(CALLBACKS.name, number))
        assert position
        assert offset <= position.next_offset
