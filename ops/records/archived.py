"""
List the archive's segments of a range of time, and read their lines in blocks.

A segment is filed under the hour of its first record, by Kafka's time, and has no record of a later
hour. So the segments of the range's hours have all of its records, as far as the clocks of the
brokers differ by less than CLOCK_SLACK.
"""

import base64
import contextlib
import hashlib
from collections.abc import AsyncGenerator, Iterator, Sequence

import zstandard

from consumers.archive import segment_name
from consumers.archive.decompression import LINE_BYTES_MAX, WINDOW_BYTES_MAX
from consumers.archive.segment import (
    DamagedSegment,
    Line,
    SegmentSummary,
    decode_line,
    read_lines,
    summary_size,
)
from consumers.archive.store import SegmentStore
from consumers.runtime.batch import Partition, Record
from ops.records.time_range import TimeRange

# Large enough that the search in a block takes longer than to get the block.
BLOCK_BYTES = 4 << 20


async def segment_names_between(
    store: SegmentStore, topic: str, time_range: TimeRange
) -> AsyncGenerator[str]:
    """
    Yield the names of the topic's segments of a range, partition by partition in their order.

    Chains without records, which have no hour of a record, are left out.

    Raises:
        Unavailable: the store does not answer.
    """
    wide = time_range.widened()
    for partition in await store.partitions():
        if partition.topic != topic:
            continue
        async with contextlib.aclosing(store.pages(partition)) as pages:
            async for page in pages:
                for name in page:
                    if wide.first_hour <= segment_name.hour(name) <= wide.last_hour:
                        yield name


async def chain_from(
    store: SegmentStore, partition: Partition, offset: int
) -> AsyncGenerator[Sequence[str]]:
    """
    Yield each two consecutive names of a chain, then its last name alone.

    The first name is that of the segment that may have `offset`.

    Raises:
        Unavailable: the store does not answer.
    """
    before = ""
    async with contextlib.aclosing(store.pages(partition)) as pages:
        async for page in pages:
            for name in page:
                # All records of the segment before this one are before the offset.
                if before and segment_name.first_offset(name) > offset:
                    yield before, name
                before = name
    if before:
        yield (before,)


def line_blocks(content: bytes, summary: SegmentSummary) -> Iterator[bytes]:
    """
    Yield the lines of a segment in blocks: each has whole lines, each with its line feed.

    A block has some BLOCK_BYTES, more if a line is longer. Call this in a thread.

    Raises:
        DamagedSegment: the segment is not the one that was written, or a line is longer than
            LINE_BYTES_MAX.
    """
    frames = memoryview(content)[summary_size(content) :]
    if hashlib.sha256(frames).hexdigest() != summary.sha256:
        raise DamagedSegment("the segment fails its checksum")
    rest = b""
    for block in _unpacked(frames):
        end = block.rfind(b"\n") + 1
        if end:
            yield rest + block[:end]
            rest = block[end:]
        else:
            rest += block
        if len(rest) > LINE_BYTES_MAX:
            raise DamagedSegment(f"a line has more than {LINE_BYTES_MAX} bytes")
    if rest:
        raise DamagedSegment("the segment's last line has no end")


def _unpacked(frames: memoryview) -> Iterator[bytes]:
    decompressor = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES_MAX)
    reader = decompressor.stream_reader(frames, read_across_frames=True)
    try:
        while block := reader.read(BLOCK_BYTES):
            yield block
    except zstandard.ZstdError as error:
        raise DamagedSegment(f"the segment cannot be decompressed: {error}") from error


def segment_records(content: bytes, offset: int) -> Iterator[Record]:
    """
    Yield the records of a segment from `offset` on. Call this in a thread.

    Raises:
        DamagedSegment: the segment is not the one that was written.
    """
    for line in map(decode_line, read_lines(content)):
        if line.offset >= offset:
            yield _record_of(line)


def _record_of(line: Line) -> Record:
    """Return the record that a line of a segment was made of."""
    if line.key_base64 is not None:
        key: bytes | None = base64.b64decode(line.key_base64)
    else:
        key = None if line.key is None else line.key.encode()
    headers = [(name, value.encode()) for name, value in line.headers.items() if value is not None]
    return Record(line.offset, line.timestamp, key, line.value, headers)
