"""Make segments: of a batch of records, of markers alone, and of a chain's beginning."""

import hashlib
from collections.abc import Sequence

import msgspec
import zstandard

from consumers.archive import segment_name
from consumers.archive.frames import ZSTD_LEVEL, Frames, to_frame
from consumers.archive.segment import VERSION, SegmentSummary, bounds, file_content
from consumers.runtime.batch import Batch, Partition, Position

_EMPTY = zstandard.ZstdCompressor(level=ZSTD_LEVEL, write_checksum=True).compress(b"")


def of_batch(batch: Batch) -> tuple[str, bytes]:
    """Return name and content of the segment of a batch that has records; this may take a while."""
    frames = list(batch.packed) if isinstance(batch.packed, Frames) else []
    if batch.records:
        frames.append(to_frame(batch.partition, batch.records))
    first, last = frames[0], frames[-1]
    sha256 = hashlib.sha256()
    for frame in frames:
        sha256.update(frame.content)
    summary = SegmentSummary(
        version=VERSION,
        topic=batch.partition.topic,
        partition=batch.partition.number,
        begins_at=batch.begins_at,
        first_offset=first.first_offset,
        last_offset=last.last_offset,
        next_offset=batch.next_offset,
        records=sum(frame.record_count for frame in frames),
        first_timestamp_ms=first.first_timestamp_ms,
        last_timestamp_ms=last.last_timestamp_ms,
        last_origin=last.last_origin,
        last_sequence=last.last_sequence,
        origins=bounds(pair for frame in frames for pair in frame.origins.items()),
        topic_id=batch.reached.topic_id or "",
        sha256=sha256.hexdigest(),
    )
    name = segment_name.of_record(
        batch.partition, offset=first.first_offset, timestamp_ms=first.first_timestamp_ms
    )
    return name, file_content(summary, *(frame.content for frame in frames))


def of_markers(previous: SegmentSummary, reached: Position) -> tuple[str, bytes]:
    """Return name and content of a segment without records, after `previous`."""
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
    name = segment_name.of_record(
        Partition(previous.topic, previous.partition),
        offset=previous.next_offset,
        timestamp_ms=previous.last_timestamp_ms,
    )
    return name, file_content(summary, _EMPTY)


def beginning(partition: Partition, position: Position) -> tuple[str, bytes]:
    """
    Return name and content of the segment with which every chain begins; it has no records.

    The name is the same for every `position` and topic id, so that only one of several concurrent
    writers begins the chain.
    """
    summary = SegmentSummary(
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
    return segment_name.of_beginning(partition, 0), file_content(summary, _EMPTY)


def moved_beginning(expired: Sequence[SegmentSummary]) -> tuple[str, bytes]:
    """Return name and content of the segment with which a chain begins after `expired` ones."""
    last = expired[-1]
    summary = msgspec.structs.replace(
        last,
        begins_at=last.next_offset,
        first_offset=last.next_offset,
        records=0,
        first_timestamp_ms=last.last_timestamp_ms,
        origins=bounds(pair for segment in expired for pair in segment.origins.items()),
        sha256=hashlib.sha256(_EMPTY).hexdigest(),
    )
    name = segment_name.of_beginning(Partition(last.topic, last.partition), last.next_offset)
    return name, file_content(summary, _EMPTY)
