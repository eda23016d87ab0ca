"""A thousand origins, each with one callback deleted or doubled at one stage: audit names each."""

import asyncio
import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
from aiohttp import web
from aiokafka import AIOKafkaProducer
from support.builders import reached
from support.counting import LONG, counting
from support.kafka.access import plaintext
from support.seeded_faults import CALLBACKS_EACH, FAULTS, SINKS, TARGET, Seeded, named, seeded
from support.statistics import statistics_api

from consumers.archive.consumer import ArchiveHandler
from consumers.archive.store import open_store
from consumers.counters.server import connect
from consumers.runtime.batch import Batch, Partition, Position, Record
from consumers.runtime.handler import Handler
from consumers.sync.database import DatabaseHandler
from consumers.webhook.callback_filter import CallbackFilter
from consumers.webhook.retry_record import TargetBegin, retry_record
from consumers.webhook.retry_topic import retry_topic
from consumers.webhook.retry_topic_setup import ensure_topic
from ops.audit import bucket_file
from ops.audit.audit import audit
from ops.audit.report import COUNTS, Report
from ops.audit.since import Since
from ops.audit.sources import Sources, WebhookSource
from ops.audit.spool_ends import SpoolEnds
from ops.demo.embedded import child
from ops.demo.embedded.kafka import EmbeddedKafka
from schemas.dead_letter import GROUP
from schemas.outgoing_record import OutgoingRecord
from schemas.setting import Secret
from schemas.topics import CALLBACKS, DEAD_LETTERS

SEEDS = 1000
# The counts are not audited with --since.
SINKS_SINCE = [sink for sink in SINKS if sink != COUNTS]
RECORDS_PER_BATCH = 500
# What leaves a callback out of, or puts it twice into, the batches of one consumer.
LEFT_OUT = {
    "archive": "left out by the archive",
    "sync": "left out by sync",
    "counters": "left out by the counters",
}
TWICE = {"archive": "archived twice", "counters": "counted twice"}


@dataclass
class Topics:
    """What was written to the main topic, also what Kafka lost later, by partition."""

    producer: AIOKafkaProducer
    written: dict[Partition, list[tuple[Seeded, int, Record]]] = field(
        default_factory=lambda: defaultdict(list)
    )

    async def write(self, callbacks: Iterable[tuple[Seeded, int]], *, aborted: bool) -> None:
        """Write callbacks in one transaction; an aborted one is a transaction that Kafka lost."""
        await self.producer.begin_transaction()
        sent = []
        for seed, sequence in callbacks:
            record = seed.record(sequence)
            future = await self.producer.send(
                CALLBACKS.name, key=record.key, value=record.value, headers=record.headers
            )
            sent.append((seed, sequence, record, future))
        for seed, sequence, record, future in sent:
            stored = await future
            self.written[Partition(CALLBACKS.name, stored.partition)].append(
                (seed, sequence, _stored(record, stored.offset, stored.timestamp))
            )
        if aborted:
            await self.producer.abort_transaction()
        else:
            await self.producer.commit_transaction()

    async def write_dead_letters(self, seeds: Iterable[Seeded]) -> None:
        """Write the dead letters of the ingress, and those of sync."""
        await self.producer.begin_transaction()
        for seed in seeds:
            copies = {"in both topics": 1, "twice in the dead-letter topic of the ingress": 2}
            record = seed.record(seed.sequence)
            for _ in range(copies.get(seed.kind, 0)):
                await self.producer.send(
                    DEAD_LETTERS.name, value=record.value, headers=record.headers
                )
            if seed.kind == "rejected by sync":
                headers = [*record.headers, (GROUP, b"sync")]
                await self.producer.send(DEAD_LETTERS.name, value=record.value, headers=headers)
        await self.producer.commit_transaction()


def _stored(record: OutgoingRecord, offset: int, timestamp_ms: int) -> Record:
    return Record(offset, timestamp_ms, record.key, record.value, tuple(record.headers))


@asynccontextmanager
async def topics(address: str) -> AsyncIterator[Topics]:
    """Yield a producer of transactions."""
    async with AIOKafkaProducer(bootstrap_servers=address, transactional_id="faults") as producer:
        yield Topics(producer)


async def fill_topics(address: str, seeds: list[Seeded]) -> Topics:
    """Write all callbacks to Kafka, with the faults between spool and Kafka."""
    absent = ("lost between spool and Kafka", "twice in the dead-letter topic of the ingress")
    async with topics(address) as made:
        for at in range(0, len(seeds), 100):
            some = [
                (seed, sequence)
                for seed in seeds[at : at + 100]
                for sequence in range(1, CALLBACKS_EACH + 1)
                if not any(seed.has(kind, sequence) for kind in absent)
            ]
            lost = [
                each
                for each in some
                if each[0].has("lost by Kafka after every sink had it", each[1])
            ]
            first, later = some[: len(some) // 2], some[len(some) // 2 :]
            for part in first, later:
                await made.write([each for each in part if each not in lost], aborted=False)
                await made.write([each for each in part if each in lost], aborted=True)
        again = [(seed, seed.sequence) for seed in seeds if seed.kind == "sent to Kafka twice"]
        await made.write(again, aborted=False)
        await made.write_dead_letters(seeds)
    return made


async def apply(handler: Handler, consumer: str, written: Topics) -> None:
    """Hand the callbacks to a sink, with the faults of its consumer."""
    for partition, callbacks in written.written.items():
        callbacks.sort(key=lambda each: each[2].offset)
        await handler.store_first_position(partition, Position(0))
        begins_at = 0
        for at in range(0, len(callbacks), RECORDS_PER_BATCH):
            some = callbacks[at : at + RECORDS_PER_BATCH]
            records = []
            for seed, sequence, record in some:
                left_out = seed.has(LEFT_OUT[consumer], sequence)
                left_out |= consumer == "sync" and seed.has("rejected by sync", sequence)
                twice = seed.has(TWICE.get(consumer, ""), sequence)
                records += [record] * (0 if left_out else 2 if twice else 1)
            position = reached([record for _, _, record in some])
            await handler.handle(
                Batch(partition=partition, begins_at=begins_at, reached=position, records=records)
            )
            begins_at = position.next_offset


def delete_rows(conninfo: str, seeds: list[Seeded]) -> None:
    """Delete receipts and rows from PostgreSQL."""
    places = {kind: [(s.origin, s.sequence) for s in seeds if s.kind == kind] for kind in FAULTS}
    with psycopg.connect(conninfo) as connection:
        cursor = connection.cursor()
        cursor.executemany(
            "delete from hookline.messages where ce_id = (select ce_id from hookline.receipts"
            " where origin = %s and sequence = %s)",
            places["row deleted"],
        )
        cursor.executemany(
            "delete from hookline.receipts where origin = %s and sequence = %s",
            places["receipt deleted"],
        )


async def deliver(address: str, written: Topics, log: Path) -> None:
    """Write what a webhook's receiver writes, and the retry topic of a target without faults."""
    await ensure_topic(plaintext(address), retry_topic(TARGET))
    begun = retry_record(TargetBegin(Position(0)))
    async with AIOKafkaProducer(bootstrap_servers=address) as producer:
        for partition in range(CALLBACKS.partitions):
            await producer.send_and_wait(
                retry_topic(TARGET), key=begun.key, value=begun.value, partition=partition
            )
    lines = []
    for callbacks in written.written.values():
        for seed, sequence, record in callbacks:
            if not seed.has("not delivered to the webhook", sequence):
                line = {
                    "id": dict(record.headers)["ce_id"].decode(),
                    "origin": seed.origin,
                    "sequence": sequence,
                    "sha256": hashlib.sha256(record.value).hexdigest(),
                }
                lines.append(json.dumps(line) + "\n")
    await asyncio.to_thread(log.write_text, "".join(lines))


@asynccontextmanager
async def sinks(conninfo: str, valkey_url: str, archive: Path) -> AsyncIterator[dict[str, Handler]]:
    """Yield the handlers of the three sinks."""
    database, counts = DatabaseHandler(Secret(conninfo)), counting(Secret(valkey_url), **LONG)
    store = open_store(str(archive), create_directory=True)
    try:
        yield {"archive": ArchiveHandler(store), "sync": database, "counters": counts}
    finally:
        await database.close()
        await counts.close()


@asynccontextmanager
async def statistics(valkey_url: str) -> AsyncIterator[str]:
    """Yield the address of a statistics API."""
    async with AsyncExitStack() as stack:
        valkey = connect(Secret(valkey_url))
        stack.push_async_callback(valkey.aclose)
        runner = web.AppRunner(statistics_api(valkey))
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        port = child.free_port()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        yield f"http://127.0.0.1:{port}"


async def audited(sources: Sources, seeds: list[Seeded], since: Since | None = None) -> Report:
    """Return the report of one audit of everything, or of the callbacks since a time."""

    async def ends() -> SpoolEnds:
        return SpoolEnds(
            by_spool={seed.origin: {seed.origin: CALLBACKS_EACH} for seed in seeds},
            since=since,
            first_sequences={seed.origin: seed.first_sequence for seed in seeds} if since else {},
        )

    return await audit(ends, sources, ledger=[], wait_s=0, progress=lambda _: None)


def assert_named_exactly(
    report: Report,
    seeds: list[Seeded],
    sinks: Iterable[str],
    expected: Callable[[Seeded, str], dict[str, list[int]]],
) -> None:
    """Assert that a report names the faults of all seeds, and nothing else."""
    by_origin = {each.origin: each for each in report.origins}
    assert by_origin.keys() == {seed.origin for seed in seeds}
    for seed in seeds:
        named_faults = {sink: named(by_origin[seed.origin].sinks[sink]) for sink in sinks}
        assert named_faults == {sink: expected(seed, sink) for sink in sinks}, seed
    assert (report.different, report.foreign, report.names_in_doubt) == (0, 0, [])
    assert not report.proven


@pytest.fixture
def _contents_on_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have most contents in temporary files, as those of millions of callbacks."""
    monkeypatch.setattr(bucket_file, "BUFFER_BYTES_MAX", 64 << 10)


@pytest.mark.timeout(600)
@pytest.mark.usefixtures("_contents_on_disk")
async def test_each_of_a_thousand_faults_is_named_exactly(
    empty_kafka: EmbeddedKafka,
    conninfo: str,
    valkey_url: str,
    tmp_path: Path,
    say: Callable[[str], None],
) -> None:
    """The origin, the place, the sequence and the kind, and nothing else; also with --since."""
    begun_at = datetime.now(UTC)
    seeds = seeded(SEEDS)
    written = await fill_topics(empty_kafka.address, seeds)
    archive, log = tmp_path / "archive", tmp_path / "received"
    async with sinks(conninfo, valkey_url, archive) as handlers:
        for consumer, handler in handlers.items():
            await apply(handler, consumer, written)
    delete_rows(conninfo, seeds)
    await deliver(empty_kafka.address, written, log)
    async with statistics(valkey_url) as url:
        sources = Sources(
            kafka=plaintext(empty_kafka.address),
            archive=str(archive),
            postgres=conninfo,
            stats=url,
            webhooks=(WebhookSource(name=TARGET, callback_filter=CallbackFilter(), logs=(log,)),),
        )
        report = await audited(sources, seeds)
        later = await audited(sources, seeds, Since.the_hour_of(begun_at))
    assert_named_exactly(report, seeds, SINKS, Seeded.expected)
    assert_named_exactly(later, seeds, SINKS_SINCE, Seeded.expected_since)
    assert later.not_audited == [COUNTS]
    by_kind = Counter(seed.kind for seed in seeds)
    say(f"{SEEDS} faults named: {', '.join(f'{n} {kind}' for kind, n in by_kind.items())}")
