"""
`hookline archive parquet`: copy closed hours of the archive to Parquet files for analysts.

DuckDB writes the files (docs/decisions/0015-parquet.md). The metadata of a file name its segments,
so an hour is copied again if the archive consumer lagged and has added segments to it since.
"""

import asyncio
import contextlib
import json
import os
import tempfile
from array import array
from collections import defaultdict
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import zstandard

from consumers.archive import segment, segment_name
from consumers.archive.segment import Line
from consumers.archive.store import SegmentStore
from consumers.runtime.batch import Partition
from ops.archive import columns
from ops.archive.segments import SegmentFilter, in_order, naming, segment_names
from ops.failure import Failure
from schemas.body import Malformed, parse
from schemas.process import sync_directory

# An hour is closed this long after its end, longer than a segment may be open
# (ARCHIVE_SEGMENT_AGE_S).
SETTLE = timedelta(hours=2)
OBJECT_BYTES_MIN = 16 << 20
MEMORY = "1GB"


class NoDuckDB(Failure):
    """The package duckdb is not installed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HourCopy:
    """The file of one hour."""

    path: Path
    record_count: int


class Hours:
    """
    The segments of closed hours, by topic and hour.

    They are kept as partition and offset, which give the name and take 16 bytes instead of 120: a
    year has millions of segments.
    """

    def __init__(self) -> None:
        self._segments: defaultdict[tuple[str, str], array[int]] = defaultdict(lambda: array("q"))

    def add(self, name: str, *, before: datetime) -> None:
        """Add a segment if its hour had ended SETTLE before `before`."""
        hour = segment_name.hour(name)
        if segment_name.BEGINNING < hour <= f"{before - SETTLE - timedelta(hours=1):%Y-%m-%dT%H}":
            topic, number, _ = name.rsplit("/", 2)
            self._segments[topic, hour].extend((int(number), segment_name.first_offset(name)))

    def __iter__(self) -> Iterator[tuple[str, str, list[str]]]:
        """Yield each topic and hour with the names of its segments, in order."""
        for (topic, hour), numbers in sorted(self._segments.items()):
            pairs = zip(numbers[::2], numbers[1::2], strict=True)
            yield (
                topic,
                hour,
                [
                    segment_name.of_hour(Partition(topic, number), offset=offset, hour=hour)
                    for number, offset in pairs
                ],
            )


async def copy(
    store: SegmentStore, to: Path, *, only: SegmentFilter, now: datetime
) -> AsyncGenerator[HourCopy | None]:
    """
    Write the files that are absent or incomplete; yield each of them; None for a complete one.

    It is also None for an hour without records: it has only transaction markers, or has expired
    meanwhile.

    Raises:
        NoDuckDB: the package is not installed.
        DamagedSegment: a segment is not what was written.
        Unavailable: the store does not answer.
        OSError: the file cannot be written.
    """
    database = _database()
    with database:
        hours = Hours()
        async for name in segment_names(store, only):
            hours.add(name, before=now)
        for topic, hour, of_hour in hours:
            path = to / topic / f"{hour}.parquet"
            copied = _copied_segments(database, path) if path.exists() else set()
            added = [name for name in of_hour if name not in copied]
            # If a part of the hour has expired, the copy has more than the archive.
            if copied - set(of_hour) or (
                copied
                and not [n async for n, s in in_order(added, store.summary) if s and s.records]
            ):
                yield None
                continue
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=path.parent, prefix=".") as scratch:
                record_count = await _write(database, store, of_hour, path, Path(scratch))
            yield HourCopy(path=path, record_count=record_count) if record_count else None


async def _write(
    database: Any, store: SegmentStore, names: list[str], path: Path, scratch: Path
) -> int:
    lines = scratch / "lines.jsonl.zst"
    record_count, longest, written = 0, 0, []
    with (
        lines.open("wb") as file,
        zstandard.ZstdCompressor(level=1).stream_writer(file) as compressed,
    ):
        async with contextlib.aclosing(in_order(names, store.read)) as segments:
            async for name, content in segments:
                if content is None:
                    continue  # expired meanwhile
                count, longest_here = await asyncio.to_thread(_append, compressed, name, content)
                record_count, longest = record_count + count, max(longest, longest_here)
                if count:
                    written.append(name)
    if record_count:
        query = columns.query(str(lines), line_bytes_max=max(OBJECT_BYTES_MIN, longest + 1))
        complete = scratch / path.name
        await asyncio.to_thread(
            database.execute,
            f"copy ({query}) to {columns.sql_text(str(complete))} (format parquet, "
            f"compression zstd, kv_metadata {{segments: {columns.sql_text(json.dumps(written))}}})",
        )
        await asyncio.to_thread(_into_place, complete, path)
    return record_count


def _append(compressed: Any, name: str, content: bytes) -> tuple[int, int]:
    """Write a segment's rows to `compressed`; return their number and the length of the longest."""
    count = longest = 0
    with naming(name):
        for text in segment.read_lines(content):
            line = _row(segment.decode_line(text))
            compressed.write(line)
            count, longest = count + 1, max(longest, len(line))
    return count, longest


def _row(line: Line) -> bytes:
    try:
        body: str | None = line.value.decode()
    except UnicodeDecodeError:
        body = None
    try:
        fields = columns.body_columns(parse(line.value))
    except Malformed:
        fields = {}  # no ingress wrote it
    row = columns.ParquetRow(
        partition=line.partition,
        offset=line.offset,
        timestamp=line.timestamp,
        key=line.key,
        headers=line.headers,
        body=body,
        fields=fields,
    )
    return msgspec.json.encode(row) + b"\n"


def _into_place(complete: Path, path: Path) -> None:
    with complete.open("rb") as file:
        os.fsync(file.fileno())
    complete.replace(path)
    sync_directory(path.parent)


def _copied_segments(database: Any, path: Path) -> set[str]:
    row = database.execute(
        "select decode(value) from parquet_kv_metadata(?) where decode(key) = 'segments'",
        [str(path)],
    ).fetchone()
    return set(json.loads(row[0])) if row else set()


def _database() -> Any:
    try:
        import duckdb  # noqa: PLC0415 - only this command needs it, and most machines do without
    except ImportError as error:
        install_hint = "make setup, or pip install '.[analysis]', in the checkout"
        raise NoDuckDB(
            f"the package duckdb is not installed; install it with: {install_hint}"
        ) from error
    database = duckdb.connect(config={"memory_limit": MEMORY})
    database.execute("set timezone = 'UTC'")
    return database
