"""
Archive callbacks: per partition one chain of segments, without overlap and without gap.

The rules of the chain (docs/decisions/0006-archive-chain.md): one batch is one segment; its name is
made of its first record, or of the end of the chain if it has only markers; it is created only if
its name is free; the next batch begins only after that; a writer that finds the name taken drops
its batch and continues after that segment. Each rule guards against writers that believe they still
own the partition.
"""

import asyncio
import contextlib
import math
import re
from collections.abc import AsyncIterator, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Annotated

from consumers.archive import new_segment
from consumers.archive.frames import Frames
from consumers.archive.segment import DamagedSegment, SegmentSummary
from consumers.archive.store import SegmentStore, local_directory, open_store
from consumers.archive.store_errors import CannotOpenStore, SegmentExists, SegmentNotFound
from consumers.runtime.batch import Batch, Limits, Partition, Position
from consumers.runtime.handler import Consumer, Handler, PositionDiffers, SinkState, Stopped
from schemas.disk_space import DiskSpace
from schemas.setting import Format, Range
from schemas.settings import Settings, SettingsFaults
from schemas.telemetry import ARCHIVE_DISK_FREE_BYTES, ARCHIVE_METRICS, CONSUMER_METRICS
from schemas.topics import CALLBACKS

# Not `s3:/bucket` or `file://archive`, which would be taken for a directory of that name or for the
# current one.
_URL = re.compile(r"file:///.+|(?!file:)\w+://.+|(?!\w+:).+")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveSettings(Settings):
    """
    ARCHIVE_*: the consumer `archive`, `python -m consumers archive`.

    A segment is closed and written by the first of these bounds that is reached, by
    CONSUMER_HELD_BYTES_MAX, or by a record of a later hour.
    """

    url: Annotated[
        str,
        Format("a path, or a URL like s3://bucket/prefix or file:///directory", _URL.fullmatch),
        "Location of the segments: a directory (a path, or `file:///…`) on a file system with hard "
        "links, or an object store: `s3://bucket/prefix`, `gs://…` or `az://…`. Its region, keys "
        "and endpoint come from the provider's own variables (`AWS_REGION`, `AWS_ACCESS_KEY_ID`, "
        "`AWS_ENDPOINT_URL`, …). `hookline audit` and `hookline archive` read this variable, too.",
    ]
    segment_bytes_max: Annotated[
        int,
        Range(1 << 10, 1 << 30, "bytes"),
        "Size of a segment before compression, where a record counts as its body, 32 bytes per "
        "header and 256 more. Until it is written, each partition's segment is held in memory, "
        "compressed. An object store must take a segment within 6 s: the records of one that takes "
        "longer are written in smaller segments.",
    ] = 32 << 20
    segment_records_max: Annotated[int, Range(1, unit="records"), "Records of a segment."] = (
        1_000_000
    )
    segment_age_s: Annotated[
        float,
        Range(0.1, 3600, "seconds"),
        "Age of a segment, from the fetch of its first record: the time for which a callback may "
        "be in Kafka and not yet in the archive.",
    ] = 60.0


class ArchiveHandler:
    """Writes each batch as one segment. The chain in the store has the position."""

    def __init__(self, store: SegmentStore, disk: DiskSpace | None = None) -> None:
        self._store = store
        # The file system of a local directory.
        self._disk = disk
        # The last segment of each partition that was found, or whose creation was tried. It may not
        # exist: its creation failed, or it was deleted.
        self._tried_or_found: dict[Partition, str] = {}
        # One thread for all partitions compresses faster than the event loop makes lines.
        self._packing_thread = ThreadPoolExecutor(1, "pack")

    async def position(self, partition: Partition) -> Position | None:
        """
        Return the position after the partition's last segment, None if there is no segment.

        Raises:
            Unavailable: the store does not answer.
            Stopped: the last segment is damaged.
        """
        last = await self._last_segment(partition)
        return last.position if last else None

    async def store_first_position(self, partition: Partition, position: Position) -> None:
        """
        Begin the chain at `position`, unless it has begun already.

        Raises:
            Unavailable: the chain may or may not have begun.
        """
        name, content = new_segment.beginning(partition, position)
        with contextlib.suppress(SegmentExists):
            await self._store.create(name, content)

    async def handle(self, batch: Batch) -> None:
        """
        Write the batch as a segment; see segment_name.py for its name.

        Raises:
            PositionDiffers: no segment ends where the batch begins, the chain is of another topic,
                or the name exists.
            TookTooLong: an object store did not take the segment within its time-out.
            Unavailable: the store does not answer now.
            Stopped: the last segment, or the existing one, is damaged.
        """
        # If the store was restored to an older state, the chain ends before the batch, and the
        # archive continues from there without a gap.
        previous = await self._segment_before(batch) or await self._last_segment(batch.partition)
        if previous is None or not batch.follows(previous.position):
            raise PositionDiffers(previous.position if previous else None)
        reached = batch.reached._replace(topic_id=batch.reached.topic_id or previous.topic_id)
        if batch.packed or batch.records:
            batch = replace(batch, reached=reached)
            name, content = await asyncio.to_thread(new_segment.of_batch, batch)
        else:
            name, content = new_segment.of_markers(previous, reached)
        await self._create(batch.partition, name, content)

    def packed_records(self, partition: Partition) -> Frames:
        """Return an object that compresses the records of a growing batch."""
        return Frames(partition, self._packing_thread)

    async def measure(self, _: Collection[Partition] | None) -> SinkState:
        """Set the gauge of the directory's free space; an object store has none."""
        if self._disk is None:
            return SinkState()
        free = await self._disk.free()
        ARCHIVE_DISK_FREE_BYTES.set(math.nan if free is None else free)
        return SinkState(disk_free_bytes=free)

    async def _create(self, partition: Partition, name: str, content: bytes) -> None:
        self._tried_or_found[partition] = name
        try:
            await self._store.create(name, content)
        except SegmentExists:
            raise PositionDiffers(await self._position_after(name)) from None

    async def _segment_before(self, batch: Batch) -> SegmentSummary | None:
        """
        Return the summary of the segment tried or found last if it ends where the batch begins.

        Return None if it does not exist, or ends at another offset.

        Raises:
            Unavailable: the store does not answer.
            Stopped: the segment is damaged.
        """
        name = self._tried_or_found.get(batch.partition)
        if name is None:
            return None
        try:
            summary = await self._store.summary(name)
        except SegmentNotFound:
            return None  # its creation failed, or it has expired
        except DamagedSegment as damaged:
            raise Stopped(f"The segment {name} is damaged: {damaged}") from damaged
        # Other segments may follow it. If one has the batch's records, the name of this batch's
        # segment exists already; one of markers alone does no harm (segment.py, `begins_at`).
        return summary if summary.next_offset == batch.begins_at else None

    async def _last_segment(self, partition: Partition) -> SegmentSummary | None:
        """Return the summary of the chain's last segment, None if the chain has no segment."""
        name = await self._store.last(
            partition, search_from=self._tried_or_found.get(partition, "")
        )
        if name is None:
            return None
        try:
            summary = await self._store.summary(name)
        except DamagedSegment as damaged:
            raise Stopped(f"The last segment of {partition} cannot be read: {damaged}") from damaged
        self._tried_or_found[partition] = name
        return summary

    async def _position_after(self, name: str) -> Position:
        try:
            return (await self._store.summary(name)).position
        except DamagedSegment as damaged:
            raise Stopped(f"The segment {name} is damaged: {damaged}") from damaged


@asynccontextmanager
async def _open(settings: ArchiveSettings) -> AsyncIterator[tuple[Handler, Limits]]:
    try:
        # Create a local directory now, not with the first segment, to report a wrong path early.
        store = open_store(settings.url, create_directory=True)
    except CannotOpenStore as error:
        raise SettingsFaults(f"ARCHIVE_URL cannot be opened: {error}") from error
    directory = local_directory(settings.url)
    archive = ArchiveHandler(store, DiskSpace(directory) if directory else None)
    limits = Limits(
        records=settings.segment_records_max,
        bytes=settings.segment_bytes_max,
        age_s=settings.segment_age_s,
        period_s=3600,
    )
    with _metrics() if directory else contextlib.nullcontext():
        yield archive, limits


@contextlib.contextmanager
def _metrics() -> Iterator[None]:
    """Show the metrics of an archive beside those of every consumer; a test may open several."""
    with contextlib.suppress(ValueError):
        CONSUMER_METRICS.register(ARCHIVE_METRICS)
    try:
        yield
    finally:
        with contextlib.suppress(KeyError):
            CONSUMER_METRICS.unregister(ARCHIVE_METRICS)


ARCHIVE = Consumer(name="archive", topic=CALLBACKS, settings=ArchiveSettings, open=_open)
