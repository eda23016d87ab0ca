"""
Whether the archive is what was written: each file, each chain, the numbers. Pure; it reads nothing.

A file shows any change by its checksums. A segment tells where the chain stood before it, so a
chain shows whatever is missing between two segments. Sequences show what came twice.
"""

import base64
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec
import zstandard

from consumers.archive import segment, segment_name
from consumers.archive.segment import DamagedSegment, Line, SegmentSummary
from consumers.runtime.batch import Partition
from schemas.event import place

HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """What one file is found to be. `summary` is None where it cannot be read."""

    name: str
    summary: SegmentSummary | None
    faults: list[str]
    places: list[tuple[str, int]] = field(default_factory=list)


def check(name: str, content: bytes) -> Checked:
    """Hold a file against its summary, and against its name."""
    try:
        summary = segment.read_summary(content)
    except DamagedSegment as damaged:
        return Checked(name=name, summary=None, faults=[str(damaged)])
    lines = _Lines(summary)
    try:
        for text in segment.read_lines(content):
            lines.see(text)
    except (DamagedSegment, zstandard.ZstdError) as damaged:
        return Checked(name=name, summary=summary, faults=[str(damaged)], places=lines.places)
    faults = [*lines.faults, *_differences(summary, lines), *_misnamed(name, summary)]
    return Checked(name=name, summary=summary, faults=faults, places=lines.places)


class _Lines:
    """What the lines of a file come to."""

    def __init__(self, summary: SegmentSummary) -> None:
        self.places: list[tuple[str, int]] = []
        self.faults: list[str] = []
        self.count = 0
        self.first: tuple[int, int] | None = None
        self.last: tuple[int, int] | None = None
        self._partition = (summary.topic, summary.partition)

    def see(self, text: bytes) -> None:
        self.count += 1
        try:
            text.decode()
            line = msgspec.json.decode(text, type=Line)
            if line.body_base64 is not None:
                base64.b64decode(line.body_base64, validate=True)
        except (ValueError, msgspec.DecodeError) as error:
            self.faults.append(f"line {self.count} is no record's: {error}")
            return
        if (line.topic, line.partition) != self._partition:
            self.faults.append(f"line {self.count} is of {line.topic}/{line.partition}")
        if (line.body_base64 is None) == (not bytes(line.body)):
            self.faults.append(f"line {self.count} does not have one body")
        if self.last is not None and line.offset <= self.last[0]:
            self.faults.append(f"line {self.count}: offset {line.offset} behind {self.last[0]}")
        self.last = (line.offset, line.timestamp)
        self.first = self.first or self.last
        if line.timestamp // HOUR_MS > self.first[1] // HOUR_MS:
            self.faults.append(f"line {self.count} is of a later hour than the first")
        headers = [(header, (value or "").encode()) for header, value in line.headers.items()]
        self.places.append(place(headers))


def _differences(summary: SegmentSummary, lines: _Lines) -> Iterator[str]:
    if summary.version != segment.VERSION:
        yield f"the summary has version {summary.version}, which this program does not know"
    if not summary.begins_at <= summary.first_offset <= summary.next_offset:
        yield "the summary's offsets are not in order"
    if summary.last_offset >= summary.next_offset:
        yield "the summary's next_offset is not behind its last record"
    if lines.count != summary.records:
        yield f"it has {lines.count} lines, but the summary tells {summary.records}"
    if lines.first is None or lines.last is None:
        return
    told = (
        (summary.first_offset, summary.first_timestamp_ms),
        (summary.last_offset, summary.last_timestamp_ms),
        (summary.last_origin, summary.last_sequence),
        summary.origins,
    )
    of_origins = segment.bounds((origin, (number, number)) for origin, number in lines.places)
    if told != (lines.first, lines.last, lines.places[-1], of_origins):
        yield "the summary tells other offsets, times or sequences than the lines"


def _misnamed(name: str, summary: SegmentSummary) -> Iterator[str]:
    partition = Partition(summary.topic, summary.partition)
    at_ms = summary.first_timestamp_ms if summary.records else summary.last_timestamp_ms
    right = ""
    if segment_name.hour(name) == segment_name.BEGINNING and not summary.records:
        right = segment_name.of_beginning(partition, summary.first_offset)
    else:
        with contextlib.suppress(ValueError, OverflowError, OSError):
            right = segment_name.of_record(
                partition, offset=summary.first_offset, timestamp_ms=at_ms
            )
    if name != right:
        yield "its name is not the one that its content makes"


class Chain:
    """
    The segments of one partition, one behind the other.

    `faults`: names, and what is wrong between the segment and the one before it. What lies before
    the last beginning is expired, all or some of it, so nothing is asked of it.
    """

    def __init__(self) -> None:
        self.faults: list[tuple[str, str]] = []
        self._last: SegmentSummary | None = None
        self._unreadable = False

    def add(self, checked: Checked) -> None:
        """Append a segment."""
        summary, before, unreadable = checked.summary, self._last, self._unreadable
        if summary is None:
            # Its own fault is told; where it ended is not known.
            self._unreadable = True
            return
        if before is None or summary.next_offset >= before.next_offset:
            self._last, self._unreadable = summary, False
        if segment_name.hour(checked.name) == segment_name.BEGINNING:
            self.faults.clear()
        elif before is not None:
            found = _between(before, summary, unreadable=unreadable)
            self.faults += [(checked.name, fault) for fault in found]
        elif not unreadable:
            self.faults.append((checked.name, "the beginning of its chain is missing"))


def _between(before: SegmentSummary, summary: SegmentSummary, *, unreadable: bool) -> Iterator[str]:
    if before.topic_id and summary.topic_id and before.topic_id != summary.topic_id:
        yield (
            f"it is of the topic with the id {summary.topic_id}, the segment before it of the one "
            f"with the id {before.topic_id}: two pipelines wrote to this archive"
        )
    if summary.first_offset < before.next_offset:
        yield f"it overlaps the one before it, which ends before offset {before.next_offset}"
    elif unreadable:
        return  # something lies between, but nobody knows what
    elif summary.begins_at > before.next_offset:
        between = f"{before.next_offset} to {summary.begins_at - 1}"
        yield f"what lies before it is missing: offsets {between}"
    elif not summary.records and _end(summary) != _end(before):
        yield "it tells another last record than the segment before it has"


def _end(summary: SegmentSummary) -> tuple[int, str, int]:
    return summary.last_offset, summary.last_origin, summary.last_sequence
