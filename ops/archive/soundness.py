"""
Check a segment by itself, and the chain of a partition's segments. Does no I/O.

Checksums show any change of a segment. Each segment has the offset at which the chain ended before
it, so a chain shows any segment that is missing.
"""

import base64
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

from consumers.archive import segment, segment_name
from consumers.archive.segment import DamagedSegment, Line, SegmentSummary
from consumers.runtime.batch import Partition
from schemas.callback_record import place
from schemas.printable import printable

HOUR_MS = 3_600_000
# The rest of a segment with so many faults is not read.
FAULTS_MAX = 1000
TEXT_CHARACTERS_MAX = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedSegment:
    """A segment and its faults. `summary` is None if it cannot be read."""

    name: str
    summary: SegmentSummary | None
    faults: list[str]
    places: list[tuple[str, int]] = field(default_factory=list)


def check(name: str, content: bytes) -> CheckedSegment:
    """Compare the lines of a segment with its summary, and its summary with its name."""
    try:
        summary = segment.read_summary(content)
    except DamagedSegment as damaged:
        return CheckedSegment(name=name, summary=None, faults=[str(damaged)])
    lines = _Lines(summary)
    try:
        for text in segment.read_lines(content):
            lines.add(text)
    except DamagedSegment as damaged:
        faults = [str(damaged), *lines.faults]
        return CheckedSegment(name=name, summary=summary, faults=faults, places=lines.places)
    faults = [*lines.faults, *_differences(summary, lines), *_misnamed(name, summary)]
    return CheckedSegment(name=name, summary=summary, faults=faults, places=lines.places)


class _Lines:
    """The places, the faults and the bounds of a segment's lines."""

    def __init__(self, summary: SegmentSummary) -> None:
        self.places: list[tuple[str, int]] = []
        self.faults: list[str] = []
        self.count = 0
        self.first: tuple[int, int] | None = None
        self.last: tuple[int, int] | None = None
        self._partition = (summary.topic, summary.partition)

    def add(self, text: bytes) -> None:
        if len(self.faults) >= FAULTS_MAX:
            # Each of the millions of lines that a small file unpacks to may have a fault.
            raise DamagedSegment(f"it has {FAULTS_MAX} faults; line {self.count + 1} is not read")
        self.count += 1
        try:
            text.decode()
            line = msgspec.json.decode(text, type=Line)
            if line.body_base64 is not None:
                base64.b64decode(line.body_base64, validate=True)
        except (ValueError, msgspec.DecodeError) as error:
            self.faults.append(f"line {self.count} is not a record: {error}")
            return
        if (line.topic, line.partition) != self._partition:
            of = printable(f"{line.topic}/{line.partition}", TEXT_CHARACTERS_MAX)
            self.faults.append(f"line {self.count} is of {of}")
        if (line.body_base64 is None) == (not bytes(line.body)):
            self.faults.append(f"line {self.count} does not have one body")
        if self.last is not None and line.offset <= self.last[0]:
            self.faults.append(
                f"line {self.count}: offset {line.offset} comes after offset {self.last[0]}"
            )
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
        yield "the summary's next_offset is not above its last record"
    if lines.count != summary.records:
        yield f"it has {lines.count} lines, but its summary says {summary.records}"
    if lines.first is None or lines.last is None:
        return
    in_summary = (
        (summary.first_offset, summary.first_timestamp_ms),
        (summary.last_offset, summary.last_timestamp_ms),
        (summary.last_origin, summary.last_sequence),
        summary.origins,
    )
    of_origins = segment.bounds((origin, (number, number)) for origin, number in lines.places)
    if in_summary != (lines.first, lines.last, lines.places[-1], of_origins):
        yield "the summary has other offsets, times or sequences than the lines"


def _misnamed(name: str, summary: SegmentSummary) -> Iterator[str]:
    partition = Partition(summary.topic, summary.partition)
    at_ms = summary.first_timestamp_ms if summary.records else summary.last_timestamp_ms
    expected = ""
    if segment_name.hour(name) == segment_name.BEGINNING and not summary.records:
        expected = segment_name.of_beginning(partition, summary.first_offset)
    else:
        with contextlib.suppress(ValueError, OverflowError, OSError):
            expected = segment_name.of_record(
                partition, offset=summary.first_offset, timestamp_ms=at_ms
            )
    if name != expected:
        yield "its name does not match its content"


class Chain:
    """
    The segments of one partition, in order.

    `faults`: pairs of a segment's name and a fault between it and the segment before it. Segments
    before the last beginning have expired, all or some of them, so they are not checked.
    """

    def __init__(self) -> None:
        self.faults: list[tuple[str, str]] = []
        self._last: SegmentSummary | None = None
        self._unreadable = False

    def add(self, checked: CheckedSegment) -> None:
        """Append a segment."""
        summary, before, unreadable = checked.summary, self._last, self._unreadable
        if summary is None:
            # `check` has reported it; the offset at which it ended is not known.
            self._unreadable = True
            return
        if before is None or summary.next_offset >= before.next_offset:
            self._last, self._unreadable = summary, False
        if segment_name.hour(checked.name) == segment_name.BEGINNING:
            self.faults.clear()
        elif before is not None:
            faults = _between(before, summary, unreadable=unreadable)
            self.faults += [(checked.name, fault) for fault in faults]
        elif not unreadable:
            self.faults.append((checked.name, "the beginning of its chain is missing"))


def _between(before: SegmentSummary, summary: SegmentSummary, *, unreadable: bool) -> Iterator[str]:
    if before.topic_id and summary.topic_id and before.topic_id != summary.topic_id:
        yield (
            f"its topic has the id {summary.topic_id}, that of the segment before it "
            f"has the id {before.topic_id}: two pipelines wrote to this archive"
        )
    if summary.first_offset < before.next_offset:
        yield f"it overlaps the one before it, which ends before offset {before.next_offset}"
    elif unreadable:
        return  # the unreadable segment is between them
    elif summary.begins_at > before.next_offset:
        between = f"{before.next_offset} to {summary.begins_at - 1}"
        yield f"segments before it are missing: offsets {between}"
    elif not summary.records and _end(summary) != _end(before):
        yield "its last record is not that of the segment before it"


def _end(summary: SegmentSummary) -> tuple[int, str, int]:
    return summary.last_offset, summary.last_origin, summary.last_sequence
