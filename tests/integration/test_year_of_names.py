"""An archive with a year of names in six partitions: its end is found by few lists."""

import asyncio
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import orjson
import pytest
from support.archive import year_of_names as year
from support.archive.archives import numbered
from support.archive.s3_server import BUCKET, S3Server

from consumers.archive.consumer import ArchiveHandler
from consumers.archive.listing import PAGE_NAMES
from consumers.archive.store import SegmentStore, open_store
from consumers.runtime.batch import Batch, Partition, Position
from consumers.runtime.handler import HANDLE_TIMEOUT_S
from ops.archive import expire
from ops.demo.embedded import child

Got = TypeVar("Got")
NUMBERS = range(year.PARTITIONS)
# Of 526 that a partition has.
LISTS_MAX = 20
LINKS_MAX = 60_000
OLDEST = 50
WRITTEN = [*range(OLDEST + 1), *range(year.MINUTES - 60, year.MINUTES)]
# A partition's names take 50 MB, and the command without an archive 100.
RSS_BYTES_MAX = 300 << 20
HOOKLINE = str(Path(sys.executable).with_name("hookline"))
SERVER = Path(__file__).parents[1] / "support/archive/s3_year.py"


@pytest.fixture(scope="module")
def minutes(scaled: Callable[..., int]) -> list[int]:
    """Return the minutes whose names the directory has: with --long those of the whole year."""
    youngest = range(year.MINUTES - scaled(30_000, at_most=year.MINUTES), year.MINUTES)
    return sorted({*WRITTEN, *year.AHEAD, *youngest})


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory, minutes: list[int]) -> Iterator[Path]:
    """Yield a directory with many names, six partitions by links to one; WRITTEN have content."""
    archive = tmp_path_factory.mktemp("year")
    first, *others = (archive / str(year.partition(number)) for number in NUMBERS)
    first.mkdir(parents=True)
    linked = ""
    for count, name in enumerate(year.name(0, minute) for minute in minutes):
        # A file may have 65,000 names, which are made more quickly than files.
        if count % LINKS_MAX == 0:
            linked = f"{archive}/{name}"
            Path(linked).touch()
        else:
            os.link(linked, f"{archive}/{name}")
    for minute in WRITTEN:
        path = archive / year.name(0, minute)
        path.unlink()
        path.write_bytes(year.content(0, minute))
        os.utime(path, (0, 0))
    for other in others:
        other.symlink_to(first.name)
    yield archive
    # pytest would keep three of them.
    shutil.rmtree(archive)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """Yield an S3 server whose bucket has the year."""
    with child.running(S3Server(tmp_path_factory.mktemp("s3"), str(SERVER))) as started:
        yield started


@pytest.fixture
def bucket(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> SegmentStore:
    """Return the year's archive in the bucket."""
    for name, value in server.env().items():
        monkeypatch.setenv(name, value)
    return open_store(f"s3://{BUCKET}/an/archive")


async def timed(answer: Awaitable[Got]) -> tuple[Got, float]:
    """Return an answer, which comes within the time of a call, and the seconds that it took."""
    began_s = time.monotonic()
    async with asyncio.timeout(HANDLE_TIMEOUT_S):
        return await answer, time.monotonic() - began_s


async def six(store: SegmentStore) -> list[Position | None]:
    """Return the ends of all partitions, asked at once as by a process that starts."""
    archive = ArchiveHandler(store)
    return await asyncio.gather(*(archive.position(year.partition(number)) for number in NUMBERS))


@pytest.mark.timeout(600)
async def test_the_end_of_a_year_is_found_in_a_directory(
    directory: Path, minutes: list[int], say: Callable[[str], None]
) -> None:
    """By a new process; the newest hour is not the end."""
    one = []
    for _ in range(3):
        archive = ArchiveHandler(open_store(str(directory)))
        position, took = await timed(archive.position(year.partition(0)))
        assert position == year.position(0)
        one.append(took)
    positions, six_took = await timed(six(open_store(str(directory))))
    assert positions == [year.position(0)] * len(NUMBERS)
    say(
        f"directory: {len(minutes)} names, end found in {statistics.median(one):.2f} s (median of "
        f"3), of {len(NUMBERS)} partitions at once in {six_took:.2f} s"
    )


def hookline(*arguments: object) -> tuple[str, int, float]:
    """Run a command as a process; return its output, its memory in bytes and its seconds."""
    began_s = time.monotonic()
    with (
        tempfile.TemporaryFile() as out,
        subprocess.Popen([HOOKLINE, *map(str, arguments)], stdout=out) as process,
    ):
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        assert process.returncode == 0
        return out.read().decode(), usage.ru_maxrss << 10, time.monotonic() - began_s


@pytest.mark.timeout(600)
async def test_commands_read_a_part_of_a_year(
    directory: Path, tmp_path: Path, say: Callable[[str], None]
) -> None:
    """They list all names of a partition, in little memory."""
    alone = tmp_path / str(year.partition(0))
    alone.parent.mkdir()
    alone.symlink_to(directory / str(year.partition(0)))
    hour = ("--since", "2025-12-31T23", "--until", "2026-01-01")
    lines, rss_bytes, cat_s = hookline(*("archive", "cat", "--archive", tmp_path, *hour))
    assert len(lines.splitlines()) == 60 - len(year.BACK)
    copied, parquet_rss_bytes, parquet_s = hookline(
        *("archive", "parquet", "--archive", tmp_path, "--to", tmp_path / "copy", *hour, "--json")
    )
    assert orjson.loads(copied)["records"] == 60 - len(year.BACK)
    assert max(rss_bytes, parquet_rss_bytes) < RSS_BYTES_MAX

    async def kafka(partitions: list[Partition]) -> dict[Partition, int]:
        return dict.fromkeys(partitions, 2 * OLDEST)

    store = open_store(str(tmp_path))
    planned = await expire.plan(store, log_starts=kafka, before_ms=2**60, step=lambda: None)
    assert [len(going) for going in planned.values()] == [OLDEST]
    say(
        f"a year of a partition: an hour by cat in {cat_s:.1f} s with {rss_bytes / 1e6:.0f} MB, "
        f"by parquet in {parquet_s:.1f} s with {parquet_rss_bytes / 1e6:.0f} MB"
    )


async def test_the_end_of_a_year_is_found_on_s3(
    bucket: SegmentStore, server: S3Server, say: Callable[[str], None]
) -> None:
    """With few list requests; with one if the last segment is known. The chain continues there."""
    before = server.lists()
    position, took = await timed(ArchiveHandler(bucket).position(year.partition(0)))
    lists = server.lists() - before
    assert position == year.position(0)
    assert lists <= LISTS_MAX

    before = server.lists()
    positions, six_took = await timed(six(bucket))
    assert positions == [year.position(number) for number in NUMBERS]
    six_lists = server.lists() - before
    assert six_lists <= LISTS_MAX * len(NUMBERS)
    say(
        f"S3: {year.MINUTES} names, end found with {lists} lists in {took:.2f} s, of "
        f"{len(NUMBERS)} partitions at once with {six_lists} in {six_took:.2f} s; all names are "
        f"{-(-year.MINUTES // PAGE_NAMES)} lists a partition"
    )

    partition, end = year.partition(0), year.position(0).next_offset
    archive = ArchiveHandler(bucket)
    assert await archive.position(partition) == year.position(0)
    before = server.lists()
    record = numbered(year.MINUTES + 1, origin=f"{0:016}")._replace(offset=end)
    reached = Position(end + 2, (end, f"{0:016}", year.MINUTES + 1))
    await archive.handle(
        Batch(partition=partition, begins_at=end, reached=reached, records=(record,))
    )
    assert server.lists() == before
    assert await archive.position(partition) == reached
    assert server.lists() == before + 1
    assert await ArchiveHandler(bucket).position(partition) == reached


async def test_a_partition_without_segments_is_empty_beside_a_year_of_another(
    bucket: SegmentStore, server: S3Server
) -> None:
    """It begins like any other chain."""
    other = Partition(year.partition(0).topic, year.PARTITIONS)
    archive, before = ArchiveHandler(bucket), server.lists()
    assert await archive.position(other) is None
    await archive.store_first_position(other, Position(7))
    assert await ArchiveHandler(bucket).position(other) == Position(7)
    assert server.lists() == before + 2
