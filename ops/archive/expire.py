"""
Delete the archive's oldest segments: what Kafka has not any more, and what is old enough.

A chain that loses its first segments gets a new beginning before that, which says up to where it
was expired and which sequences were in it. So verify and audit tell what was expired from what is
lost.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeAlias

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from consumers.archive import new_segment, segment_name
from consumers.archive.segment import SegmentSummary
from consumers.archive.store import Store
from consumers.archive.store_errors import SegmentExists, SegmentNotFound
from consumers.runtime.batch import Partition
from ops.archive.segments import in_order
from ops.failure import Failure
from schemas.clients import started

# Writers drop what they have held for an hour (consumers/runtime/lane.py). One that slept before
# its last step may wake up within this, and still finds the segment that it would write again.
AGE_MIN = timedelta(days=1)
KAFKA_S = 30.0
# Of a partition, at once: their summaries are held, some 1 KiB each.
OLDEST_MAX = 100_000
LogStarts: TypeAlias = Callable[[list[Partition]], Awaitable[dict[Partition, int]]]


class Unknown(Failure):
    """Kafka does not say where its topics begin; then nothing is expired."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A segment that may be expired."""

    name: str
    summary: SegmentSummary
    size: int
    stored_ms: int

    @property
    def begins_chain(self) -> bool:
        """Tell whether it only says where the chain begins."""
        return segment_name.hour(self.name) == segment_name.BEGINNING


def may_go(oldest: Segment, *, log_start: int, before_ms: int) -> bool:
    """
    Tell whether nothing of the segment is in Kafka, and it is older than `before_ms`.

    So must its records be, and itself, which may be much younger: its writer's rivals may be, too.
    A chain's beginning is as old as what follows it.
    """
    return (
        oldest.summary.next_offset <= log_start
        and oldest.summary.last_timestamp_ms < before_ms
        and (oldest.begins_chain or oldest.stored_ms < before_ms)
    )


def expired(oldest: Sequence[Segment]) -> list[Segment]:
    """
    Return which of a chain's `oldest` segments, all of which may go, do go.

    The beginning that the chain has stays, if nothing behind it goes.
    """
    return list(oldest[:-1] if oldest and oldest[-1].begins_chain else oldest)


async def log_starts(
    bootstrap_servers: str, partitions: Sequence[Partition]
) -> dict[Partition, int]:
    """
    Return the lowest offset that Kafka still has of each partition.

    Raises:
        Unknown: Kafka does not answer, or does not know one of them.
    """
    try:
        async with asyncio.timeout(KAFKA_S):
            if unknown := set(partitions) - await _known(bootstrap_servers):
                names = ", ".join(sorted(map(str, unknown)))
                raise Unknown(f"Kafka at {bootstrap_servers} does not have {names}")
            return await _beginnings(bootstrap_servers, partitions)
    except (KafkaError, TimeoutError) as error:
        raise Unknown(f"Kafka at {bootstrap_servers}: {error!r}") from error


async def _known(bootstrap_servers: str) -> set[Partition]:
    # All topics: one that is asked for by its name may be made by the broker.
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    async with started(admin, KAFKA_S):
        return {
            Partition(topic["topic"], partition["partition"])
            for topic in await admin.describe_topics()
            for partition in topic["partitions"]
        }


async def _beginnings(
    bootstrap_servers: str, partitions: Sequence[Partition]
) -> dict[Partition, int]:
    reader = AIOKafkaConsumer(bootstrap_servers=bootstrap_servers, enable_auto_commit=False)
    async with started(reader, KAFKA_S):
        found = await reader.beginning_offsets([TopicPartition(*each) for each in partitions])
    return {Partition(tp.topic, tp.partition): offset for tp, offset in found.items()}


async def plan(
    store: Store, *, log_starts: LogStarts, before_ms: int, step: Callable[[], None]
) -> dict[Partition, list[Segment]]:
    """
    Return what may be deleted, by partition, oldest first; never a partition's last segment.

    OLDEST_MAX of a partition at most: run it again for more.

    Raises:
        Unknown: Kafka does not say where its topics begin.
        DamagedSegment: a summary cannot be read.
        Unavailable: the store does not answer.
    """
    lasts = {each: await store.last(each) for each in await store.partitions()}
    starts = await log_starts([partition for partition, last in lasts.items() if last])
    found: dict[Partition, list[Segment]] = {}

    async def read(name: str) -> Segment:
        summary, stored = await asyncio.gather(store.summary(name), store.stat(name))
        return Segment(name=name, summary=summary, size=stored.size, stored_ms=stored.at_ms)

    for partition, last in lasts.items():
        oldest: list[Segment] = []
        names = _before(store, partition, last or "")
        async with contextlib.aclosing(in_order(names, read)) as segments:
            async for _, each in segments:
                step()
                if each is None:
                    continue  # another one expires it
                if not may_go(each, log_start=starts[partition], before_ms=before_ms):
                    break
                oldest.append(each)
                if len(oldest) == OLDEST_MAX:
                    break
        if going := expired(oldest):
            found[partition] = going
    return found


async def _before(store: Store, partition: Partition, last: str) -> AsyncGenerator[str]:
    async with contextlib.aclosing(store.pages(partition)) as pages:
        async for page in pages:
            for name in page:
                if name >= last:
                    return
                yield name


async def delete(store: Store, going: Sequence[Segment], step: Callable[[], None]) -> None:
    """
    Delete the oldest segments of one chain. Cut short, it may be run again.

    Raises:
        Unavailable: some may have been deleted, the oldest first.
    """
    if not going[-1].begins_chain:
        name, content = new_segment.moved_beginning([each.summary for each in going])
        with contextlib.suppress(SegmentExists):
            await store.create(name, content)
    for each in going:
        with contextlib.suppress(SegmentNotFound):
            await store.delete(each.name)
        step()
