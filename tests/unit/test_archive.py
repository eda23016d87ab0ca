"""The archive's chain on a local disk: no overlap, no gap, no rewrite."""

import asyncio
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from builders import P0, P1, a_batch, a_record, a_stored_batch

from consumers.archive import chain, segment
from consumers.archive.consumer import Archive
from consumers.archive.store import Exists, NoStore, Store, open_store
from consumers.runtime.batch import Partition, Position
from consumers.runtime.handler import Elsewhere, Stopped, Unavailable

A_NAME = "t/0/2023-11-14T22-00000000000000000001.jsonl.zst"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """A store in a directory that is made."""
    return open_store(str(tmp_path / "archive"), make=True)


async def test_the_chain_goes_on_behind_its_last_segment(store: Store) -> None:
    """The position is what is on disk, per partition."""
    archive = Archive(store)
    assert await archive.position(P0) is None
    await archive.begin(P0, 5)
    assert await archive.position(P0) == Position(5)
    await archive.handle(a_batch(5, 6, 9))
    await archive.handle(a_stored_batch(a_record(12), a_record(13), begins_at=10))
    assert await archive.position(P0) == Position(14, (13, "o" * 16, 13))
    assert await archive.position(P1) is None


async def test_a_chain_begins_once(store: Store) -> None:
    """Wherever the topic begins by then: a slow member must not begin another one."""
    await Archive(store).begin(P0, 5)
    await Archive(store).begin(P0, 8)
    assert await Archive(store).position(P0) == Position(5)


async def test_who_comes_second_goes_behind_the_winner(store: Store) -> None:
    """A zombie's shorter segment never replaces its successor's."""
    await Archive(store).begin(P0, 5)
    await Archive(store).handle(a_batch(5, 6, 7))
    with pytest.raises(Elsewhere) as elsewhere:
        await Archive(store).handle(a_batch(5, 6))
    assert elsewhere.value.next_offset == 8
    (_, name) = await store.names(P0)
    assert (await store.summary(name)).last_offset == 7


async def test_between_look_and_create_the_name_decides(store: Store) -> None:
    """A zombie that wakes up there is refused by the store itself."""
    await Archive(store).begin(P0, 5)
    late = segment.assemble(a_batch(5, 6))
    await Archive(store).handle(a_batch(5, 6, 7))
    with pytest.raises(Exists):
        await store.create(*late)


async def test_a_store_that_is_put_back_under_a_busy_writer_is_followed(store: Store) -> None:
    """Not written on with a gap, which only `verify` would find later."""
    archive = Archive(store)
    await archive.begin(P0, 5)
    await archive.handle(a_batch(5, 6))
    await archive.handle(a_batch(7, 8))
    for name in (await store.names(P0))[2:]:
        await store.delete(name)
    with pytest.raises(Elsewhere) as elsewhere:
        await archive.handle(a_batch(9))
    assert elsewhere.value.next_offset == 7
    await archive.handle(a_batch(7, 8))
    for name in await store.names(P0):
        await store.delete(name)
    with pytest.raises(Elsewhere) as elsewhere:
        await archive.handle(a_batch(9))
    assert elsewhere.value.next_offset is None


async def test_segments_of_an_hour_to_come_do_not_hide_the_chain_s_end(store: Store) -> None:
    """The broker's clock was days ahead; by now its hour is the only one that is listed."""
    archive, hour_ms = Archive(store), 3_600_000
    now_ms = int(time.time() * 1000)
    ahead = a_record(5, timestamp_ms=now_ms - hour_ms)
    await archive.begin(P0, 5)
    await archive.handle(a_stored_batch(ahead))
    old = a_record(6, timestamp_ms=now_ms - 100 * hour_ms)
    await archive.handle(a_stored_batch(old))
    assert await archive.position(P0) == Position(7, (6, "o" * 16, 6))
    # Who has not seen it finds it by its first write.
    other = Archive(store)
    assert await other.position(P0) == Position(6, (5, "o" * 16, 5))
    with pytest.raises(Elsewhere) as elsewhere:
        await other.handle(a_stored_batch(old))
    assert elsewhere.value.next_offset == 7
    assert await other.position(P0) == Position(7, (6, "o" * 16, 6))


async def test_a_long_chain_is_not_listed_whole_to_find_its_end(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A year's names take longer to be listed than the runtime waits."""
    archive, hour_ms = Archive(store), 3_600_000
    now_ms = int(time.time() * 1000)
    listed: list[str] = []
    names = store.names

    async def noted(partition: Partition, *, after: str = "") -> list[str]:
        listed.append(after)
        return await names(partition, after=after)

    monkeypatch.setattr(store, "names", noted)
    await archive.begin(P0, 5)
    await archive.handle(a_stored_batch(a_record(5, timestamp_ms=now_ms - 400 * hour_ms)))
    # Catching up: from its own last segment on.
    listed.clear()
    await archive.handle(a_stored_batch(a_record(6, timestamp_ms=now_ms - 100 * hour_ms)))
    assert "" not in listed
    # After some days of a stop.
    listed.clear()
    assert await Archive(store).position(P0) == Position(7, (6, "o" * 16, 6))
    assert "" not in listed


async def test_markers_move_the_chain_on(store: Store) -> None:
    """Behind a segment in its summary; alone as a segment without records."""
    archive, other = Archive(store), Archive(store)
    await archive.begin(P0, 5)
    await archive.handle(a_stored_batch(a_record(5), next_offset=9))
    assert (await chain.last(store, P0)).next_offset == 9  # type: ignore[union-attr]
    markers = replace(a_stored_batch(a_record(9), next_offset=12), records=())
    await archive.handle(markers)
    assert await other.position(P0) == Position(12, (5, "o" * 16, 5))
    with pytest.raises(Elsewhere) as elsewhere:
        await other.handle(markers)
    assert elsewhere.value.next_offset == 12
    await other.handle(a_stored_batch(a_record(14), begins_at=12))
    assert await archive.position(P0) == Position(15, (14, "o" * 16, 14))


async def test_the_last_segment_is_the_one_with_the_highest_offset(store: Store) -> None:
    """Also where a clock step gave it an earlier hour."""
    for offset, timestamp_ms in ((1, 1_700_010_000_000), (2, 1_700_000_000_000)):
        record = a_record(offset, timestamp_ms=timestamp_ms)
        await store.create(*segment.assemble(a_stored_batch(record)))
    last = await chain.last(store, P0)
    assert last is not None
    assert last.last_offset == 2
    assert [segment.first_offset(name) for name in await store.names(P0)] == [1, 2]


@pytest.mark.parametrize("unnamed", [True, False])
async def test_a_segment_is_created_whole_or_not_at_all(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, unnamed: bool
) -> None:
    """Nothing is overwritten, and nothing else is left, also where every file has a name."""
    if not unnamed:
        monkeypatch.setattr("consumers.archive.store._UNNAMED", 0)
    await store.create(A_NAME, b"first")
    with pytest.raises(Exists):
        await store.create(A_NAME, b"second")
    assert await store.read(A_NAME) == b"first"
    assert [path.name for path in (tmp_path / "archive" / A_NAME).parent.iterdir()] == [
        Path(A_NAME).name
    ]


KILLED = """
import asyncio, os, sys
from consumers.archive import store

if sys.argv[3] == "scratch":
    store._UNNAMED = 0
os.link = lambda *_, **__: os.kill(os.getpid(), 9)
asyncio.run(store.open_store(sys.argv[1]).create(sys.argv[2], b"whole"))
"""


@pytest.mark.parametrize(("way", "left"), [("unnamed", 0), ("scratch", 1)])
async def test_what_a_killed_writer_leaves_is_no_segment(
    store: Store, tmp_path: Path, way: str, left: int
) -> None:
    """Right before its segment has a name; where files without one are possible it is nothing."""
    if way == "unnamed" and sys.platform != "linux":
        pytest.skip("only Linux has files without a name")
    archive = tmp_path / "archive"
    command = [sys.executable, "-c", KILLED, str(archive), A_NAME, way]
    killed = await asyncio.create_subprocess_exec(*command)
    assert await killed.wait() == -signal.SIGKILL
    assert len(list((archive / A_NAME).parent.iterdir())) == left
    assert await store.partitions() == [P0._replace(topic="t")]
    assert await store.names(P0._replace(topic="t")) == []
    await store.create(A_NAME, b"by its successor")
    assert await store.names(P0._replace(topic="t")) == [A_NAME]


async def test_a_damaged_last_segment_stops_the_consumer(store: Store) -> None:
    """Nobody knows where it ends."""
    await store.create(A_NAME.replace("t/0", str(P0)), b"not a segment")
    with pytest.raises(Stopped, match="cannot be read"):
        await Archive(store).position(P0)


async def test_a_directory_that_cannot_be_written_is_an_outage(
    store: Store, tmp_path: Path
) -> None:
    """Records wait; none is set aside."""
    (tmp_path / "archive" / P0.topic).write_text("a file where a directory should be")
    with pytest.raises(Unavailable):
        await Archive(store).handle(a_batch(1))


@pytest.mark.parametrize(
    ("url", "why"),
    [("ftp://host/x", "ftp"), ("/nowhere/at/all", "/nowhere/at/all"), ("az://a/b", "Account")],
)
def test_a_url_that_names_no_store_is_refused_with_the_reason(url: str, why: str) -> None:
    """Not with a traceback."""
    with pytest.raises(NoStore, match=why):
        open_store(url)
