"""
A segment: a run of one partition's records as JSON Lines, zstd, in one immutable file.

A leading zstd skippable frame holds the summary; zstdcat, DuckDB and every zstd library read on
over it. The name is a pure function of the first record, so two writers that begin at the same
record fight for one name, and only one of them can win it.
"""

import base64
import hashlib
import io
import re
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from zlib import crc32

import msgspec
import zstandard

from consumers.archive.lines import lines
from consumers.runtime.batch import Batch, Partition, Position, Record
from schemas.event import place

SUFFIX = ".jsonl.zst"
OFFSET_DIGITS = 20
_NAME = re.compile(rf"[0-9]{{{OFFSET_DIGITS}}}-\d{{4}}-\d\d-\d\dT\d\d{re.escape(SUFFIX)}", re.ASCII)
# RFC 8878 §3.1.2: decoders skip frames with this magic number.
_SKIPPABLE = struct.Struct("<II")
_SKIPPABLE_MAGIC = 0x184D2A50
SUMMARY_BYTES_MAX = 1 << 20
ZSTD_LEVEL = 1
READ_BYTES = 1 << 20
# A chain's beginning has this instead of an hour; it sorts before every hour of a record.
BEGINNING = "0001-01-01T00"
_EMPTY = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True).compress(b"")
VERSION = 1


class Damaged(Exception):
    """The file is no segment, or not the one that was written."""


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """
    What the leading frame says. `origins`: per origin the lowest and highest sequence.

    The chain goes on at `next_offset`, behind the transaction markers that followed the last
    record. Without them a quiet partition's chain would end before the topic's beginning, once
    retention has deleted all that is in it. A segment of markers alone has no records: its
    `first_offset` is where the chain stood, and its last record is that of the segment before. So
    has the one that only says where the chain begins; its `last_offset` is -1, or, where segments
    were expired, that of the last of them, and its `origins` tell what was in them.

    `topic_id` is Kafka's id of the topic, "" where it was not known: offsets of two topics do not
    make one chain.

    `begins_at` is the `next_offset` of the segment before, as the writer knew it: it may be less,
    where another member wrote markers alone meanwhile, never more.

    `sha256` is of all that follows the frame, `own_crc32` of this summary with 0 in its place.
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
        """Where the chain goes on behind this segment."""
        last = (self.last_offset, self.last_origin, self.last_sequence)
        return Position(
            self.next_offset, None if self.last_offset < 0 else last, self.topic_id or None
        )


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line as readers see it. Exactly one of `body` and `body_base64` is there."""

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
        """The record's value, byte for byte."""
        return bytes(self.body) if self.body_base64 is None else base64.b64decode(self.body_base64)


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """Some records as one zstd frame of lines. Frames of a segment stand one behind the other."""

    frame: bytes
    records: int
    first: tuple[int, int]  # offset and timestamp in ms
    last: tuple[int, int]
    last_place: tuple[str, int]
    origins: Mapping[str, tuple[int, int]]

    def __len__(self) -> int:
        return len(self.frame)


def pack(partition: Partition, records: Sequence[Record]) -> Packed:
    """Return `records` as a frame. Some 3 µs a record, so not for the event loop."""
    text, origins = lines(partition, records)
    first, last = records[0], records[-1]
    # A copy: the compressor shrinks a buffer as large as the text, and what a frame that is held
    # for a minute leaves of it is too small for the next one. That takes twice the memory in all.
    frame = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True).compress(text)
    return Packed(
        frame=bytes(memoryview(frame)),
        records=len(records),
        first=(first.offset, first.timestamp_ms),
        last=(last.offset, last.timestamp_ms),
        last_place=place(last.headers),
        origins=origins,
    )


def bounds(
    origins: Iterable[tuple[str, tuple[int, int]]],
) -> dict[str, tuple[int, int]]:
    """Return the lowest and highest sequence of each origin."""
    found: dict[str, tuple[int, int]] = {}
    for origin, (low, high) in origins:
        known_low, known_high = found.get(origin, (low, high))
        found[origin] = (min(low, known_low), max(high, known_high))
    return found


def name(partition: Partition, *, offset: int, timestamp_ms: int) -> str:
    """Return the path of the segment that begins with this record: topic/partition/offset-hour."""
    hour = datetime.fromtimestamp(timestamp_ms // 1000, UTC)
    return name_of_hour(partition, offset=offset, hour=f"{hour:%Y-%m-%dT%H}")


def name_of_hour(partition: Partition, *, offset: int, hour: str) -> str:
    """
    Return the path of the segment that begins at `offset`, with a record of `hour`.

    The offset comes first, so that names sort in the order of the chain, whatever the broker's
    clock does.
    """
    return f"{partition}/{name_from(offset)}-{hour}{SUFFIX}"


def name_from(offset: int) -> str:
    """Return a text that sorts just before the first name that may begin at `offset`."""
    return f"{offset:0{OFFSET_DIGITS}d}"


def beginning_name(partition: Partition, offset: int) -> str:
    """Return the path of the segment with which a chain begins: before all others of `offset`."""
    return name_of_hour(partition, offset=offset, hour=BEGINNING)


def is_name(path: str) -> bool:
    """Return whether the last part of `path` is a segment's name."""
    return _NAME.fullmatch(path, path.rfind("/") + 1) is not None


def first_offset(name: str) -> int:
    """Return the first offset in a segment's name."""
    at = name.rfind("/") + 1
    return int(name[at : at + OFFSET_DIGITS])


def hour(name: str) -> str:
    """Return the hour of the first record in a segment's name; BEGINNING has no record."""
    return name[name.rfind("/") + OFFSET_DIGITS + 2 : -len(SUFFIX)]


def assemble(batch: Batch) -> tuple[str, bytes]:
    """Return name and content of the segment of a batch; what is not packed yet is packed here."""
    parts: list[Packed] = list(batch.packed)
    if batch.records:
        parts.append(pack(batch.partition, batch.records))
    first, last = parts[0], parts[-1]
    sha256 = hashlib.sha256()
    for part in parts:
        sha256.update(part.frame)
    summary = Summary(
        version=VERSION,
        topic=batch.partition.topic,
        partition=batch.partition.number,
        begins_at=batch.begins_at,
        first_offset=first.first[0],
        last_offset=last.last[0],
        next_offset=batch.next_offset,
        records=sum(part.records for part in parts),
        first_timestamp_ms=first.first[1],
        last_timestamp_ms=last.last[1],
        last_origin=last.last_place[0],
        last_sequence=last.last_place[1],
        origins=bounds(pair for part in parts for pair in part.origins.items()),
        topic_id=batch.reached.topic_id or "",
        sha256=sha256.hexdigest(),
    )
    called = name(batch.partition, offset=first.first[0], timestamp_ms=first.first[1])
    return called, _content(summary, *(part.frame for part in parts))


def beginning(partition: Partition, position: Position) -> tuple[str, bytes]:
    """
    Return name and content of the segment with which every chain begins, without records.

    The name is the same wherever it begins, and in whatever topic: of several writers one decides.
    """
    summary = Summary(
        version=VERSION,
        topic=partition.topic,
        partition=partition.number,
        begins_at=0,
        first_offset=0,
        last_offset=-1,
        next_offset=position.next_offset,
        records=0,
        first_timestamp_ms=0,
        last_timestamp_ms=0,
        last_origin="",
        last_sequence=0,
        origins={},
        topic_id=position.topic_id or "",
        sha256=hashlib.sha256(_EMPTY).hexdigest(),
    )
    return beginning_name(partition, 0), _content(summary, _EMPTY)


def moved_beginning(expired: Sequence[Summary]) -> tuple[str, bytes]:
    """Return name and content of the segment with which a chain begins behind `expired` ones."""
    last = expired[-1]
    summary = msgspec.structs.replace(
        last,
        begins_at=last.next_offset,
        first_offset=last.next_offset,
        records=0,
        first_timestamp_ms=last.last_timestamp_ms,
        origins=bounds(pair for each in expired for pair in each.origins.items()),
        sha256=hashlib.sha256(_EMPTY).hexdigest(),
    )
    called = beginning_name(Partition(last.topic, last.partition), last.next_offset)
    return called, _content(summary, _EMPTY)


def link(previous: Summary, reached: Position) -> tuple[str, bytes]:
    """Return name and content of a segment without records after `previous`: markers came."""
    summary = msgspec.structs.replace(
        previous,
        begins_at=previous.next_offset,
        first_offset=previous.next_offset,
        next_offset=reached.next_offset,
        topic_id=reached.topic_id or "",
        records=0,
        first_timestamp_ms=previous.last_timestamp_ms,
        origins={},
        sha256=hashlib.sha256(_EMPTY).hexdigest(),
    )
    partition = Partition(previous.topic, previous.partition)
    called = name(partition, offset=previous.next_offset, timestamp_ms=previous.last_timestamp_ms)
    return called, _content(summary, _EMPTY)


def summary_size(head: bytes) -> int:
    """
    Return how many bytes of the file the summary takes, from its first bytes on.

    Raises:
        Damaged: the file does not begin with one.
    """
    if len(head) < _SKIPPABLE.size:
        raise Damaged("the file ends within its first frame")
    magic, size = _SKIPPABLE.unpack_from(head)
    if magic != _SKIPPABLE_MAGIC or size > SUMMARY_BYTES_MAX:
        raise Damaged("the file does not begin with a segment's summary")
    return _SKIPPABLE.size + int(size)


def read_summary(content: bytes) -> Summary:
    """
    Return the summary of a file, of which `content` is all or the beginning.

    Raises:
        Damaged: the file does not begin with one.
    """
    try:
        summary = msgspec.json.decode(
            content[_SKIPPABLE.size : summary_size(content)], type=Summary
        )
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Damaged(f"the segment's summary cannot be read: {error}") from error
    if summary != _signed(summary):
        raise Damaged("the segment's summary fails its checksum")
    return summary


def read_lines(content: bytes) -> Iterator[bytes]:
    """
    Yield the lines of a file, each with its line feed.

    Raises:
        Damaged: a checksum does not match.
    """
    summary = read_summary(content)
    frames = memoryview(content)[summary_size(content) :]
    if hashlib.sha256(frames).hexdigest() != summary.sha256:
        raise Damaged("the segment fails its checksum")
    reader = zstandard.ZstdDecompressor().stream_reader(frames, read_across_frames=True)
    yield from io.BufferedReader(reader, READ_BYTES)


def _content(summary: Summary, *frames: bytes) -> bytes:
    head = msgspec.json.encode(_signed(summary))
    # One copy of the frames, which are megabytes.
    return b"".join((_SKIPPABLE.pack(_SKIPPABLE_MAGIC, len(head)), head, *frames))


def _signed(summary: Summary) -> Summary:
    unsigned = msgspec.structs.replace(summary, own_crc32=0)
    return msgspec.structs.replace(unsigned, own_crc32=crc32(msgspec.json.encode(unsigned)))
