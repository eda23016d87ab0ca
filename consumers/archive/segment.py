"""
A segment: a run of one partition's records as JSON Lines, zstd, in one immutable file.

A leading zstd skippable frame holds the summary; zstdcat, DuckDB and every zstd library read on
over it. The name is a pure function of the first record, so two writers that begin at the same
record fight for one name, and only one of them can win it.
"""

import base64
import hashlib
import struct
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, BinaryIO
from zlib import crc32

import msgspec
import orjson
import zstandard

from consumers.runtime.batch import Batch, Partition, Record
from schemas.record import ORIGIN, SEQUENCE

SUFFIX = ".jsonl.zst"
# RFC 8878 §3.1.2: decoders skip frames with this magic number.
_SKIPPABLE = struct.Struct("<II")
_SKIPPABLE_MAGIC = 0x184D2A50
SUMMARY_BYTES_MAX = 1 << 20
ZSTD_LEVEL = 3
VERSION = 1
# orjson reads 1024 levels; a body with fewer brackets can never be that deep.
BRACKETS_MAX = 1000


class Damaged(Exception):
    """The file is no segment, or not the one that was written."""


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """
    What the leading frame says. `origins`: per origin the lowest and highest sequence.

    The chain goes on at `next_offset`, behind the transaction markers that followed the last
    record. Without them a quiet partition's chain would end before the topic's beginning, once
    retention has deleted all that is in it.

    `sha256` is of all that follows the frame, `own_crc32` of this summary with 0 in its place.
    """

    version: int
    topic: str
    partition: int
    first_offset: int
    last_offset: int
    next_offset: int
    records: int
    first_timestamp_ms: int
    last_timestamp_ms: int
    last_origin: str
    last_sequence: int
    origins: dict[str, tuple[int, int]]
    sha256: str
    own_crc32: int = 0


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


def name(partition: Partition, first: Record) -> str:
    """Return the segment's path: topic/partition/hour of the first record-its offset."""
    hour = datetime.fromtimestamp(first.timestamp_ms // 1000, UTC)
    return f"{partition}/{hour:%Y-%m-%dT%H}-{first.offset:020d}{SUFFIX}"


def first_offset(file_name: str) -> int:
    """Return the first offset that a segment's name tells."""
    return int(file_name.removesuffix(SUFFIX).rsplit("-", 1)[1])


def encode(batch: Batch) -> bytes:
    """Return the whole file. Some 10 µs a record, so not for the event loop."""
    lines = b"".join(_line(batch.partition, record) for record in batch.records)
    frame = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True).compress(lines)
    summary = msgspec.json.encode(_summary(batch, frame))
    return _SKIPPABLE.pack(_SKIPPABLE_MAGIC, len(summary)) + summary + frame


def read_summary(file: BinaryIO) -> Summary:
    """
    Return the summary and leave `file` at the first byte behind it.

    Raises:
        Damaged: the file does not begin with one.
    """
    head = file.read(_SKIPPABLE.size)
    if len(head) < _SKIPPABLE.size:
        raise Damaged("the file ends within its first frame")
    magic, size = _SKIPPABLE.unpack(head)
    if magic != _SKIPPABLE_MAGIC or size > SUMMARY_BYTES_MAX:
        raise Damaged("the file does not begin with a segment's summary")
    try:
        summary = msgspec.json.decode(file.read(size), type=Summary)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Damaged(f"the segment's summary cannot be read: {error}") from error
    if summary != _signed(summary):
        raise Damaged("the segment's summary fails its checksum")
    return summary


def read_lines(file: BinaryIO) -> Iterator[bytes]:
    """
    Yield the lines behind the summary, each with its line feed.

    Raises:
        Damaged: the checksum of the summary does not match.
    """
    summary = read_summary(file)
    frame = file.read()
    if hashlib.sha256(frame).hexdigest() != summary.sha256:
        raise Damaged("the segment fails its checksum")
    yield from zstandard.ZstdDecompressor().decompress(frame).splitlines(keepends=True)


def _line(partition: Partition, record: Record) -> bytes:
    line: dict[str, Any] = {
        "topic": partition.topic,
        "partition": partition.number,
        "offset": record.offset,
        "timestamp": record.timestamp_ms,
    }
    _put(line, "key", record.key)
    line["headers"] = {header: _text(value) for header, value in record.headers}
    if _embeddable(record.value):
        line["body"] = orjson.Fragment(record.value)
    else:
        line["body_base64"] = base64.b64encode(record.value).decode()
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def _embeddable(body: bytes) -> bool:
    """
    Tell whether `body` may stand in a line as it is, so that readers get it back byte for byte.

    It must be JSON without line breaks and without blanks around it, and not so deep that the line
    around it is too deep for its readers.
    """
    if b"\n" in body or b"\r" in body or body.strip(b" \t") != body:
        return False
    if body.count(b"[") + body.count(b"{") > BRACKETS_MAX:
        return False
    try:
        orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return True


def _put(line: dict[str, Any], field: str, value: bytes | None) -> None:
    try:
        line[field] = None if value is None else value.decode()
    except UnicodeDecodeError:
        line[f"{field}_base64"] = base64.b64encode(value or b"").decode()


def _text(value: bytes | None) -> str | None:
    # Hookline's own headers are UTF-8; what another producer wrote is shown escaped.
    return None if value is None else value.decode("utf-8", "backslashreplace")


def _summary(batch: Batch, frame: bytes) -> Summary:
    records = batch.records
    places = [_place(record) for record in records]
    origins: dict[str, tuple[int, int]] = {}
    for origin, sequence in places:
        low, high = origins.get(origin, (sequence, sequence))
        origins[origin] = (min(low, sequence), max(high, sequence))
    last_origin, last_sequence = places[-1]
    summary = Summary(
        version=VERSION,
        topic=batch.partition.topic,
        partition=batch.partition.number,
        first_offset=records[0].offset,
        last_offset=records[-1].offset,
        next_offset=batch.next_offset,
        records=len(records),
        first_timestamp_ms=records[0].timestamp_ms,
        last_timestamp_ms=records[-1].timestamp_ms,
        last_origin=last_origin,
        last_sequence=last_sequence,
        origins=origins,
        sha256=hashlib.sha256(frame).hexdigest(),
    )
    return _signed(summary)


def _signed(summary: Summary) -> Summary:
    unsigned = msgspec.structs.replace(summary, own_crc32=0)
    return msgspec.structs.replace(unsigned, own_crc32=crc32(msgspec.json.encode(unsigned)))


def _place(record: Record) -> tuple[str, int]:
    headers = dict(record.headers)
    sequence = headers.get(SEQUENCE, b"0")
    return headers.get(ORIGIN, b"").decode("utf-8", "replace"), (
        int(sequence) if sequence.isdigit() else 0
    )
