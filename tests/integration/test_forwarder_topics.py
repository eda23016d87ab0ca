"""The topic is recreated or Kafka is restored: the forwarder continues and reports it."""

import asyncio
import contextlib
import shutil
from pathlib import Path

import pytest
from aiokafka import AIOKafkaProducer
from support.acls.clients import delete_group
from support.kafka.access import plaintext
from support.kafka.parts import Pipe, in_topic, many, sequences
from support.kafka.topic_changes import recreate_topic, restore

from consumers.archive.store import open_store
from ingress.forward import forwarder, topic_check
from ingress.forward.cursor import cursor_group
from ingress.forward.topic_check import TopicCheck
from ingress.spool.async_spool import AsyncSpool
from ops.demo.embedded.kafka import EmbeddedKafka
from schemas.telemetry import INGRESS_METRICS

pytestmark = pytest.mark.timeout(600)


def changes() -> float:
    """Return the number of reports."""
    return INGRESS_METRICS.get_sample_value("ingress_cursor_mismatches_total") or 0


async def forwarded(kafka: EmbeddedKafka, pipe: Pipe) -> list[int]:
    """Return the sequences in the current topic, in order."""
    return sorted(sequences(await in_topic(kafka.address, pipe.spool.origin)))


async def test_an_idle_forwarder_notices_that_the_topic_was_recreated(
    empty_kafka: EmbeddedKafka,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It does so before the next callback, which goes to the new topic."""
    monkeypatch.setattr(forwarder, "IDLE_CHECK_INTERVAL_S", 0.2)
    before = changes()
    with contextlib.closing(Pipe(empty_kafka.address, tmp_path / "spool")) as pipe:
        await pipe.store(many(100))
        forwarding = asyncio.create_task(pipe.forward(until=lambda: changes() > before))
        async with asyncio.timeout(180):
            while pipe.spool.row_count or pipe.fault():  # noqa: ASYNC110 - a number has no event
                await asyncio.sleep(0.01)
        await recreate_topic(empty_kafka.address)
        await forwarding
        await pipe.store(many(20, first=101))
        await pipe.forward()
        assert await forwarded(empty_kafka, pipe) == list(range(101, 121))
    assert "was recreated: its id was" in caplog.text
    assert "sequences 1 to 100 (100 callbacks) of origin" in caplog.text


async def test_a_topic_that_was_recreated_while_no_forwarder_ran_is_reported(
    empty_kafka: EmbeddedKafka, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Kafka deleted the cursor with the topic; the spool shows that rows were forwarded before."""
    before = changes()
    with contextlib.closing(Pipe(empty_kafka.address, tmp_path / "spool")) as pipe:
        await pipe.store(many(100))
        await pipe.forward()
        await recreate_topic(empty_kafka.address)
        await pipe.store(many(20, first=101))
        await pipe.forward()
        assert await forwarded(empty_kafka, pipe) == list(range(101, 121))
        await pipe.store(many(20, first=121))
        await pipe.forward()
    assert changes() == before + 1
    assert "sequences 1 to 100 (100 callbacks) of origin" in caplog.text


async def test_a_kafka_that_was_restored_from_an_older_copy_is_reported(
    own_kafka: EmbeddedKafka, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its cursor is lower than the last forwarded row: the missing sequences are named."""
    before = changes()
    copy = tmp_path / "copy"
    with contextlib.closing(Pipe(own_kafka.address, tmp_path / "spool")) as pipe:
        await pipe.store(many(60))
        await pipe.forward()
        own_kafka.kill()
        shutil.copytree(own_kafka.data, copy)
        own_kafka.start()
        await pipe.store(many(40, first=61))
        await pipe.forward()
        restore(own_kafka, copy)
        await pipe.store(many(10, first=101))
        await pipe.forward()
        assert await forwarded(own_kafka, pipe) == [*range(1, 61), *range(101, 111)]
    assert changes() == before + 1
    assert "Kafka's cursor is 60" in caplog.text
    assert "sequences 61 to 100 (40 callbacks) of origin" in caplog.text


async def test_forwarded_rows_of_a_spool_whose_cursor_expired_are_doubled_and_reported(
    empty_kafka: EmbeddedKafka,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The ingress was killed before it removed them, and the spool was not held for long."""
    kafka = plaintext(empty_kafka.address)
    with contextlib.closing(Pipe(empty_kafka.address, tmp_path / "spool")) as pipe:
        with monkeypatch.context() as killed:
            killed.setattr(AsyncSpool, "remove_forwarded_soon", lambda *_: None)
            await pipe.store(many(100))
            await pipe.forward()
        await delete_group(kafka, cursor_group(pipe.spool.origin))
        # The rows count as older than a day.
        monkeypatch.setattr(topic_check, "CURSOR_HOURS_MIN", -2)
        await pipe.store(many(20, first=101))
        await pipe.forward()
        assert await forwarded(empty_kafka, pipe) == sorted([*range(1, 101), *range(1, 121)])
        archive = tmp_path / "archive"
        open_store(str(archive), create_directory=True)
        report = await pipe.audit(archive)
    assert [each.doubled for each in report.origins] == [100]
    assert caplog.text.count("Kafka has no cursor of origin") == 1


async def test_no_row_is_left_in_a_topic_that_is_deleted_within_its_transaction(
    empty_kafka: EmbeddedKafka, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction is aborted, and all of its rows go to the new topic."""
    left = 1
    check = TopicCheck.check

    async def recreate_and_check(topic: TopicCheck, producer: AIOKafkaProducer) -> None:
        """Recreate the topic after the brokers have acknowledged a transaction's records."""
        nonlocal left
        if left:
            left -= 1
            await recreate_topic(empty_kafka.address)
        await check(topic, producer)

    monkeypatch.setattr(TopicCheck, "check", recreate_and_check)

    with contextlib.closing(Pipe(empty_kafka.address, tmp_path / "spool")) as pipe:
        await pipe.store(many(300))
        await pipe.forward(seconds=180)
        assert await forwarded(empty_kafka, pipe) == list(range(1, 301))
    assert not left
