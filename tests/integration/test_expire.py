"""Expiry with a real Kafka: the archive continues; verify and audit report what has expired."""

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from aiokafka import TopicPartition
from msgspec.structs import replace as of_id
from support.archive.reader import archived_records
from support.kafka.access import plaintext
from support.kafka.parts import Pipe, delete_before, many, run_until

from consumers.archive.consumer import ArchiveHandler
from consumers.archive.store import SegmentStore, open_store
from consumers.runtime.batch import Limits, Partition, Position
from ops.archive import expire
from ops.archive.verify import verify
from ops.audit.audit import audit
from ops.audit.report import ARCHIVE, OriginReport
from ops.audit.sources import Sources
from ops.demo.embedded.child import free_port
from ops.demo.embedded.kafka import EmbeddedKafka
from schemas.topics import CALLBACKS

LIMITS = Limits(records=10, bytes=1 << 20, age_s=0.2, period_s=3600)
# Of a day that is after everything that the test writes.
LATER_MS = round(time.time() * 1000) + 24 * 3600 * 1000


def nothing(*_: object) -> None:
    """Ignore the progress."""


class Reached:
    """Whether the summaries of an archive have at least `count` records."""

    def __init__(self, directory: Path, count: int) -> None:
        self._directory = directory
        self._count = count

    def __call__(self) -> bool:
        """Count the records again."""
        return archived_records(self._directory) >= self._count


async def positions(store: SegmentStore) -> dict[Partition, Position | None]:
    """Return the position of the archive."""
    handler = ArchiveHandler(store)
    return {each: await handler.position(each) for each in await store.partitions()}


async def audited(pipe: Pipe, directory: Path) -> OriginReport:
    """Return the audit's result for the pipe's origin."""
    report = await audit(
        pipe.ends,
        Sources(kafka=plaintext(pipe.bootstrap_servers), archive=str(directory)),
        ledger=[],
        wait_s=0,
        progress=nothing,
    )
    (origin_report,) = [each for each in report.origins if each.origin == pipe.spool.origin]
    return origin_report


async def expire_all(store: SegmentStore, bootstrap_servers: str) -> int:
    """Expire everything that may be deleted, of any age; return the number of records."""

    async def log_starts(partitions: list[Partition]) -> dict[Partition, int]:
        return await expire.log_starts(plaintext(bootstrap_servers), partitions)

    going = await expire.plan(store, log_starts=log_starts, before_ms=LATER_MS, step=nothing)
    if going:
        await expire.check_topic_ids(plaintext(bootstrap_servers), going)
        with pytest.raises(expire.LogStartUnknown, match=f"{CALLBACKS.name} has the id"):
            await expire.check_topic_ids(plaintext(bootstrap_servers), of_another_topic(going))
    for segments in going.values():
        await expire.delete(store, segments, nothing)
    return sum(each.summary.records for segments in going.values() for each in segments)


def of_another_topic(
    going: Mapping[Partition, Sequence[expire.StoredSegment]],
) -> dict[Partition, list[expire.StoredSegment]]:
    """Return the same segments, as if they were of a topic with another id."""
    return {
        partition: [
            replace(each, summary=of_id(each.summary, topic_id="other")) for each in segments
        ]
        for partition, segments in going.items()
    }


async def test_only_segments_that_kafka_does_not_have_expire(
    empty_kafka: EmbeddedKafka, tmp_path: Path, group: str
) -> None:
    """The archive continues; audit and verify prove the rest, and report what has expired."""
    with contextlib.closing(Pipe(empty_kafka.address, tmp_path / "spool")) as pipe:
        await what_goes(empty_kafka, pipe, tmp_path / "archive", group)


async def what_goes(empty_kafka: EmbeddedKafka, pipe: Pipe, directory: Path, group: str) -> None:
    """Run the test for one kind of store."""
    store = open_store(str(directory), create_directory=True)

    async def archive(count: int) -> None:
        await run_until(
            ArchiveHandler(store),
            Reached(directory, count),
            bootstrap_servers=empty_kafka.address,
            group=group,
            limits=LIMITS,
        )

    for first in (1, 201):
        await pipe.store(many(200, first))
        await pipe.forward()
    await archive(400)
    assert await expire_all(store, empty_kafka.address) == 0
    assert (await audited(pipe, directory)).expired == 0

    # Retention takes two fifths of every partition; nothing is lost by that.
    before = await positions(store)
    middle = {
        TopicPartition(*partition): position.next_offset * 2 // 5
        for partition, position in before.items()
        if position
    }
    await delete_before(empty_kafka.address, middle)
    origin_report = await audited(pipe, directory)
    assert (origin_report.missing, origin_report.doubled, origin_report.expired) == (0, 0, 0)

    gone = await expire_all(store, empty_kafka.address)
    assert 50 < gone < 200
    assert archived_records(directory) == 400 - gone
    assert await positions(store) == before
    origin_report = await audited(pipe, directory)
    assert (origin_report.missing, origin_report.doubled, origin_report.expired) == (0, 0, gone)
    assert origin_report.sinks[ARCHIVE].sequences == 400 - gone

    await pipe.store(many(50, 401))
    await pipe.forward()
    await archive(450 - gone)
    verified = await verify(store, wait_s=0, listed=nothing, step=nothing)
    assert (verified.faults, verified.sound, verified.absent) == ([], True, 0)
    origin_report = await audited(pipe, directory)
    assert (origin_report.missing, origin_report.doubled, origin_report.expired) == (0, 0, gone)

    # A segment that was lost and has not expired is missing.
    chains = [await store.names(each) for each in await store.partitions()]
    names = next(names for names in chains if len(names) > 3)
    lost = await store.summary(names[-1])
    await store.delete(names[-1])
    assert (await audited(pipe, directory)).missing == lost.records


async def test_nothing_expires_if_kafka_does_not_report_first_offsets(
    kafka: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no broker, no such topic, or no such partition."""
    p0 = Partition(CALLBACKS.name, 0)
    assert set(await expire.log_starts(plaintext(kafka), [p0])) == {p0}
    monkeypatch.setattr(expire, "KAFKA_TIMEOUT_S", 5)
    for address, partition in (
        (f"127.0.0.1:{free_port()}", p0),
        (kafka, Partition("tim.callbacks.v0", 0)),
        (kafka, Partition(CALLBACKS.name, 99)),
    ):
        with pytest.raises(expire.LogStartUnknown):
            await expire.log_starts(plaintext(address), [partition])
