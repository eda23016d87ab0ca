"""Plan a rebuild of the counts: where to begin in each partition, and what only the archive has."""

import contextlib
from dataclasses import dataclass
from datetime import datetime

from consumers.archive.store import SegmentStore
from consumers.runtime.batch import Partition
from consumers.runtime.handler import Stopped
from ops.counters import archived
from ops.counters.generations import Generations
from ops.failure import Failure
from ops.records.callbacks_topic import CallbacksTopic, OffsetRange
from ops.records.same_topic import check_same_topic


class Incomplete(Failure):
    """Records are neither in Kafka nor in the archive."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """
    The records of one partition that are to be counted, from the offset `begins_at` on.

    `is_continued`: a rebuild was interrupted there.
    """

    partition: Partition
    begins_at: int
    is_continued: bool
    kafka: OffsetRange

    @property
    def remaining(self) -> int:
        """The number of offsets that are not counted yet."""
        return max(0, self.kafka.end - self.begins_at)

    @property
    def from_archive(self) -> int:
        """The number of offsets that only the archive has."""
        return max(0, self.kafka.start - self.begins_at)


async def check_served(generations: Generations, topic: CallbacksTopic) -> None:
    """
    Check that the counts that are served may be of this topic.

    Raises:
        OtherTopic: they are of another one: the Valkey is that of another pipeline.
        Unavailable: Valkey does not answer.
    """
    # A position that is damaged, or was written by an early version, is a reason to count again.
    with contextlib.suppress(Stopped):
        served = await generations.positions(await generations.served())
        check_same_topic(served.values(), "the Valkey", topic.name, await topic.id())


async def plan(
    generations: Generations,
    topic: CallbacksTopic,
    store: SegmentStore | None,
    since: datetime | None,
) -> list[Part]:
    """
    Return what is to be counted of each partition.

    Raises:
        Incomplete: the first records are neither in Kafka nor in the archive.
        OtherTopic: an interrupted rebuild has counted records of another topic.
        Unavailable: the archive or Valkey does not answer.
    """
    rebuilding = await generations.rebuilding()
    stored = await generations.positions(rebuilding) if rebuilding else {}
    interrupted = "the interrupted rebuild in Valkey (to begin again: --start-over)"
    check_same_topic(stored.values(), interrupted, topic.name, await topic.id())
    ranges = await topic.ranges()
    times = await topic.offsets_at(ranges, since) if since else {}
    parts = []
    for partition, kafka in ranges.items():
        is_continued = partition in stored
        if is_continued:
            at = stored[partition].next_offset
        else:
            at_since = times.get(partition)
            at = await _begins_at(topic, partition, kafka, store, since=since, at_since=at_since)
        part = Part(partition=partition, begins_at=at, is_continued=is_continued, kafka=kafka)
        parts.append(part)
    return parts


async def _begins_at(
    topic: CallbacksTopic,
    partition: Partition,
    kafka: OffsetRange,
    store: SegmentStore | None,
    *,
    since: datetime | None,
    at_since: int | None,
) -> int:
    """Return the offset of the first record to count."""
    if since and at_since is None:
        return kafka.end
    begin = at_since or 0
    if kafka.start == 0 or begin > kafka.start:
        return begin
    # Kafka's first record is not older than `since`, so older ones may have been deleted.
    archived_at = await archived.first_offset(store, partition, since) if store else None
    if archived_at is not None and archived_at <= kafka.start:
        return archived_at
    if since:
        return kafka.start
    explanation = "the archive does not have them" if store else "no archive is named"
    raise Incomplete(
        f"Kafka does not have the first {kafka.start} offsets of {topic.name_in_kafka(partition)} "
        f"any more, and {explanation}; add --archive URL, or count only what there is, with --since"
    )
