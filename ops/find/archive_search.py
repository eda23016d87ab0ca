"""Search the archive's segments of a range of time: bytes first, then the lines that may match."""

import asyncio
import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime

import msgspec

from consumers.archive.segment import DamagedSegment, Line, read_summary
from consumers.archive.store import SegmentStore
from consumers.runtime.handler import Unavailable
from ops.archive.segments import archive_failure_text, in_order, open_archive
from ops.failure import Failure
from ops.find.collection import ARCHIVE, CallbackCollection, Sighting
from ops.find.question import Question
from ops.find.record_filter import RecordFilter
from ops.find.sources import Extent, NotSearched, Progress
from ops.nouns import counted
from ops.records.archived import line_blocks, segment_names_between
from ops.records.time_range import TimeRange
from schemas.topics import CALLBACKS

# Damaged segments that are named; the others are only counted.
DAMAGED_LISTED_MAX = 5


class ArchiveSearch:
    """Searches one archive for one question."""

    def __init__(
        self, url: str, question: Question, collection: CallbackCollection, progress: Progress
    ) -> None:
        self._url = url
        self._question = question
        self._filter = RecordFilter(question)
        self._lines = self._filter.line_search()
        self._collection = collection
        self._progress = progress
        self._bytes = 0
        self._damaged: list[str] = []

    async def search(self, time_range: TimeRange) -> Extent:
        """
        Search the segments of the hours of a range.

        Raises:
            NotSearched: the archive cannot be read, or a segment of it is damaged.
        """
        try:
            store = open_archive(self._url)
            segments = await self._search(store, time_range)
        except Failure as failure:
            raise NotSearched(str(failure)) from failure
        except Unavailable as error:
            raise NotSearched(archive_failure_text(error)) from error
        if self._damaged:
            listed = "; ".join(self._damaged[:DAMAGED_LISTED_MAX])
            raise NotSearched(
                f"{len(self._damaged)} of {segments} segments are damaged: {listed}; run hookline"
                " archive verify"
            )
        return Extent(f"{counted(segments, 'segment')}, {self._bytes / 1e6:,.1f} MB", time_range)

    async def _search(self, store: SegmentStore, time_range: TimeRange) -> int:
        segments = 0

        async def read(name: str) -> list[tuple[int, Line]]:
            content = await store.read(name)
            self._bytes += len(content)
            try:
                return await asyncio.to_thread(self._matching, content)
            except DamagedSegment as damaged:
                self._damaged.append(f"{name}: {damaged}")
                return []

        names = segment_names_between(store, CALLBACKS.name, time_range)
        async with contextlib.aclosing(in_order(names, read)) as results:
            async for name, lines in results:
                segments += 1
                self._progress(f"archive: {segments} segments, {self._bytes / 1e6:,.0f} MB")
                for number, line in lines or ():
                    self._add(name, number, line)
        return segments

    def _matching(self, content: bytes) -> list[tuple[int, Line]]:
        """Return the wanted lines of a segment with their numbers, from 1 on."""
        summary = read_summary(content)
        if self._question.place:
            origin, sequence = self._question.place
            low, high = summary.origins.get(origin, (1, 0))
            if not low <= sequence <= high:
                return []
        matching: list[tuple[int, Line]] = []
        before = 0
        for block in line_blocks(content, summary):
            for start, encoded in self._lines.lines(block):
                line = _decode(encoded)
                if self._filter.matches(headers_of(line), line.value):
                    matching.append((before + block.count(b"\n", 0, start) + 1, line))
            before += block.count(b"\n")
        return matching

    def _add(self, name: str, number: int, line: Line) -> None:
        sighting = Sighting(
            store=ARCHIVE,
            where=f"{name} line {number}",
            at=datetime.fromtimestamp(line.timestamp / 1000, UTC),
            partition=line.partition,
            offset=line.offset,
        )
        self._collection.add(headers_of(line), line.value, sighting)


def headers_of(line: Line) -> Mapping[str, str]:
    """Return the headers of a line that have a value."""
    return {name: value for name, value in line.headers.items() if value is not None}


def _decode(line: bytes) -> Line:
    try:
        return msgspec.json.decode(line, type=Line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DamagedSegment(f"a line cannot be read: {error}") from error
