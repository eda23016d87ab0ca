"""Retention deletes records of a real broker between the look at their offsets and their fetch."""

import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from support.archive.reader import archived_records
from support.kafka.access import plaintext
from support.kafka.parts import Pipe, delete_before, ends_of, many, run_until

from consumers.archive.consumer import ArchiveHandler
from consumers.archive.store import open_store
from consumers.runtime.batch import Limits
from ops.audit import topic_reader
from ops.audit.audit import audit
from ops.audit.report import KAFKA
from ops.audit.sources import Sources
from ops.audit.spool_ends import SpoolEnds
from ops.dead_letters import reader
from ops.demo.embedded.kafka import EmbeddedKafka
from ops.records import committed_records, up_to_ends
from ops.records.committed_records import (
    RecordsDeleted,
    fetch,
    partitions_of,
    read_from,
    reader_of,
)
from ops.records.kafka_answers import KafkaUnreadable
from ops.records.up_to_ends import fetches_up_to
from schemas.dead_letter_actions import RecordId
from schemas.topics import CALLBACKS, DEAD_LETTERS

LIMITS = Limits(records=10, bytes=1 << 20, age_s=0.2, period_s=3600)
CALLBACKS_EACH, TIMES = 100, 4


@pytest.fixture
async def pipe(
    empty_kafka: EmbeddedKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Pipe]:
    """Yield a pipe whose callbacks are in Kafka; commands fetch a batch of them at a time."""
    monkeypatch.setattr(committed_records, "FETCH_BYTES", 1)
    with contextlib.closing(Pipe(empty_kafka.address, tmp_path / "spool")) as pipe:
        for number in range(TIMES):
            await pipe.store(many(CALLBACKS_EACH, 1 + number * CALLBACKS_EACH))
            await pipe.forward()
        yield pipe


async def delete_most(bootstrap_servers: str) -> None:
    """Delete most records of each partition, as retention does."""
    ends = await ends_of(bootstrap_servers)
    await delete_before(bootstrap_servers, {tp: end * 4 // 5 for tp, end in ends.items()})


async def archive(pipe: Pipe, directory: Path, group: str) -> None:
    """Archive all callbacks."""
    await run_until(
        ArchiveHandler(open_store(str(directory), create_directory=True)),
        lambda: archived_records(directory) >= CALLBACKS_EACH * TIMES,
        bootstrap_servers=pipe.bootstrap_servers,
        group=group,
        limits=LIMITS,
    )


async def test_what_expires_while_an_audit_reads_is_not_missing(
    pipe: Pipe, tmp_path: Path, group: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The archive has it, and the audit reads again what is below the topic's new beginning."""
    directory = tmp_path / "archive"
    await archive(pipe, directory, group)
    reads = 0

    async def delete_and_read(
        client: AIOKafkaConsumer,
        positions: dict[TopicPartition, int],
        ends: Mapping[TopicPartition, int],
    ) -> AsyncIterator[Any]:
        nonlocal reads
        reads += 1
        if reads == 1:
            await delete_most(pipe.bootstrap_servers)
        async for each in fetches_up_to(client, positions, ends):
            yield each

    monkeypatch.setattr(topic_reader, "fetches_up_to", delete_and_read)
    report = await pipe.audit(directory)
    assert (report.missing_at_least, report.proven) == (0, True)
    assert reads == 2


async def test_what_an_audit_has_read_counts_also_after_it_expired(
    pipe: Pipe, tmp_path: Path
) -> None:
    """The spool went back to its beginning; all is read again when the end of another is known."""
    origin, others = pipe.spool.origin, [{}, {"other": 0}, {"other": 0}]

    async def read_ends() -> SpoolEnds:
        if len(others) < 3:
            starts = await ends_of(pipe.bootstrap_servers)
            await delete_before(pipe.bootstrap_servers, starts)
        other = others.pop(0)
        return SpoolEnds(by_spool={"spool": {origin: 0}} | {name: {name: 0} for name in other})

    (tmp_path / "empty").mkdir()
    sources = Sources(kafka=plaintext(pipe.bootstrap_servers), archive=str(tmp_path / "empty"))
    report = await audit(read_ends, sources, ledger=[], wait_s=0, progress=lambda _: None)
    assert (others, report.has_faults, report.names_in_doubt) == ([], False, [origin])
    assert report.origins[-1].sinks[KAFKA].sequences == 0


async def test_records_that_were_deleted_before_they_were_read_are_named(pipe: Pipe) -> None:
    """They are not skipped; a command that begins again reads what there is."""
    kafka = plaintext(pipe.bootstrap_servers)
    async with reader_of(kafka, CALLBACKS.name) as client:
        partitions = partitions_of(client, [kafka.topic(CALLBACKS.name)])
        assert len(partitions) == CALLBACKS.partitions
        positions = await client.beginning_offsets(partitions)
        ends = await client.end_offsets(partitions)
        await delete_most(pipe.bootstrap_servers)
        with pytest.raises(RecordsDeleted, match=f"does not have offset 0 of {CALLBACKS.name}/"):
            async for _ in fetches_up_to(client, positions, ends):
                pass
        positions = dict(await client.beginning_offsets(partitions))
        starts = dict(positions)
        async for tp, records in fetches_up_to(client, positions, ends):
            assert all(starts[tp] <= each.offset < ends[tp] for each in records)
        assert positions == ends


async def test_a_dead_letter_that_expires_while_it_is_read_is_not_there(
    empty_kafka: EmbeddedKafka, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is asked for by its id; a command that reads all says that some are gone."""
    kafka = plaintext(empty_kafka.address)
    partition = TopicPartition(DEAD_LETTERS.name, 0)
    async with AIOKafkaProducer(bootstrap_servers=empty_kafka.address) as producer:
        for _ in range(6):
            await producer.send_and_wait(partition.topic, b"{}", partition=partition.partition)
    deleted, begins = 0, dict[TopicPartition, int]()

    async def delete_and_fetch(client: AIOKafkaConsumer, **options: Any) -> Any:
        nonlocal deleted
        deleted += 2
        await delete_before(empty_kafka.address, {partition: deleted})
        read_from(client, begins)
        return await fetch(client, **options)

    # The client begins to fetch when it knows the offsets.
    for module in (reader, up_to_ends):
        monkeypatch.setattr(module, "read_from", lambda _, offsets: begins.update(offsets))
        monkeypatch.setattr(module, "fetch", delete_and_fetch)
    assert await reader.dead_letters_by_id(kafka, [RecordId(0, 1)]) == [None]
    with pytest.raises(KafkaUnreadable, match=r"have offset 2 of .*; run the command again"):
        async for _ in reader.dead_letters(kafka):
            pass
