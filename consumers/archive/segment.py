"""
A segment: consecutive records of one partition as JSON Lines, zstd, in one immutable file.

A leading zstd skippable frame holds the summary, then come frames of lines. zstdcat, DuckDB and
every zstd library skip the first frame and read the others.
"""

import base64
import hashlib
import struct
from collections.abc import Iterable, Iterator
from zlib import crc32

import msgspec

from consumers.archive.decompression import NotDecompressed, lines_of
from consumers.runtime.batch import Position

# RFC 8878 §3.1.2: decoders skip frames with this magic number.
_SKIPPABLE = struct.Struct("<II")
_SKIPPABLE_MAGIC = 0x184D2A50
SUMMARY_BYTES_MAX = 1 << 20
VERSION = 1


class DamagedSegment(Exception):
    """The file is not a segment, or differs from the segment that was written."""


class SegmentSummary(msgspec.Struct, frozen=True, kw_only=True):
    """
    The content of the leading frame. There are three kinds of segments:

    | field         | with records     | markers alone           | beginning of a chain            |
    | ------------- | ---------------- | ----------------------- | ------------------------------- |
    | `records`     | 1 or more        | 0                       | 0                               |
    | `first_offset`| the first record | end of the chain before | 0, or end of what has expired   |
    | `last_*`      | the last record  | as in the segment before| -1, or as in the last expired   |
    | `origins`     | of its records   | none                    | none, or of what has expired    |

    `origins` has the lowest and highest sequence of each origin.

    `next_offset` is the offset at which the chain continues. It is after the transaction markers
    that followed the last record, so that the chain of a quiet partition still reaches the topic's
    beginning once retention has deleted all records.

    `begins_at` is never higher than the `next_offset` of the segment before. It is lower if another
    member has written a segment of markers in between.

    `topic_id` is Kafka's id of the topic, "" if it was unknown: a chain cannot have offsets of two
    topics.

    `sha256` is of all bytes after the leading frame, `own_crc32` of this summary with
    `own_crc32` = 0.
    """

    version: int
    topic: str
    partition: int
    begins_at: int
    first_offset: int
    last_offset: int
    next_offset: int
    records: int
    first_timestamp_ms: int
    last_timestamp_ms: int
    last_origin: str
    last_sequence: int
    origins: dict[str, tuple[int, int]]
    topic_id: str
    sha256: str
    own_crc32: int = 0

    @property
    def position(self) -> Position:
        """The position at which the chain continues after this segment."""
        last = (self.last_offset, self.last_origin, self.last_sequence)
        return Position(
            self.next_offset, None if self.last_offset < 0 else last, self.topic_id or None
        )


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line as readers see it. It has either `body` or `body_base64`."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: str | None = None
    key_base64: str | None = None
    headers: dict[str, str | None]
    body: msgspec.Raw = msgspec.Raw(b"")
    body_base64: str | None = None

    @property
    def value(self) -> bytes:
        """
        The record's value, byte for byte.

        Raises:
            DamagedSegment: `body_base64` is not base64.
        """
        if self.body_base64 is None:
            return bytes(self.body)
        try:
            return base64.b64decode(self.body_base64)
        except ValueError as error:
            raise DamagedSegment(f"the body of offset {self.offset} cannot be read") from error


def bounds(
    origins: Iterable[tuple[str, tuple[int, int]]],
) -> dict[str, tuple[int, int]]:
    """Return the lowest and highest sequence of each origin."""
    by_origin: dict[str, tuple[int, int]] = {}
    for origin, (low, high) in origins:
        known_low, known_high = by_origin.get(origin, (low, high))
        by_origin[origin] = (min(low, known_low), max(high, known_high))
    return by_origin


def summary_size(head: bytes) -> int:
    """
    Return how many bytes of the file the leading frame takes; `head` is the file's first bytes.

    Raises:
        DamagedSegment: the file does not begin with a summary.
    """
    if len(head) < _SKIPPABLE.size:
        raise DamagedSegment("the file ends within its first frame")
    magic, size = _SKIPPABLE.unpack_from(head)
    if magic != _SKIPPABLE_MAGIC or size > SUMMARY_BYTES_MAX:
        raise DamagedSegment("the file does not begin with a segment's summary")
    return _SKIPPABLE.size + int(size)


def read_summary(content: bytes) -> SegmentSummary:
    """
    Return the summary of a file; `content` is the whole file or its beginning.

    Raises:
        DamagedSegment: the file does not begin with a summary.
    """
    try:
        summary = msgspec.json.decode(
            content[_SKIPPABLE.size : summary_size(content)], type=SegmentSummary
        )
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DamagedSegment(f"the segment's summary cannot be read: {error}") from error
    if summary != _with_crc(summary):
        raise DamagedSegment("the segment's summary fails its checksum")
    return summary


def read_lines(content: bytes) -> Iterator[bytes]:
    """
    Yield the lines of a file, each with its line feed, not more than the summary has records.

    Takes little memory, whatever the file unpacks to; see consumers/archive/decompression.py.

    Raises:
        DamagedSegment: a checksum does not match, the file has more lines than its summary says, or
            a line or frame is larger than its bound.
    """
    summary = read_summary(content)
    frames = memoryview(content)[summary_size(content) :]
    if hashlib.sha256(frames).hexdigest() != summary.sha256:
        raise DamagedSegment("the segment fails its checksum")
    try:
        for number, line in enumerate(lines_of(frames)):
            if number == summary.records:
                raise DamagedSegment(f"it has more lines than its summary says: {number}")
            yield line
    except NotDecompressed as error:
        raise DamagedSegment(str(error)) from error


def decode_line(text: bytes) -> Line:
    """
    Return a line as readers see it.

    Raises:
        DamagedSegment: the line is not a record.
    """
    try:
        return msgspec.json.decode(text, type=Line)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DamagedSegment(f"a line is not a record: {error}") from error


def file_content(summary: SegmentSummary, *frames: bytes) -> bytes:
    """Return the content of a segment's file: its summary, then its frames of lines."""
    head = msgspec.json.encode(_with_crc(summary))
    # One copy of the frames, which are megabytes.
    return b"".join((_SKIPPABLE.pack(_SKIPPABLE_MAGIC, len(head)), head, *frames))


def _with_crc(summary: SegmentSummary) -> SegmentSummary:
    unsigned = msgspec.structs.replace(summary, own_crc32=0)
    return msgspec.structs.replace(unsigned, own_crc32=crc32(msgspec.json.encode(unsigned)))
