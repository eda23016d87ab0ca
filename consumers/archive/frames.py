"""
Compress records into zstd frames of JSON Lines.

A batch of the archive grows for up to an hour. `Frames` holds its records compressed, some 90 bytes
each instead of 2 KB.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import zstandard

from consumers.archive.lines import to_lines
from consumers.runtime.batch import Partition, Record
from schemas.callback_record import place

ZSTD_LEVEL = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """Some records as one zstd frame of lines. A segment is frames, one after the other."""

    content: bytes
    record_count: int
    first_offset: int
    first_timestamp_ms: int
    last_offset: int
    last_timestamp_ms: int
    last_origin: str
    last_sequence: int
    # The lowest and the highest sequence of each origin.
    origins: Mapping[str, tuple[int, int]]


def to_frame(partition: Partition, records: Sequence[Record]) -> Frame:
    """Return `records` as a frame. That takes some 5 µs a record, so call it in a thread."""
    return _compressed(_uncompressed_frame(partition, records))


def _uncompressed_frame(partition: Partition, records: Sequence[Record]) -> Frame:
    """Return the frame of `records` before compression: its content is the lines."""
    text, origins = to_lines(partition, records)
    first, last = records[0], records[-1]
    last_origin, last_sequence = place(last.headers)
    return Frame(
        content=text,
        record_count=len(records),
        first_offset=first.offset,
        first_timestamp_ms=first.timestamp_ms,
        last_offset=last.offset,
        last_timestamp_ms=last.timestamp_ms,
        last_origin=last_origin,
        last_sequence=last_sequence,
        origins=origins,
    )


def _compressed(frame: Frame) -> Frame:
    compressor = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True)
    # A copy, because the compressor returns a shrunk buffer that was as large as the text. When
    # frames are held for a minute, the gaps between such buffers are too small for the next
    # text, and the process takes twice the memory.
    return replace(frame, content=bytes(memoryview(compressor.compress(frame.content))))


class Frames:
    """The records of one growing batch, packed as the runtime's `PackedRecords`."""

    def __init__(self, partition: Partition, thread: ThreadPoolExecutor) -> None:
        self._partition = partition
        self._thread = thread
        self._frames: list[Frame] = []
        self._held_bytes = 0

    @property
    def held_bytes(self) -> int:
        """The bytes of memory that the frames take."""
        return self._held_bytes

    def __iter__(self) -> Iterator[Frame]:
        return iter(self._frames)

    async def add(self, records: list[Record]) -> None:
        """Append `records` as one frame, and empty the list."""
        # Another processor does not have the records in its cache: to read and to free them in the
        # thread would cost twice as much, and hold the interpreter's lock all the same.
        uncompressed = _uncompressed_frame(self._partition, records)
        records.clear()
        loop = asyncio.get_running_loop()
        frame = await loop.run_in_executor(self._thread, _compressed, uncompressed)
        self._frames.append(frame)
        self._held_bytes += len(frame.content)
