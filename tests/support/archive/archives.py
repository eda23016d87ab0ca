"""Write an archive to a local disk with the product's own handler."""

import hashlib
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import zstandard
from support.builders import P0, a_body, a_callback

from consumers.archive import segment
from consumers.archive.consumer import ArchiveHandler
from consumers.archive.listing import Listing
from consumers.archive.segment import SegmentSummary
from consumers.archive.store import Create, SegmentStore, open_store
from consumers.runtime.batch import Batch, Partition, Position, Record
from ops.archive.parquet import HourCopy, copy
from ops.archive.segments import ALL
from schemas import outgoing_record as wire

ORIGIN = "o" * 16
HOUR_MS = 3_600_000
# 2023-11-14T22:00:00Z
FIRST_MS = 1_699_999_200_000
FIRST = datetime.fromtimestamp(FIRST_MS / 1000, UTC)


class WrittenArchive:
    """An archive to which tests append segments; a transaction marker follows each segment."""

    def __init__(self, directory: Path, url: str = "") -> None:
        self.directory = directory
        self._url = url
        self.store = open_store(url or str(directory), create_directory=True)
        self.handler = ArchiveHandler(self.store)

    async def append(
        self,
        *records: Record,
        partition: Partition = P0,
        markers: int = 1,
        topic_id: str | None = None,
    ) -> str:
        """Append a segment of `records`, or of markers alone; return its name."""
        position = await self.handler.position(partition)
        if position is None:
            await self.handler.store_first_position(partition, Position(0, None, topic_id))
            position = await self.handler.position(partition)
        assert position is not None
        begins_at = position.next_offset
        placed = [record._replace(offset=begins_at + at) for at, record in enumerate(records)]
        before = set(await self.store.names(partition))
        packed, middle = self.handler.packed_records(partition), len(placed) // 2
        for part in (placed[:middle], placed[middle:]):
            if part:
                await packed.add(part)
        await self.handler.handle(
            Batch(
                partition=partition,
                begins_at=begins_at,
                reached=Position(begins_at + len(placed) + markers, position.last, topic_id),
                records=(),
                packed=packed if records else None,
            )
        )
        (name,) = set(await self.store.names(partition)) - before
        if records and not self._url:
            os.utime(self.path(name), (records[-1].timestamp_ms / 1000,) * 2)
        return name

    async def fill(self, segments: int, *, each: int = 4) -> list[str]:
        """Append segments with these numbers of records, an hour apart; return their names."""
        return [
            await self.append(
                *(
                    numbered(number * each + at + 1, at_ms=FIRST_MS + number * HOUR_MS + at)
                    for at in range(each)
                )
            )
            for number in range(segments)
        ]

    def path(self, name: str) -> Path:
        """Return the path of the file of a segment."""
        return self.directory / name


def parts_of(store: SegmentStore) -> tuple[Any, Create, Listing]:
    """Return the parts of `store`, from which a test builds a store that behaves differently."""
    return store._object_store, store._create, store._listing  # noqa: SLF001


def numbered(
    sequence: int,
    body: bytes | None = None,
    *,
    at_ms: int = FIRST_MS,
    origin: str = ORIGIN,
    **fields: Any,
) -> Record:
    """Return a record with this sequence, as Kafka appended it at `at_ms`."""
    callback = a_callback(
        a_body(MsgKey=f"{origin}-{sequence}") if body is None else body,
        **({"received_at_ms": at_ms} | fields),
    )
    made = wire.main_topic_record(callback)
    headers = tuple(wire.with_place_and_id(made.headers, origin, sequence))
    return Record(0, at_ms, made.key, made.value, headers)


def forge(content: bytes, lines: bytes | None = None, **fields: Any) -> bytes:
    """Return a segment with changed fields or lines and correct checksums."""
    summary = segment.read_summary(content)
    frames = content[segment.summary_size(content) :]
    if lines is not None:
        frames = zstandard.ZstdCompressor(write_checksum=True).compress(lines)
    sha256 = hashlib.sha256(frames).hexdigest()
    changed: SegmentSummary = msgspec.structs.replace(summary, **({"sha256": sha256} | fields))
    return segment.file_content(changed, frames)


async def copied(written: WrittenArchive, to: Path, **later: float) -> list[HourCopy | None]:
    """Export the archive to `to`, as if the time since its first record were this long."""
    now = FIRST + timedelta(**later)
    return [each async for each in copy(written.store, to, only=ALL, now=now)]


def rows(to: Path) -> list[dict[str, Any]]:
    """Return the rows of the copy."""
    result = duckdb.execute(
        f"select * from '{to}/*/*.parquet' order by partition, \"offset\""  # noqa: S608
    )
    assert result.description
    columns = [column[0] for column in result.description]
    return [dict(zip(columns, row, strict=True)) for row in result.fetchall()]
