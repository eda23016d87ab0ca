"""
Count all records again, into a generation of counts that is not served yet, then have it served.

The position of each partition is in the new generation, and moves with its counts in one call. So
an interrupted rebuild continues there, and after the change the members do, too: no record is
counted twice in a generation, and none is left out.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from consumers.archive.store import SegmentStore
from consumers.counters.counts import CountersHandler
from consumers.runtime.batch import Batch, Partition, Position, Record
from consumers.runtime.handler import PositionDiffers, Rejected, Stopped, Unavailable
from ops.counters import archived
from ops.counters.generations import Generations
from ops.counters.plan import Part
from ops.failure import Failure
from ops.records.callbacks_topic import KAFKA_S_MAX, CallbacksTopic, OffsetRange
from ops.records.kafka_answers import KafkaUnreadable
from schemas.callback_record import place
from schemas.clients import check_cancellation

BATCH_RECORDS = 5000
# The change is made when no more offsets than these have come during a pass over the topic, at the
# latest after so many passes. The members count the rest, so the statistics show it a moment later.
NEAR_OFFSETS = 1000
PASSES_MAX = 20
# Waits for Valkey, growing up to the second one.
WAIT_S = 0.5
WAIT_S_MAX = 30.0


class RebuildImpossible(Failure):
    """The rebuild cannot continue; the text says why."""


class _Moved(Exception):
    """A position in the new generation is not where this process left it."""


class Rebuild:
    """Counts into one generation. `advance` is called with each number of offsets counted."""

    def __init__(
        self,
        generation: int,
        generations: Generations,
        counts: CountersHandler,
        topic: CallbacksTopic,
        store: SegmentStore | None,
        *,
        records_per_s: float,
        advance: Callable[[int], None],
    ) -> None:
        self._generation = generation
        self._generations = generations
        self._counts = counts
        self._topic = topic
        self._store = store
        self._records_per_s = records_per_s
        self._advance = advance
        self._positions: dict[Partition, Position] = {}
        self._topic_id: str | None = None
        self._due_at = time.monotonic()
        self._is_throttled = True

    async def run(self, parts: Sequence[Part]) -> None:
        """
        Count until nearly all records are in the generation, and have it served.

        Raises:
            RebuildImpossible: the rebuild cannot continue.
        """
        self._topic_id = await self._topic.id()
        for part in parts:
            await self._begin(part.partition, part.begins_at)
        passes = 0
        while True:
            check_cancellation()
            self._positions = dict(await self._generations.positions(self._generation))
            ranges = await self._topic.ranges()
            for partition, kafka in ranges.items():
                if partition not in self._positions:  # it was added meanwhile
                    await self._begin(partition, kafka.start)
            if passes and (self._remaining(ranges) <= NEAR_OFFSETS or passes >= PASSES_MAX):
                break
            with contextlib.suppress(_Moved):
                await self._read_archive(ranges)
                # Records that came during the first pass are counted without a pause: else a limit
                # below the rate of callbacks would never let it end.
                if await self._read_topic(ranges, throttled=not passes):
                    passes += 1
            await self._check_not_ended()
        if not await self._generations.serve(self._generation):
            raise _ended(self._generation)

    async def _begin(self, partition: Partition, offset: int) -> None:
        position = Position(offset, None, self._topic_id)
        await self._generations.begin_partition(self._generation, partition, position)
        self._positions.setdefault(partition, position)
        # The handler learns of its generation.
        await self._counts.position(partition)

    def _remaining(self, ranges: Mapping[Partition, OffsetRange]) -> int:
        at = self._positions
        return sum(max(0, kafka.end - at[p].next_offset) for p, kafka in ranges.items())

    async def _read_archive(self, ranges: Mapping[Partition, OffsetRange]) -> None:
        """Count the records that only the archive has."""
        for partition, kafka in ranges.items():
            at = self._positions[partition].next_offset
            if at >= kafka.start:
                continue
            if self._store is None:
                raise RebuildImpossible(
                    f"Kafka does not have offset {at} of {self._topic.name_in_kafka(partition)} any"
                    " more; run the command again with --archive URL"
                )
            async with contextlib.aclosing(
                archived.records_from(self._store, partition, at)
            ) as segments:
                async for summary, records in segments:
                    self._check_chain(partition, summary.begins_at, summary.topic_id)
                    if records or summary.next_offset > self._positions[partition].next_offset:
                        await self._count(partition, records, summary.next_offset)
                    if summary.next_offset >= kafka.start:
                        break
            if self._positions[partition].next_offset < kafka.start:
                raise RebuildImpossible(
                    f"the archive has {partition} only up to offset"
                    f" {self._positions[partition].next_offset}, and Kafka from {kafka.start} on:"
                    " records between them are lost. Count only what there is: --start-over with"
                    " --since a later time"
                )

    def _check_chain(self, partition: Partition, begins_at: int, topic_id: str) -> None:
        at = self._positions[partition].next_offset
        if begins_at > at:
            raise RebuildImpossible(
                f"the archive has no segment with offset {at} of {partition}: records from there"
                f" to {begins_at} are lost. Count only what there is: --start-over with --since a"
                " later time"
            )
        if topic_id and self._topic_id and topic_id != self._topic_id:
            raise RebuildImpossible(
                f"the archive of {partition} is that of another topic, with the id {topic_id}; the"
                f" topic in Kafka has the id {self._topic_id}. Name the archive of this topic with"
                " --archive, or count only what Kafka has: --start-over with --since a later time"
            )

    async def _read_topic(
        self, ranges: Mapping[Partition, OffsetRange], *, throttled: bool
    ) -> bool:
        """
        Count the records that Kafka has, up to the ends of `ranges`.

        Return False if Kafka has deleted the next ones meanwhile, so that the archive is needed.
        """
        self._is_throttled = throttled
        self._topic.read_from({p: self._positions[p].next_offset for p in ranges})
        moved_at = time.monotonic()
        while self._remaining(ranges):
            fetched = await self._topic.fetch()
            if fetched is None:
                return False
            for partition, records, next_offset in fetched:
                if next_offset > self._positions[partition].next_offset:
                    await self._count(partition, records, next_offset)
                    moved_at = time.monotonic()
                if next_offset >= ranges[partition].end:
                    # Else its later records look like progress, though another one has no leader.
                    self._topic.stop_reading(partition)
            if time.monotonic() > moved_at + KAFKA_S_MAX:
                raise KafkaUnreadable(f"no record came from Kafka for {KAFKA_S_MAX:g} s")
        return True

    async def _count(
        self, partition: Partition, records: Sequence[Record], next_offset: int
    ) -> None:
        for first in range(0, max(1, len(records)), BATCH_RECORDS):
            chunk = records[first : first + BATCH_RECORDS]
            is_last = first + BATCH_RECORDS >= len(records)
            before = self._positions[partition]
            last = (chunk[-1].offset, *place(chunk[-1].headers)) if chunk else before.last
            ends_at = next_offset if is_last else chunk[-1].offset + 1
            reached = Position(ends_at, last, self._topic_id)
            batch = Batch(
                partition=partition, begins_at=before.next_offset, reached=reached, records=chunk
            )
            await self._apply(batch)
            self._positions[partition] = reached
            self._advance(reached.next_offset - before.next_offset)
            await self._throttle(len(chunk))

    async def _apply(self, batch: Batch) -> None:
        """
        Count a batch; wait while Valkey does not answer.

        Raises:
            _Moved: the position is neither where the batch begins nor within it.
            RebuildImpossible: the rebuild cannot continue.
        """
        wait_s = WAIT_S
        while True:
            # The lock may be lost.
            check_cancellation()
            try:
                await self._counts.handle(batch)
            except Rejected as rejected:
                # The consumer has sent it to the dead-letter topic.
                records = [each for each in batch.records if each.offset != rejected.offset]
                batch = replace(batch, records=records)
            except PositionDiffers as differs:
                at = differs.next_offset
                if at == batch.reached.next_offset:
                    return  # Valkey had applied it, and its answer was lost
                if at is None or not batch.begins_at < at < batch.reached.next_offset:
                    raise _Moved from differs
                records = [each for each in batch.records if each.offset >= at]
                batch = replace(batch, begins_at=at, records=records)
            except Unavailable:
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, WAIT_S_MAX)
            except Stopped as stopped:
                raise RebuildImpossible(f"generation {self._generation}: {stopped}") from stopped
            else:
                return

    async def _throttle(self, records: int) -> None:
        if not self._is_throttled:
            return
        now = time.monotonic()
        self._due_at = max(self._due_at, now - 1.0) + records / self._records_per_s
        await asyncio.sleep(max(0.0, self._due_at - now))

    async def _check_not_ended(self) -> None:
        if await self._generations.rebuilding() != self._generation:
            raise _ended(self._generation)


def _ended(generation: int) -> RebuildImpossible:
    return RebuildImpossible(
        f"another process has ended the rebuild of generation {generation}, or Valkey was emptied;"
        " nothing was changed. Run the command again"
    )
