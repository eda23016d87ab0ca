"""An audit with --since asks real ingresses and spools, and finds the offsets in real Kafka."""

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewTopic
from support.builders import a_wire_record
from support.kafka.access import plaintext
from support.kafka.admin import admin_client
from support.processes.ingress import Ingress, until
from support.seeded_faults import Seeded

from ingress.spool.directory import hold
from ingress.spool.hours import HOUR_S, hour_at
from ingress.spool.row import encode
from ingress.spool.spool_lock import FILE_SUFFIX
from ops.audit.audit import audit
from ops.audit.ends_reader import STATUS_TIMEOUT_S, read_ends
from ops.audit.http_json import NoJsonAnswer, get_json
from ops.audit.since import Since
from ops.audit.sources import Sources
from ops.audit.spool_ends import SpoolEnds
from ops.audit.tally import Tally
from ops.audit.topic_reader import TopicReader
from ops.demo.embedded.child import free_port
from ops.demo.embedded.kafka import EmbeddedKafka
from schemas.topics import CALLBACKS, TOPICS

BYTES_MAX = 64 << 20
PARTITIONS = 2
BUSY, IDLE = "0" * 15 + "1", "0" * 15 + "2"
THIS_HOUR = hour_at(time.time())


def make_spools(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make drained spools: BUSY has stored 5 rows in each of 30 hours, IDLE in the first one."""
    directory.mkdir()
    for name, hours in ((BUSY, range(30, 0, -1)), (IDLE, (30,))):
        spool = hold(directory, name, bytes_max=BYTES_MAX)
        for hours_ago in hours:
            at_s = (THIS_HOUR - hours_ago) * HOUR_S
            monkeypatch.setattr("ingress.spool.hours.time.time", lambda at_s=at_s: at_s)
            spool.writer.commit([encode(a_wire_record(n), n) for n in range(5)], 0)
        spool.writer.commit([], spool.last_sequence)
        spool.close()
    monkeypatch.undo()
    # The hours tell, not the time of the file.
    long_ago = (THIS_HOUR - 30) * HOUR_S
    os.utime(directory / f"{IDLE}{FILE_SUFFIX}", (long_ago, long_ago))


async def test_ingresses_and_spools_report_the_first_sequence_since_an_hour(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of their own spool and of drained ones; without the query they report none."""
    directory = tmp_path / "spools"
    make_spools(directory, monkeypatch)
    since = Since(datetime.fromtimestamp((THIS_HOUR - 10) * HOUR_S, UTC))
    # No Kafka is needed: there is nothing to forward.
    process = Ingress(directory, f"127.0.0.1:{free_port()}", log=tmp_path / "log")
    url = f"http://127.0.0.1:{process.admin_port}"
    expected = {BUSY: 101, IDLE: 6}
    try:
        await process.start()

        async def reports() -> bool:
            return (await read_ends([url], None, since)).first_sequences == expected

        await until(reports, f"{url} reports {expected}")
        assert (await read_ends([url], None)).first_sequences == {}
        with pytest.raises(NoJsonAnswer, match="400"):
            await get_json(f"{url}/status?since=yesterday", timeout_s=STATUS_TIMEOUT_S)
    finally:
        process.kill()
    ends = await read_ends([], directory, since)
    assert (ends.first_sequences, ends.last_sequences) == (expected, {BUSY: 150, IDLE: 5})
    later = Since(since.at + timedelta(hours=100))
    assert (await read_ends([], directory, later)).first_sequences == {BUSY: 151, IDLE: 6}


async def make_topics(kafka: str) -> None:
    """
    Make topics in which the test sets the times of the records, as LogAppendTime would.

    These settings are Kafka's own, and the times are of today: a broker that has just created a
    topic of the same name again may not use other settings yet, and delete old records.
    """
    async with admin_client(kafka) as admin:
        by_sender = {"message.timestamp.type": "CreateTime"}
        await admin.create_topics(
            [NewTopic(topic.name, PARTITIONS, 1, topic_configs=by_sender) for topic in TOPICS]
        )


async def write(address: str, seed: Seeded, since: Since, sequences: range) -> None:
    """Write records to Kafka. Sequence 71 is at the time, and 11 from an hour before on."""
    async with AIOKafkaProducer(bootstrap_servers=address) as producer:
        for sequence in sequences:
            record = seed.record(sequence)
            at = since.at + timedelta(minutes=sequence - 71)
            await producer.send_and_wait(
                CALLBACKS.name,
                record.value,
                partition=sequence % PARTITIONS,
                timestamp_ms=int(at.timestamp() * 1000),
                headers=record.headers,
            )


async def test_only_records_from_an_hour_before_are_read(
    kafka_without_topics: EmbeddedKafka,
) -> None:
    """In every partition; the next round goes on from there."""
    address = kafka_without_topics.address
    await make_topics(address)
    since = Since(datetime.fromtimestamp((THIS_HOUR - 3) * HOUR_S, UTC))
    seed = Seeded("a" * 16, "none", 1, 1)
    ends = SpoolEnds(
        by_spool={seed.origin: {seed.origin: 100}},
        since=since,
        first_sequences={seed.origin: 71},
    )
    tally = Tally(ends, [], audits_postgres=False, audits_counts=False)
    reader = TopicReader(plaintext(address), since)

    await write(address, seed, since, range(1, 91))
    await reader.read(tally)
    assert tally.record_count == 80
    await write(address, seed, since, range(91, 101))
    await reader.read(tally)
    assert tally.record_count == 90
    kafka = tally.report().origins[0]
    assert (kafka.stored, kafka.sinks["kafka"].sequences, kafka.sinks["kafka"].missing) == (
        30,
        30,
        0,
    )


async def test_a_first_sequence_that_becomes_known_later_makes_nothing_missing(
    kafka_without_topics: EmbeddedKafka, tmp_path: Path
) -> None:
    """All is read again: without a first sequence, the records of an origin are not noted."""
    address = kafka_without_topics.address
    await make_topics(address)
    since = Since(datetime.fromtimestamp((THIS_HOUR - 3) * HOUR_S, UTC))
    seed = Seeded("a" * 16, "none", 1, 1)
    await write(address, seed, since, range(71, 91))
    by_spool = {seed.origin: {seed.origin: 90}}
    said: list[str] = []
    answers = [
        SpoolEnds(by_spool=by_spool, since=since, first_sequences=firsts)
        for firsts in ({}, {seed.origin: 76}, {seed.origin: 76})
    ]

    async def read_next() -> SpoolEnds:
        return answers.pop(0)

    sources = Sources(kafka=plaintext(address), archive=str(tmp_path), postgres=None, stats=None)
    report = await audit(read_next, sources, ledger=[], wait_s=0, progress=said.append)
    kafka = report.origins[0]
    assert (kafka.stored, kafka.sinks["kafka"].sequences, kafka.sinks["kafka"].missing) == (
        15,
        15,
        0,
    )
    assert (answers, report.doubts) == ([], {})
