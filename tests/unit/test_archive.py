"""The archive's chain on a local disk: no overlap, no gap, no overwritten segment."""

import asyncio
import json
import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from support.builders import P0, P1, a_batch, a_record, a_stored_batch

from consumers.archive import new_segment, segment_name
from consumers.archive.consumer import ArchiveHandler
from consumers.archive.store import SegmentStore, open_store
from consumers.archive.store_errors import CannotOpenStore, SegmentExists
from consumers.runtime.batch import Position
from consumers.runtime.handler import PositionDiffers, Stopped, Unavailable

A_NAME = "t/0/00000000000000000001-2023-11-14T22.jsonl.zst"


@pytest.fixture
def store(tmp_path: Path) -> SegmentStore:
    """Return a store in a new directory."""
    return open_store(str(tmp_path / "archive"), create_directory=True)


async def test_the_chain_continues_after_its_last_segment(store: SegmentStore) -> None:
    """Each partition's position is that of its last segment on disk."""
    archive = ArchiveHandler(store)
    assert await archive.position(P0) is None
    await archive.store_first_position(P0, Position(5))
    assert await archive.position(P0) == Position(5)
    await archive.handle(a_batch(5, 6, 9))
    await archive.handle(a_stored_batch(a_record(12), a_record(13), begins_at=10))
    assert await archive.position(P0) == Position(14, (13, "o" * 16, 13))
    assert await archive.position(P1) is None


async def test_a_chain_begins_once(store: SegmentStore) -> None:
    """A slow member does not begin another chain, even if the topic begins later by then."""
    await ArchiveHandler(store).store_first_position(P0, Position(5))
    await ArchiveHandler(store).store_first_position(P0, Position(8))
    assert await ArchiveHandler(store).position(P0) == Position(5)


async def test_a_writer_that_finds_a_name_taken_continues_after_that_segment(
    store: SegmentStore,
) -> None:
    """A zombie's shorter segment never replaces its successor's segment."""
    await ArchiveHandler(store).store_first_position(P0, Position(5))
    await ArchiveHandler(store).handle(a_batch(5, 6, 7))
    with pytest.raises(PositionDiffers) as differs:
        await ArchiveHandler(store).handle(a_batch(5, 6))
    assert differs.value.next_offset == 8
    (_, name) = await store.names(P0)
    assert (await store.summary(name)).last_offset == 7


async def test_between_check_and_create_the_name_decides(store: SegmentStore) -> None:
    """The store itself refuses a zombie that is suspended there."""
    await ArchiveHandler(store).store_first_position(P0, Position(5))
    late = new_segment.of_batch(a_batch(5, 6))
    await ArchiveHandler(store).handle(a_batch(5, 6, 7))
    with pytest.raises(SegmentExists):
        await store.create(*late)


async def test_a_store_that_is_restored_under_a_busy_writer_is_completed(
    store: SegmentStore,
) -> None:
    """The writer leaves no gap, which only `verify` would find later."""
    archive = ArchiveHandler(store)
    await archive.store_first_position(P0, Position(5))
    await archive.handle(a_batch(5, 6))
    await archive.handle(a_batch(7, 8))
    for name in (await store.names(P0))[2:]:
        await store.delete(name)
    with pytest.raises(PositionDiffers) as differs:
        await archive.handle(a_batch(9))
    assert differs.value.next_offset == 7
    await archive.handle(a_batch(7, 8))
    for name in await store.names(P0):
        await store.delete(name)
    with pytest.raises(PositionDiffers) as differs:
        await archive.handle(a_batch(9))
    assert differs.value.next_offset is None


@pytest.mark.parametrize("days", [(0, 400), (400, 0), (-4000, 0), (0, -9), (0, 400, -400)])
async def test_the_last_segment_is_the_one_with_the_highest_offset(
    store: SegmentStore, days: tuple[int, ...]
) -> None:
    """A segment with an hour in the future does not hide the segments of today."""
    archive, now_ms = ArchiveHandler(store), int(time.time() * 1000)
    await archive.store_first_position(P0, Position(0))
    for offset, day in enumerate(days):
        record = a_record(offset, timestamp_ms=now_ms + day * 24 * 3_600_000)
        await archive.handle(a_stored_batch(record))
    at = len(days)
    # A process that has seen none of the segments finds it, too.
    for each in (archive, ArchiveHandler(store)):
        assert await each.position(P0) == Position(at, (at - 1, "o" * 16, at - 1))
    names = await store.names(P0)
    assert [segment_name.first_offset(name) for name in names] == [0, *range(at)]


async def test_a_wrong_hint_does_not_break_a_chain(store: SegmentStore, tmp_path: Path) -> None:
    """A writer that continues after an earlier segment finds that the next name is taken."""
    await ArchiveHandler(store).store_first_position(P0, Position(5))
    batches = [a_batch(5, 6), a_batch(7), a_batch(8, 9)]
    archive = ArchiveHandler(store)
    for batch in batches:
        await archive.handle(batch)
    directory = tmp_path / "archive" / str(P0)
    changed_ns, earlier = directory.stat().st_mtime_ns, (await store.names(P0))[1]
    hint = [changed_ns, earlier.rpartition("/")[2]]
    directory.with_name(f".end-{P0.number}").write_text(json.dumps(hint))
    misled = ArchiveHandler(open_store(str(tmp_path / "archive")))
    position = await misled.position(P0)
    assert position is not None
    assert position.next_offset == 7
    for batch, after in zip(batches[1:], (8, 10), strict=True):
        with pytest.raises(PositionDiffers) as differs:
            await misled.handle(batch)
        assert differs.value.position is not None
        assert differs.value.position.next_offset == after
    await misled.handle(a_batch(10))
    names = await store.names(P0)
    assert [segment_name.first_offset(name) for name in names] == [0, 5, 7, 8, 10]


async def test_a_writer_that_knows_the_last_segment_does_not_list(
    store: SegmentStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It only reads that segment. Otherwise each write would list a year's names."""
    archive = ArchiveHandler(store)
    await archive.store_first_position(P0, Position(5))
    assert await archive.position(P0) == Position(5)
    monkeypatch.setattr("os.scandir", None)
    await archive.handle(a_batch(5, 6))
    await archive.handle(a_batch(7))
    monkeypatch.undo()
    assert await archive.position(P0) == Position(8, (7, "o" * 16, 7))


async def test_transaction_markers_move_the_end_of_the_chain(store: SegmentStore) -> None:
    """Markers after a record are in its segment's summary; others are a segment without records."""
    archive, other = ArchiveHandler(store), ArchiveHandler(store)
    await archive.store_first_position(P0, Position(5))
    await archive.handle(a_stored_batch(a_record(5), next_offset=9))
    assert await ArchiveHandler(store).position(P0) == Position(9, (5, "o" * 16, 5))
    markers = replace(a_stored_batch(a_record(9), next_offset=12), records=())
    await archive.handle(markers)
    assert await other.position(P0) == Position(12, (5, "o" * 16, 5))
    with pytest.raises(PositionDiffers) as differs:
        await other.handle(markers)
    assert differs.value.next_offset == 12
    await other.handle(a_stored_batch(a_record(14), begins_at=12))
    assert await archive.position(P0) == Position(15, (14, "o" * 16, 14))


@pytest.mark.parametrize("unnamed", [True, False])
async def test_a_segment_is_created_whole_or_not_at_all(
    store: SegmentStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, unnamed: bool
) -> None:
    """No file is overwritten and no other file is left, also without O_TMPFILE."""
    if not unnamed:
        monkeypatch.setattr("schemas.local_file._UNNAMED", 0)
    await store.create(A_NAME, b"first")
    with pytest.raises(SegmentExists):
        await store.create(A_NAME, b"second")
    assert await store.read(A_NAME) == b"first"
    assert [path.name for path in (tmp_path / "archive" / A_NAME).parent.iterdir()] == [
        Path(A_NAME).name
    ]


async def test_a_name_counts_as_taken_only_once_it_is_on_disk(
    store: SegmentStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If fsync fails after the link, the segment may or may not exist; the next call syncs it."""
    path = tmp_path / "archive" / A_NAME
    fsync, synced, faults = os.fsync, list[Path](), [OSError("the test says so")]

    def fsync_may_fail(descriptor: int) -> None:
        if path.exists() and faults:
            raise faults.pop()
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync_may_fail)
    with pytest.raises(Unavailable, match="the test says so"):
        await store.create(A_NAME, b"first")
    synced.clear()
    with pytest.raises(SegmentExists):
        await store.create(A_NAME, b"first")
    assert synced[-1] == path.parent


KILLED = """
import asyncio, os, sys
from consumers.archive import store
from schemas import local_file

# The child writes as if O_TMPFILE did not exist. Each process has an archive of its own.
with_o_tmpfile, without, segment = sys.argv[1:]
if child := os.fork():
    os.waitpid(child, 0)
else:
    local_file._UNNAMED = 0
os.link = lambda *_, **__: os.kill(os.getpid(), 9)
opened = store.open_store(with_o_tmpfile if child else without, create_directory=True)
asyncio.run(opened.create(segment, b"whole"))
"""


async def test_a_killed_writer_leaves_no_segment(tmp_path: Path) -> None:
    """It is killed right before its segment has a name; without O_TMPFILE a dot-file is left."""
    with_o_tmpfile, without = tmp_path / "one", tmp_path / "other"
    command = [sys.executable, "-c", KILLED, str(with_o_tmpfile), str(without), A_NAME]
    killed = await asyncio.create_subprocess_exec(*command)
    assert await killed.wait() == -signal.SIGKILL
    for archive, left in ((with_o_tmpfile, 0), (without, 1)):
        store = open_store(str(archive))
        assert len(list((archive / A_NAME).parent.iterdir())) == left
        assert await store.partitions() == [P0._replace(topic="t")]
        assert await store.names(P0._replace(topic="t")) == []
        await store.create(A_NAME, b"by its successor")
        assert await store.names(P0._replace(topic="t")) == [A_NAME]


async def test_a_damaged_last_segment_stops_the_consumer(store: SegmentStore) -> None:
    """The end of the chain is unknown, so no record may be appended."""
    await store.create(A_NAME.replace("t/0", str(P0)), b"not a segment")
    with pytest.raises(Stopped, match="cannot be read"):
        await ArchiveHandler(store).position(P0)


async def test_a_directory_that_cannot_be_written_is_an_outage(
    store: SegmentStore, tmp_path: Path
) -> None:
    """The handler raises Unavailable, so that records wait instead of being rejected."""
    (tmp_path / "archive" / P0.topic).write_text("a file where a directory should be")
    with pytest.raises(Unavailable):
        await ArchiveHandler(store).handle(a_batch(1))


@pytest.mark.parametrize(
    ("url", "why"),
    [("ftp://host/x", "ftp"), ("/nowhere/at/all", "/nowhere/at/all"), ("az://a/b", "Account")],
)
def test_a_url_that_cannot_be_opened_is_refused_with_the_reason(url: str, why: str) -> None:
    """The error is one line, not a traceback."""
    with pytest.raises(CannotOpenStore, match=why):
        open_store(url)
