"""
Archive callbacks: per partition one chain of segments, without overlap and without gap.

The rules of the chain (docs/decisions/0006-archive-chain.md): one batch is one segment; its name is
made of its first record; it is created only if absent; the next begins only after that; who finds
that it exists drops what it holds and goes on behind it. Each guards against writers that believe
they still own the partition.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from consumers.archive import segment
from consumers.archive.store import Exists, LocalStore
from consumers.runtime.batch import Batch, Limits, Partition
from consumers.runtime.handler import Consumer, Elsewhere, Handler, Stopped, Unavailable
from schemas.settings import read
from schemas.topics import CALLBACKS

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveSettings:
    """ARCHIVE_*: where segments go and when one is closed."""

    dir: Path
    segment_bytes_max: int = 8 << 20
    segment_records_max: int = 100_000
    segment_age_s: float = 60.0

    def faults(self) -> Iterator[str]:
        """Yield what does not fit together."""
        if not 1 << 10 <= self.segment_bytes_max <= 256 << 20:
            yield "ARCHIVE_SEGMENT_BYTES_MAX must be from 1024 (1 KiB) to 268435456 (256 MiB)"
        if self.segment_records_max < 1:
            yield "ARCHIVE_SEGMENT_RECORDS_MAX must be at least 1"
        if not 0.1 <= self.segment_age_s <= 3600:
            yield "ARCHIVE_SEGMENT_AGE_S must be from 0.1 to 3600"


class Archive:
    """Makes each batch one segment. The chain on disk is the authority on where it goes on."""

    def __init__(self, store: LocalStore) -> None:
        self._store = store
        # Markers make no segment. Where they were passed is remembered as long as nothing is added.
        self._passed: dict[Partition, tuple[int | None, int]] = {}

    async def position(self, partition: Partition) -> int | None:
        """
        Return the offset behind the partition's last segment and the markers that followed it.

        None if there is no segment.

        Raises:
            Unavailable: the directory cannot be read now.
            Stopped: the last segment is damaged.
        """
        return self._with_passed(partition, await self._behind(partition))

    async def begin(self, _partition: Partition, _next_offset: int) -> None:
        """Do nothing: a chain begins with its first segment, wherever that is."""

    async def handle(self, batch: Batch) -> None:
        """
        Write the batch as the segment that its first record names.

        Raises:
            Elsewhere: that segment is there already; it may end before or behind the batch.
            Unavailable: the directory cannot be written now.
            Stopped: the segment that is there is damaged.
        """
        if not batch.records:
            await self._pass(batch)
            return
        try:
            await asyncio.to_thread(self._write, batch)
        except OSError as error:
            raise Unavailable(str(error)) from error
        except segment.Damaged as damaged:
            raise Stopped(f"A segment of {batch.partition} is damaged: {damaged}") from damaged

    async def _behind(self, partition: Partition) -> int | None:
        try:
            last = await asyncio.to_thread(self._store.last, partition)
        except OSError as error:
            raise Unavailable(str(error)) from error
        except segment.Damaged as damaged:
            raise Stopped(f"The last segment of {partition} cannot be read: {damaged}") from damaged
        return last.next_offset if last else None

    async def _pass(self, batch: Batch) -> None:
        behind = await self._behind(batch.partition)
        stands_at = self._with_passed(batch.partition, behind)
        if stands_at not in (None, batch.begins_at):
            raise Elsewhere(stands_at)
        self._passed[batch.partition] = (behind, batch.next_offset)

    def _with_passed(self, partition: Partition, behind: int | None) -> int | None:
        ended_at, passed = self._passed.get(partition, (None, None))
        return behind if passed is None or ended_at != behind else passed

    def _write(self, batch: Batch) -> None:
        name = segment.name(batch.partition, batch.records[0])
        try:
            self._store.create(name, segment.encode(batch))
        except Exists:
            raise Elsewhere(self._store.summary(name).next_offset) from None


@asynccontextmanager
async def _open(env: Mapping[str, str]) -> AsyncIterator[tuple[Handler, Limits]]:
    _, settings = read(ArchiveSettings, "ARCHIVE_", env)
    log.info("%r", settings)
    # Now, not with the first segment: a wrong path shows at the start.
    settings.dir.mkdir(parents=True, exist_ok=True)
    yield (
        Archive(LocalStore(settings.dir)),
        Limits(
            records=settings.segment_records_max,
            bytes=settings.segment_bytes_max,
            age_s=settings.segment_age_s,
            period_s=3600,
        ),
    )


ARCHIVE = Consumer(name="archive", topic=CALLBACKS, open=_open)
