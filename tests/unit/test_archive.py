"""The archive's chain on a local disk: no overlap, no gap, no rewrite."""

from dataclasses import replace
from pathlib import Path

import pytest
from builders import P0, P1, a_batch, a_record, a_stored_batch

from consumers.archive import segment
from consumers.archive.consumer import Archive
from consumers.archive.store import Exists, LocalStore
from consumers.runtime.handler import Elsewhere, Unavailable


async def test_the_chain_goes_on_behind_its_last_segment(tmp_path: Path) -> None:
    """The position is what is on disk, per partition."""
    archive = Archive(LocalStore(tmp_path))
    assert await archive.position(P0) is None
    await archive.handle(a_batch(5, 6, 9))
    await archive.handle(a_batch(12, 13))
    assert await archive.position(P0) == 14
    assert await archive.position(P1) is None


async def test_who_comes_second_goes_behind_the_winner(tmp_path: Path) -> None:
    """A zombie's shorter segment never replaces its successor's."""
    archive, zombie = Archive(LocalStore(tmp_path)), Archive(LocalStore(tmp_path))
    await archive.handle(a_batch(5, 6, 7))
    with pytest.raises(Elsewhere) as elsewhere:
        await zombie.handle(a_batch(5, 6))
    assert elsewhere.value.next_offset == 8
    (path,) = LocalStore(tmp_path).segments()
    assert LocalStore(tmp_path).summary(path).last_offset == 7


async def test_markers_are_passed_without_a_segment(tmp_path: Path) -> None:
    """Behind a segment in its summary; alone in memory, until somebody adds a segment."""
    archive, other = Archive(LocalStore(tmp_path)), Archive(LocalStore(tmp_path))
    await archive.handle(a_stored_batch(a_record(5), next_offset=9))
    assert await other.position(P0) == 9
    await archive.handle(replace(a_stored_batch(a_record(9), next_offset=12), records=()))
    assert (await archive.position(P0), await other.position(P0)) == (12, 9)
    await other.handle(a_stored_batch(a_record(10)))
    assert await archive.position(P0) == 11
    with pytest.raises(Elsewhere) as elsewhere:
        await archive.handle(replace(a_stored_batch(a_record(9), next_offset=12), records=()))
    assert elsewhere.value.next_offset == 11


async def test_the_last_segment_is_the_one_with_the_highest_offset(tmp_path: Path) -> None:
    """Also where a clock step gave it an earlier hour."""
    store = LocalStore(tmp_path)
    for offset, timestamp_ms in ((1, 1_700_010_000_000), (2, 1_700_000_000_000)):
        record = a_record(offset, timestamp_ms=timestamp_ms)
        store.create(segment.name(P0, record), segment.encode(a_stored_batch(record)))
    last = store.last(P0)
    assert last is not None
    assert last.last_offset == 2
    assert [segment.first_offset(path.name) for path in store.segments()] == [1, 2]


def test_a_segment_is_created_whole_or_not_at_all(tmp_path: Path) -> None:
    """What a killed writer leaves behind is no segment, and nothing is overwritten."""
    store = LocalStore(tmp_path)
    store.create("t/0/2023-11-14T22-00000000000000000001.jsonl.zst", b"first")
    with pytest.raises(Exists):
        store.create("t/0/2023-11-14T22-00000000000000000001.jsonl.zst", b"second")
    (tmp_path / "t/0/.2023-11-14T22-00000000000000000002.jsonl.zst.abcd").write_bytes(b"half")
    (path,) = store.segments()
    assert path.read_bytes() == b"first"
    assert sorted(p.name for p in path.parent.iterdir()) == [
        ".2023-11-14T22-00000000000000000002.jsonl.zst.abcd",
        "2023-11-14T22-00000000000000000001.jsonl.zst",
    ]


async def test_a_directory_that_cannot_be_written_is_an_outage(tmp_path: Path) -> None:
    """Records wait; none is set aside."""
    (tmp_path / "archive").write_text("a file where the directory should be")
    archive = Archive(LocalStore(tmp_path / "archive"))
    with pytest.raises(Unavailable):
        await archive.handle(a_batch(1))
