"""The listing of a partition's names, in a directory and in an object store."""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Self

import obstore
import pytest
from obstore.store import MemoryStore
from support.builders import P0, P1
from support.processes.ingress import until

from consumers.archive import directory_listing, listing, segment_name
from consumers.archive.directory_listing import DirectoryListing
from consumers.archive.listing import LISTINGS_MAX, BucketListing, Listing
from consumers.runtime.batch import Partition
from consumers.runtime.handler import Unavailable

HOURS = ("2026-11-23T14", "2035-01-01T00", "1999-01-01T00")
# Files that a person, a tool or a killed writer may leave beside the segments.
OTHERS = (".00000000000000000099-2026-11-23T14.jsonl.zst.a1b2", "notes.txt", "zzz", "-", "0")
Make = Callable[..., Listing]


def names(count: int, partition: Partition = P0) -> list[str]:
    """Return the names of a chain during which the broker's clock jumped."""
    return [
        segment_name.of_hour(partition, offset=7 * n, hour=HOURS[n % len(HOURS)])
        for n in range(count)
    ]


@pytest.fixture(params=["directory", "bucket"])
def make(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Make:
    """Return a function that makes a listing of files with these names; a page has three."""
    monkeypatch.setattr(listing, "PAGE_NAMES", 3)
    monkeypatch.setattr(directory_listing, "PAGE_NAMES", 3)
    monkeypatch.setattr(directory_listing, "CHUNK_NAMES", 2)

    def made(*paths: str) -> Listing:
        if request.param == "bucket":
            opened = MemoryStore()
            for path in paths:
                obstore.put(opened, path, b"")
            return BucketListing(opened)
        for path in paths:
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).touch()
        return DirectoryListing(tmp_path)

    return made


async def pages(of: Listing, *, after: str = "") -> list[list[str]]:
    """Return the pages of P0."""
    return [page async for page in of.pages(P0, after=after)]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 7, 30])
async def test_names_are_listed_in_the_order_of_the_chain(make: Make, count: int) -> None:
    """They come in pages, without other partitions and other files."""
    wanted = names(count)
    made = make(*wanted, *names(5, P1), *(f"{P0}/{other}" for other in OTHERS))
    listed = await pages(made)
    assert [name for page in listed for name in page] == wanted
    assert all(len(page) <= 3 for page in listed)
    assert await made.last(P0, search_from="") == (wanted[-1] if wanted else None)
    for at, known in enumerate(wanted):
        listed = await pages(made, after=known)
        assert [name for page in listed for name in page] == wanted[at + 1 :]
        assert await made.last(P0, search_from=known) == wanted[-1]


async def test_a_partition_whose_number_begins_like_another_has_its_own_names(make: Make) -> None:
    """Partition 1 is not partition 10, and may have none."""
    tenth = Partition(P1.topic, 10)
    made = make(*names(4, tenth))
    assert await made.last(P1, search_from="") is None
    assert await made.last(tenth, search_from="") == names(4, tenth)[-1]


async def test_the_last_name_is_found_even_if_the_known_name_does_not_exist(make: Make) -> None:
    """The archive was restored to an older state, or the known name is wrong."""
    wanted = names(9)
    made = make(*wanted)
    for offset in (1, 7 * 50, 2**62):
        known = segment_name.of_hour(P0, offset=offset, hour=HOURS[0])
        assert await made.last(P0, search_from=known) == wanted[-1]


async def test_a_directory_is_read_again_only_after_a_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An idle partition asks every ten seconds. After a very recent change it reads again."""
    read = 0
    scandir = os.scandir

    def counted(path: Path) -> "Iterator[os.DirEntry[str]]":
        nonlocal read
        read += 1
        return scandir(path)

    monkeypatch.setattr(os, "scandir", counted)
    first, second, third = names(3)
    directory = tmp_path / str(P0)
    directory.mkdir(parents=True)
    made = DirectoryListing(tmp_path)

    async def last_after(name: str, *, changed_s_ago: float) -> str | None:
        (tmp_path / name).touch()
        at_s = time.time() - changed_s_ago
        os.utime(directory, (at_s, at_s))
        return await made.last(P0, search_from="")

    assert await last_after(first, changed_s_ago=100) == first
    assert await made.last(P0, search_from="") == first
    assert read == 1
    assert await last_after(second, changed_s_ago=1) == second
    assert await made.last(P0, search_from="") == second
    assert read == 3
    assert await last_after(third, changed_s_ago=50) == third
    # Restored to an older state, with the older time of change.
    (tmp_path / third).unlink()
    os.utime(directory, (0, 0))
    assert await made.last(P0, search_from="") == second
    assert read == 5


async def hinted(directory: Path) -> list[str]:
    """Create the names of a chain one after the other, and return them."""
    created, made = names(4), DirectoryListing(directory)
    for name in created:
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).touch()
        made.created(name)
    return created


def hint_of(directory: Path) -> Path:
    """Return the path of the hint."""
    return directory / P0.topic / f".end-{P0.number}"


async def test_another_process_finds_the_end_by_a_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not read the directory, which takes long after years and on a slow disk."""
    created = await hinted(tmp_path)
    monkeypatch.setattr(os, "scandir", None)
    assert await DirectoryListing(tmp_path).last(P0, search_from="") == created[-1]


@pytest.mark.parametrize(
    "damage", ["another name", "gone", "empty", "text", "of nothing", "of elsewhere", "no file"]
)
async def test_an_invalid_hint_is_ignored(tmp_path: Path, damage: str) -> None:
    """If the hint is stale, missing or damaged, the directory is read."""
    created, hint = await hinted(tmp_path), hint_of(tmp_path)
    later = segment_name.of_hour(P0, offset=1000, hour=HOURS[2])
    changed_ns = (tmp_path / str(P0)).stat().st_mtime_ns
    nothing = f"{2**62:020d}-{HOURS[0]}.jsonl.zst"
    if damage == "another name":
        # Created by a writer that was killed before it left a hint.
        (tmp_path / later).touch()
        os.utime(tmp_path / str(P0), ns=(0, changed_ns + 1))
    elif damage == "gone":
        (tmp_path / created[-1]).unlink()
    elif damage == "no file":
        hint.unlink()
        hint.mkdir()
    else:
        text = {
            "empty": "",
            "text": "\ud800",
            "of nothing": f'[{changed_ns},"{nothing}"]',
            "of elsewhere": f'[{changed_ns},"../{P0.number}/{created[0].rpartition("/")[2]}"]',
        }[damage]
        hint.write_bytes(text.encode(errors="surrogatepass"))
    expected = max(each for each in (*created, later) if (tmp_path / each).exists())
    assert await DirectoryListing(tmp_path).last(P0, search_from="") == expected


async def test_a_hint_never_names_an_earlier_segment_than_an_existing_one(tmp_path: Path) -> None:
    """A writer that was suspended creates a segment that others have already passed."""
    created = await hinted(tmp_path)
    late = segment_name.of_hour(P0, offset=1, hour=HOURS[1])
    (tmp_path / late).touch()
    DirectoryListing(tmp_path).created(late)
    assert await DirectoryListing(tmp_path).last(P0, search_from="") == created[-1]


async def test_a_new_beginning_of_a_chain_leaves_no_hint(tmp_path: Path) -> None:
    """Expiry creates it before all other segments; a hint would hide them."""
    created = await hinted(tmp_path)
    hint_of(tmp_path).unlink()
    moved = segment_name.of_beginning(P0, 7)
    (tmp_path / moved).touch()
    DirectoryListing(tmp_path).created(moved)
    assert await DirectoryListing(tmp_path).last(P0, search_from="") == created[-1]


async def test_a_hint_of_a_name_before_a_known_one_is_ignored(tmp_path: Path) -> None:
    """The hint was copied while names were added; an idle consumer would return to it."""
    created, later = await hinted(tmp_path), segment_name.of_hour(P0, offset=99, hour=HOURS[0])
    times_ns = 0, (tmp_path / str(P0)).stat().st_mtime_ns
    (tmp_path / later).touch()
    os.utime(tmp_path / str(P0), ns=times_ns)
    made = DirectoryListing(tmp_path)
    assert await made.last(P0, search_from="") == created[-1]
    assert await made.last(P0, search_from=created[-1]) == created[-1]
    assert await made.last(P0, search_from=later) == later
    (tmp_path / later).unlink()
    os.utime(tmp_path / str(P0), ns=times_ns)
    assert await made.last(P0, search_from=later) == created[-1]


async def test_the_result_of_a_read_is_used_only_while_its_name_exists(tmp_path: Path) -> None:
    """The directory was restored from a copy with the same time of change and fewer names."""
    first, second = names(2)
    made, directory = DirectoryListing(tmp_path), tmp_path / str(P0)
    directory.mkdir(parents=True)
    for name in (first, second):
        (tmp_path / name).touch()
    os.utime(directory, (0, 0))
    assert await made.last(P0, search_from="") == second
    (tmp_path / second).unlink()
    os.utime(directory, (0, 0))
    assert await made.last(P0, search_from="") == first


async def test_a_hint_that_cannot_be_written_is_no_error(tmp_path: Path) -> None:
    """The segment is created all the same."""
    hint_of(tmp_path).mkdir(parents=True)
    created = await hinted(tmp_path)
    assert await DirectoryListing(tmp_path).last(P0, search_from="") == created[-1]


async def test_a_hint_is_written_only_right_after_the_create(tmp_path: Path) -> None:
    """Later another name may exist, which the hint would hide."""
    created = await hinted(tmp_path)
    hint_of(tmp_path).unlink()
    at_s = time.time() + 1
    os.utime(tmp_path / str(P0), (at_s, at_s))
    DirectoryListing(tmp_path).created(created[0])
    assert not hint_of(tmp_path).exists()


class Endless:
    """A directory whose names never end, like a year of names within a short time-out."""

    open_now = 0
    open_max = 0
    _lock = threading.Lock()

    def __init__(self, _path: Path) -> None:
        with self._lock:
            Endless.open_now += 1
            Endless.open_max = max(Endless.open_max, Endless.open_now)

    def __enter__(self) -> Self:
        """Enter the directory."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the directory."""
        with self._lock:
            Endless.open_now -= 1

    def __iter__(self) -> Self:
        """Return the entries."""
        return self

    def __next__(self) -> SimpleNamespace:
        """Return one more entry."""
        return SimpleNamespace(name="x")


async def test_a_time_out_leaves_no_thread_that_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of twenty concurrent calls only a few list, and none of them continues afterwards."""
    made, before = DirectoryListing(tmp_path), set(threading.enumerate())
    monkeypatch.setattr(os, "scandir", Endless)
    monkeypatch.setattr(directory_listing, "CHUNK_NAMES", 100)
    asking = asyncio.gather(
        *(made.last(Partition("t", number), search_from="") for number in range(20))
    )
    await until(lambda: Endless.open_now >= LISTINGS_MAX, "as many threads list as may")
    # As a time-out does.
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking

    async def none_lists() -> bool:
        return not Endless.open_now

    await until(none_lists, "no thread lists")
    assert 0 < Endless.open_max <= LISTINGS_MAX
    started = set(threading.enumerate()) - before
    assert len([each for each in started if each.name.startswith("list")]) <= LISTINGS_MAX
    # The threads accept new calls.
    monkeypatch.undo()
    assert await made.last(P0, search_from="") is None


async def test_a_store_that_ignores_the_offset_is_listed_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The list takes long, but the last name is right."""
    wanted = names(7)
    pages = [[{"path": name} for name in wanted[at : at + 3]] for at in range(0, 7, 3)]
    monkeypatch.setattr(listing, "PAGE_NAMES", 3)
    monkeypatch.setattr(obstore, "list", lambda *_, **__: iter(pages))
    made = BucketListing(MemoryStore())
    assert await made.last(P0, search_from=wanted[3]) == wanted[-1]
    assert await made.last(P0, search_from="") == wanted[-1]
    assert [name async for page in made.pages(P0, after=wanted[4]) for name in page] == wanted[5:]


async def test_a_store_that_lists_out_of_order_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last name could not be relied on; the error explains it."""
    shuffled = [[{"path": name} for name in reversed(names(3))]]
    monkeypatch.setattr(obstore, "list", lambda *_, **__: iter(shuffled))
    with pytest.raises(Unavailable, match="in order"):
        await BucketListing(MemoryStore()).last(P0, search_from="")
