"""An archive with a year of names in six partitions: its end is found soon, on disk and on S3."""

import asyncio
import os
import shutil
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest
import year_of_names as year
from archives import numbered
from s3_server import BUCKET, S3Server

from consumers.archive.consumer import Archive
from consumers.archive.listing import PAGE_NAMES
from consumers.archive.store import Store, open_store
from consumers.runtime.batch import Batch, Partition, Position
from consumers.runtime.lane import HANDLE_S
from ops.embedded import child

Got = TypeVar("Got")
NUMBERS = range(year.PARTITIONS)
# Of 526 that a partition has.
LISTS_MAX = 20
LINKS_MAX = 60_000
SERVER = Path(__file__).parents[1] / "s3_year.py"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A year of names; six partitions by links to one. Only the last segment has a content."""
    archive = tmp_path_factory.mktemp("year")
    first, *others = (archive / str(year.partition(number)) for number in NUMBERS)
    first.mkdir(parents=True)
    linked = ""
    for minute, name in enumerate(year.names_after(0, "")):
        # A file may have 65,000 names, which are made more quickly than files.
        if minute % LINKS_MAX == 0:
            linked = f"{archive}/{name}"
            Path(linked).touch()
        else:
            os.link(linked, f"{archive}/{name}")
    last = archive / year.name(0, year.MINUTES - 1)
    last.unlink()
    last.write_bytes(year.content(0, year.MINUTES - 1))
    for other in others:
        other.symlink_to(first.name)
    yield archive
    # pytest would keep three of them.
    shutil.rmtree(archive)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3 server whose bucket has the year."""
    with child.running(S3Server(tmp_path_factory.mktemp("s3"), str(SERVER))) as started:
        yield started


@pytest.fixture
def bucket(server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The year's archive in the bucket."""
    for name, value in server.env().items():
        monkeypatch.setenv(name, value)
    return open_store(f"s3://{BUCKET}/an/archive")


async def timed(answer: Awaitable[Got]) -> tuple[Got, float]:
    """Return an answer, which comes within the time of a question, and the seconds it took."""
    began_s = time.monotonic()
    async with asyncio.timeout(HANDLE_S):
        return await answer, time.monotonic() - began_s


async def six(store: Store) -> list[Position | None]:
    """Return where the chains of all partitions end, asked at once as by a process that starts."""
    archive = Archive(store)
    return await asyncio.gather(*(archive.position(year.partition(number)) for number in NUMBERS))


@pytest.mark.timeout(300)
async def test_the_end_of_a_year_is_found_in_a_directory(
    directory: Path, say: Callable[[str], None]
) -> None:
    """By a process that has seen none of it; the newest hour is not the end."""
    one, all_six = [], []
    for _ in range(3):
        archive = Archive(open_store(str(directory)))
        position, took = await timed(archive.position(year.partition(0)))
        assert position == year.position(0)
        one.append(took)
        positions, took = await timed(six(open_store(str(directory))))
        assert positions == [year.position(0)] * len(NUMBERS)
        all_six.append(took)
    say(
        f"directory: {year.MINUTES} names, end found in {statistics.median(one):.2f} s, "
        f"of {len(NUMBERS)} partitions at once in {statistics.median(all_six):.2f} s (median of 3)"
    )


async def test_the_end_of_a_year_is_found_on_s3(
    bucket: Store, server: S3Server, say: Callable[[str], None]
) -> None:
    """By few lists; with one, where the last segment is known; and the chain goes on there."""
    before = server.lists()
    position, took = await timed(Archive(bucket).position(year.partition(0)))
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
    archive = Archive(bucket)
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
    assert await Archive(bucket).position(partition) == reached


async def test_a_chain_without_segments_beside_a_year_of_others_is_empty(
    bucket: Store, server: S3Server
) -> None:
    """And begins as any other; so does one whose only segment is of another age."""
    other = Partition(year.partition(0).topic, year.PARTITIONS)
    archive, before = Archive(bucket), server.lists()
    assert await archive.position(other) is None
    await archive.begin(other, Position(7))
    assert await Archive(bucket).position(other) == Position(7)
    assert server.lists() == before + 2
