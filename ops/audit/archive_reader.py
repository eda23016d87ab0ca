"""Read the archive's segments, each once, and notice if segments that were read are gone."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncGenerator
from datetime import UTC, datetime
from typing import NamedTuple

from consumers.archive import segment_name
from consumers.archive.segment import (
    DamagedSegment,
    SegmentSummary,
    decode_line,
    read_lines,
    read_summary,
)
from consumers.archive.store import SegmentStore
from consumers.runtime.batch import Partition
from consumers.runtime.handler import Unavailable
from ops.archive.segments import SegmentFilter, in_order
from ops.audit.since import READ_BEFORE, Since
from ops.audit.sources import AuditFailed, ReadAgain, SourceUnavailable
from ops.audit.tally import Tally


class NamesRead(NamedTuple):
    """The last of some names in their order, and a digest of all: years of names are too many."""

    last: str = ""
    digest: bytes = b""

    def followed_by(self, name: str) -> "NamesRead":
        """Return these names and `name`."""
        return NamesRead(name, hashlib.sha256(self.digest + name.encode()).digest())


class ArchiveReader:
    """Reads each segment of an archive once into a tally."""

    def __init__(self, store: SegmentStore, since: Since | None = None) -> None:
        self._store = store
        self._since = since
        self._hours = SegmentFilter(since=since.read_from if since else None)
        self._read: dict[Partition, NamesRead] = {}

    async def read(self, tally: Tally) -> None:
        """
        Read the segments that were not read before.

        Raises:
            SourceUnavailable: the store does not answer. The next call goes on.
            ReadAgain: segments that were read before do not exist any more.
            AuditFailed: a segment is damaged.
        """
        try:
            for partition in sorted({*self._read, *await self._store.partitions()}):
                while not await self._read_partition(partition, tally):
                    pass  # list again, to read what replaces the expired segment
        except Unavailable as error:
            raise SourceUnavailable(f"the archive does not answer: {error}") from error

    async def _read_partition(self, partition: Partition, tally: Tally) -> bool:
        """Read new segments until one has expired since it was listed; return whether none has."""
        names = self._new_names(partition)
        async with contextlib.aclosing(in_order(names, self._store.read)) as segments:
            async for name, content in segments:
                if content is None:
                    return False
                await asyncio.to_thread(_add, tally, name, content, self._since)
                self._read[partition] = self._names_read(partition).followed_by(name)
        return True

    async def _new_names(self, partition: Partition) -> AsyncGenerator[str]:
        before, names_now = self._names_read(partition), NamesRead()
        async with contextlib.aclosing(self._store.pages(partition)) as pages:
            async for page in pages:
                for name in filter(self._is_in_range, page):
                    if name <= before.last:
                        names_now = names_now.followed_by(name)
                        continue
                    _check(partition, before, names_now)
                    yield name
        _check(partition, before, names_now)

    def _is_in_range(self, name: str) -> bool:
        """Return whether a segment may have records since the time, or says what has expired."""
        # A segment has no record of a later hour than that of its name.
        is_beginning = segment_name.hour(name) == segment_name.BEGINNING
        return is_beginning or self._hours.selects_hour(name)

    def _names_read(self, partition: Partition) -> NamesRead:
        return self._read.get(partition, NamesRead())


def _check(partition: Partition, before: NamesRead, names_now: NamesRead) -> None:
    if names_now != before:
        raise ReadAgain(f"segments of {partition} that were read were deleted from the archive")


def _add(tally: Tally, name: str, content: bytes, since: Since | None) -> None:
    try:
        summary = read_summary(content)
        for line in read_lines(content):
            tally.add_line(decode_line(line))
    except DamagedSegment as error:
        raise AuditFailed(f"{name}: {error}; see hookline archive verify") from error
    # A segment without records still names the last record before it.
    tally.origins.add_seen(summary.last_origin, summary.last_sequence)
    if not summary.records:
        if since is not None:
            _check_expired(summary, since)
        tally.note_expired(
            summary.partition, summary.origins, last_timestamp_ms=summary.last_timestamp_ms
        )


def _check_expired(summary: SegmentSummary, since: Since) -> None:
    if summary.origins and summary.last_timestamp_ms >= since.read_from_ms:
        last = datetime.fromtimestamp(summary.last_timestamp_ms / 1000, UTC)
        raise AuditFailed(
            f"--since {since}: records of {summary.partition} have expired from Kafka and the"
            f" archive up to {last:%Y-%m-%dT%H:%M:%S}Z; name a time that is at least"
            f" {READ_BEFORE.total_seconds() / 3600:g} h after that"
        )
