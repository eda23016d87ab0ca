"""Read the selected callbacks from the archive, segment by segment."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial

from consumers.archive import segment_name
from consumers.archive.segment import SegmentSummary, read_summary
from consumers.archive.store import SegmentStore
from consumers.runtime.batch import Partition, Record
from ops.archive.segments import in_order, naming
from ops.records.archived import chain_from, segment_records
from ops.replay.selection import ReplaySelection
from ops.replay.source import Part, SourceIncomplete
from schemas.topics import CALLBACKS


class ArchiveSource:
    """Use `archive_source`."""

    def __init__(self, store: SegmentStore, selection: ReplaySelection) -> None:
        self._store = store
        self._range = selection.time_range
        self._selects = selection.selects()
        self.notes: list[str] = []

    async def topic_id(self, partition: Partition) -> str | None:
        """Return the topic id of the partition's chain."""
        last = await self._store.last(partition)
        if last is None:
            return None
        with naming(last):
            return (await self._store.summary(last)).topic_id or None

    async def size(self, positions: Mapping[Partition, int]) -> int:
        """Return the number of segments."""
        count = 0
        async with contextlib.aclosing(self._names(positions)) as names:
            async for _ in names:
                count += 1
        return count

    async def parts(self, positions: Mapping[Partition, int]) -> AsyncGenerator[Part]:
        """
        Yield the records of each segment.

        Raises:
            SourceIncomplete: a segment of the range is missing, also at its beginning or end.
            Unavailable: the store does not answer.
            DamagedSegment: a segment cannot be read.
        """
        reached = {partition: at for partition, at in positions.items() if at}
        names = self._names(positions, with_neighbours=True)
        async with contextlib.aclosing(in_order(names, partial(self._read, positions))) as segments:
            async for name, segment in segments:
                if segment is None:
                    if self._is_in_range(name):
                        raise SourceIncomplete(f"segment {name} was deleted before it was read")
                    continue
                summary, records = segment
                partition = Partition(summary.topic, summary.partition)
                _check_chain(name, summary, reached.get(partition))
                reached[partition] = max(reached.get(partition, 0), summary.next_offset)
                if self._is_in_range(name):
                    yield Part(partition, records, summary.next_offset, summary.topic_id or None, 1)

    async def _read(
        self, positions: Mapping[Partition, int], name: str
    ) -> tuple[SegmentSummary, list[Record]]:
        with naming(name):
            if not self._is_in_range(name):
                return await self._store.summary(name), []
            content = await self._store.read(name)
            position = positions.get(_partition(name), 0)
            return await asyncio.to_thread(_selected, content, self._selects, position)

    async def _names(
        self, positions: Mapping[Partition, int], *, with_neighbours: bool = False
    ) -> AsyncGenerator[str]:
        """
        Yield the names of the range, without segments that end at or before a position.

        Also yield the names right before and right after them: their summaries show whether
        segments of the range are missing.
        """
        for partition in await self._store.partitions():
            if partition.topic != CALLBACKS.name:
                continue
            pairs = chain_from(self._store, partition, positions.get(partition, 0))
            yielded = ""
            async with contextlib.aclosing(pairs):
                async for pair in pairs:
                    for name in pair if self._overlaps(pair) else ():
                        if name > yielded and (with_neighbours or self._is_in_range(name)):
                            yield name
                            yielded = name

    def _is_in_range(self, name: str) -> bool:
        return self._overlaps((name,))

    def _overlaps(self, names: Sequence[str]) -> bool:
        """Return whether the hours of consecutive segments, and those between, are of the range."""
        wide = self._range.widened()
        hours = [segment_name.hour(name) for name in names]
        return min(hours) <= wide.last_hour and max(hours) >= wide.first_hour


async def archive_source(store: SegmentStore, selection: ReplaySelection) -> ArchiveSource:
    """
    Return the archive as a source.

    Raises:
        Unavailable: the store does not answer.
    """
    source = ArchiveSource(store, selection)
    first_hour = f"{selection.since:%Y-%m-%dT%H}" if selection.since else ""
    partitions = [each for each in await store.partitions() if each.topic == CALLBACKS.name]
    hours = [await _cut_at(store, each) for each in partitions]
    cut = [hour for hour in hours if hour > first_hour]
    if cut:
        source.notes.append(
            f"the archive of {len(cut)} of {len(partitions)} partitions begins in the hour"
            f" {min(cut)}: earlier records were expired, or were never in it"
        )
    if note := await _ends(store, partitions, selection):
        source.notes.append(note)
    return source


async def _ends(
    store: SegmentStore, partitions: Sequence[Partition], selection: ReplaySelection
) -> str:
    """Return a sentence about the chains that end before the range does, "" if none does."""
    ends: list[tuple[int, Partition]] = []
    until_ms = selection.time_range.until.timestamp() * 1000
    for partition in partitions:
        if (name := await store.last(partition)) is None:
            continue
        with naming(name):
            last = await store.summary(name)
        at_ms = last.last_timestamp_ms if last.last_offset >= 0 else -1
        if at_ms < until_ms:
            ends.append((at_ms, partition))
    if not ends:
        return ""
    at_ms, first = min(ends)
    end = f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
    return (
        f"the archive of {len(ends)} of {len(partitions)} partitions ends before"
        f" {'--until' if selection.until else 'now'}, that of {first}"
        f" {'has no callbacks' if at_ms < 0 else f'at {end}'}: later callbacks are not in the"
        " archive yet, if there are any"
    )


async def _cut_at(store: SegmentStore, partition: Partition) -> str:
    """Return the first hour of a chain that does not begin at the first offset, "" if it does."""
    async with contextlib.aclosing(store.pages(partition)) as pages:
        async for page in pages:
            for name in page:
                if segment_name.first_offset(name) == 0:
                    return ""
                if segment_name.hour(name) != segment_name.BEGINNING:
                    return segment_name.hour(name)
    return ""


def _partition(name: str) -> Partition:
    """Return the partition of a segment's name."""
    topic, number, _ = name.rsplit("/", 2)
    return Partition(topic, int(number))


def _check_chain(name: str, summary: SegmentSummary, reached: int | None) -> None:
    """
    Check that no segment is missing before this one.

    Raises:
        SourceIncomplete: some are missing.
    """
    # Records before the beginning of a chain have expired, or were never in the archive.
    if segment_name.hour(name) == segment_name.BEGINNING or reached is None:
        return
    if summary.begins_at > reached:
        raise SourceIncomplete(
            f"the archive lacks the segments of {summary.topic}/{summary.partition} from offset"
            f" {reached} until {summary.begins_at}: see hookline archive verify"
        )


def _selected(
    content: bytes, selects: Callable[[Record], bool], position: int
) -> tuple[SegmentSummary, list[Record]]:
    """Return the selected records of a segment, from `position` on."""
    records = segment_records(content, position)
    return read_summary(content), list(filter(selects, records))
