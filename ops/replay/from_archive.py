"""Read the selected callbacks from the archive, segment by segment."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping

from consumers.archive import segment_name
from consumers.archive.segment import SegmentSummary, decode_line, read_lines, read_summary
from consumers.archive.store import SegmentStore
from consumers.runtime.batch import Partition, Record
from ops.archive.segments import in_order, naming
from ops.records.archived import record_of, segment_names_between
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
            SourceIncomplete: a segment of the range is missing.
            Unavailable: the store does not answer.
            DamagedSegment: a segment cannot be read.
        """

        async def read(name: str) -> tuple[SegmentSummary, list[Record]]:
            content = await self._store.read(name)
            position = positions.get(_partition(name), 0)
            with naming(name):
                return await asyncio.to_thread(_selected, content, self._selects, position)

        reached: dict[Partition, int] = {}
        async with contextlib.aclosing(in_order(self._names(positions), read)) as segments:
            async for name, segment in segments:
                if segment is None:
                    raise SourceIncomplete(f"segment {name} was deleted before it was read")
                summary, records = segment
                partition = Partition(summary.topic, summary.partition)
                if summary.begins_at > reached.get(partition, summary.begins_at):
                    raise SourceIncomplete(
                        f"the archive lacks the segments of {partition} from offset"
                        f" {reached[partition]} until {summary.begins_at}: see hookline archive"
                        " verify"
                    )
                reached[partition] = summary.next_offset
                yield Part(partition, records, summary.next_offset, summary.topic_id or None, 1)

    async def _names(self, positions: Mapping[Partition, int]) -> AsyncGenerator[str]:
        """Yield the names of the range, without segments that end at or before a position."""
        before = ""
        async with contextlib.aclosing(
            segment_names_between(self._store, CALLBACKS.name, self._range)
        ) as names:
            async for name in names:
                if before and not _is_read(before, name, positions):
                    yield before
                before = name
        if before:
            yield before


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
    return source


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


def _is_read(name: str, following: str, positions: Mapping[Partition, int]) -> bool:
    """Return whether all records of a segment are before the position of its partition."""
    partition = _partition(name)
    position = positions.get(partition, 0)
    return _partition(following) == partition and segment_name.first_offset(following) <= position


def _selected(
    content: bytes, selects: Callable[[Record], bool], position: int
) -> tuple[SegmentSummary, list[Record]]:
    """Return the selected records of a segment, from `position` on."""
    records = map(record_of, map(decode_line, read_lines(content)))
    return read_summary(content), [r for r in records if r.offset >= position and selects(r)]
