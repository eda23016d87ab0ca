"""
`hookline archive expire`: delete the oldest segments whose records Kafka does not have any more.

Before a chain loses its first segments, it gets a new beginning, which states the offset up to
which it has expired, and the ranges of the expired sequences. By it, verify and audit distinguish
expired sequences from lost ones.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from consumers.archive import new_segment, segment_name
from consumers.archive.segment import SegmentSummary
from consumers.archive.store import SegmentStore
from consumers.archive.store_errors import SegmentExists, SegmentNotFound
from consumers.runtime.batch import Partition
from consumers.runtime.names import from_kafka, in_kafka
from ops.archive.segments import in_order, naming
from ops.failure import Failure
from ops.records.committed_records import reader_of
from schemas.clients import started
from schemas.kafka_access import KafkaAccess
from schemas.kafka_outage import outage_text
from schemas.topic_ids import topic_id_of

# A writer drops records that it has held for an hour (consumers/runtime/partition_worker.py). If it
# was stalled just before it writes them, it resumes within this time, and the segment must still be
# there: else it would be written again.
DAYS_MIN = 1
KAFKA_TIMEOUT_S = 30.0
# The segments of a partition in one run: their summaries are in memory, some 1 KiB each.
OLDEST_MAX = 100_000
LogStarts: TypeAlias = Callable[[list[Partition]], Awaitable[dict[Partition, int]]]


class LogStartUnknown(Failure):
    """Kafka does not report the first offset of a partition, so nothing may be deleted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredSegment:
    """A segment, with its size and the time when it was stored."""

    name: str
    summary: SegmentSummary
    size: int
    stored_ms: int

    @property
    def begins_chain(self) -> bool:
        """True if it has no records, and only states the offset at which its chain begins."""
        return segment_name.hour(self.name) == segment_name.BEGINNING


def may_expire(oldest: StoredSegment, *, log_start: int, before_ms: int) -> bool:
    """
    Return whether a segment may be deleted: it is older than `before_ms`, and Kafka has none of it.

    Both its records and its file must be older than `before_ms`: another writer that was stalled
    may try to write the same segment until long after its records. A beginning may be deleted with
    the segments after it, whatever its age.
    """
    return (
        oldest.summary.next_offset <= log_start
        and oldest.summary.last_timestamp_ms < before_ms
        and (oldest.begins_chain or oldest.stored_ms < before_ms)
    )


def to_delete(oldest: Sequence[StoredSegment]) -> list[StoredSegment]:
    """
    Return which of a chain's `oldest` segments are deleted; all of them may expire.

    A beginning at their end stays, because no segment after it is deleted.
    """
    return list(oldest[:-1] if oldest and oldest[-1].begins_chain else oldest)


async def log_starts(kafka: KafkaAccess, partitions: Sequence[Partition]) -> dict[Partition, int]:
    """
    Return the first offset that Kafka still has of each partition.

    Raises:
        LogStartUnknown: Kafka does not answer, or does not have one of the partitions.
    """
    try:
        async with asyncio.timeout(KAFKA_TIMEOUT_S):
            if unknown := {in_kafka(kafka, each) for each in partitions} - await _known(kafka):
                names = ", ".join(f"{tp.topic}/{tp.partition}" for tp in sorted(unknown))
                raise LogStartUnknown(f"Kafka at {kafka} does not have {names}; nothing is deleted")
            return await _beginnings(kafka, partitions)
    except (KafkaError, TimeoutError) as error:
        raise LogStartUnknown(f"nothing is deleted: {outage_text(kafka, error)}") from error


async def check_topic_ids(
    kafka: KafkaAccess, plan: Mapping[Partition, Sequence[StoredSegment]]
) -> None:
    """
    Return if the segments to delete are of the topics that Kafka has: only those have its offsets.

    Raises:
        LogStartUnknown: they are of another topic of this name, or Kafka does not answer.
    """
    topics = {partition.topic for partition in plan}
    try:
        async with reader_of(kafka, *topics) as client:
            ids = {each: await topic_id_of(client, kafka.topic(each)) for each in topics}
    except (KafkaError, TimeoutError) as error:
        raise LogStartUnknown(f"nothing is deleted: {outage_text(kafka, error)}") from error
    for partition, segments in plan.items():
        now = ids[partition.topic]
        for each in segments:
            if now and each.summary.topic_id not in ("", now):
                raise LogStartUnknown(
                    f"{each.name} is of the topic with the id {each.summary.topic_id}, but"
                    f" {kafka.topic(partition.topic)} has the id {now}; nothing is deleted. Are"
                    " HOOKLINE_BOOTSTRAP_SERVERS and HOOKLINE_KAFKA_PREFIX those of this archive?"
                )


async def _known(kafka: KafkaAccess) -> set[TopicPartition]:
    # Describe all topics: a broker may create a topic that is described by its name.
    admin = AIOKafkaAdminClient(**kafka.options())
    async with started(admin, KAFKA_TIMEOUT_S, kafka):
        return {
            TopicPartition(topic["topic"], partition["partition"])
            for topic in await admin.describe_topics()
            for partition in topic["partitions"]
        }


async def _beginnings(kafka: KafkaAccess, partitions: Sequence[Partition]) -> dict[Partition, int]:
    reader = AIOKafkaConsumer(**kafka.options(), enable_auto_commit=False)
    async with started(reader, KAFKA_TIMEOUT_S, kafka):
        offsets = await reader.beginning_offsets([in_kafka(kafka, each) for each in partitions])
    return {from_kafka(kafka, tp): offset for tp, offset in offsets.items()}


async def plan(
    store: SegmentStore, *, log_starts: LogStarts, before_ms: int, step: Callable[[], None]
) -> dict[Partition, list[StoredSegment]]:
    """
    Return the segments to delete, by partition, the oldest first, at most OLDEST_MAX of each.

    The last segment of a partition is never among them.

    Raises:
        LogStartUnknown: Kafka does not answer, or does not have one of the partitions.
        DamagedSegment: a summary cannot be read.
        Unavailable: the store does not answer.
    """
    lasts = {each: await store.last(each) for each in await store.partitions()}
    starts = await log_starts([partition for partition, last in lasts.items() if last])
    plan: dict[Partition, list[StoredSegment]] = {}

    async def read(name: str) -> StoredSegment:
        with naming(name):
            summary, stat = await asyncio.gather(store.summary(name), store.stat(name))
        return StoredSegment(name=name, summary=summary, size=stat.size, stored_ms=stat.at_ms)

    for partition, last in lasts.items():
        oldest: list[StoredSegment] = []
        names = _before(store, partition, last or "")
        async with contextlib.aclosing(in_order(names, read)) as segments:
            async for _, each in segments:
                step()
                if each is None:
                    continue  # another process has deleted it
                if not may_expire(each, log_start=starts[partition], before_ms=before_ms):
                    break
                oldest.append(each)
                if len(oldest) == OLDEST_MAX:
                    break
        if deleted := to_delete(oldest):
            plan[partition] = deleted
    return plan


async def _before(store: SegmentStore, partition: Partition, last: str) -> AsyncGenerator[str]:
    async with contextlib.aclosing(store.pages(partition)) as pages:
        async for page in pages:
            for name in page:
                if name >= last:
                    return
                yield name


async def delete(
    store: SegmentStore, segments: Sequence[StoredSegment], step: Callable[[], None]
) -> None:
    """
    Delete the oldest segments of one chain. After an interruption it may be run again.

    Raises:
        Unavailable: the store does not answer; some, the oldest, may have been deleted.
    """
    if not segments[-1].begins_chain:
        name, content = new_segment.moved_beginning([each.summary for each in segments])
        with contextlib.suppress(SegmentExists):
            await store.create(name, content)
    for each in segments:
        with contextlib.suppress(SegmentNotFound):
            await store.delete(each.name)
        step()
