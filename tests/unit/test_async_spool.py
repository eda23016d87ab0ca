"""Group commit: success only after fsync, many callbacks in one commit, bounded memory."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from support.builders import a_body, a_wire_record, store

from ingress.spool import group_commit, spool_file, write_transaction
from ingress.spool import spool as spool_module
from ingress.spool import writer as writer_module
from ingress.spool.async_spool import AsyncSpool
from ingress.spool.block import BLOCK_ROWS_MAX
from ingress.spool.directory import hold_any
from ingress.spool.disk import DiskFailed, LimitReached, ReopenRequired
from ingress.spool.spool import Spool

# That of the ingress; while tests run, spools wait for longer (tests/conftest.py).
DISK_TIMEOUT_S = group_commit.DISK_TIMEOUT_S


def an_async_spool(spool: Spool, *, rows_max: int = 1000, bytes_max: int = 1 << 20) -> AsyncSpool:
    """Return an AsyncSpool over `spool`."""
    return AsyncSpool(spool, pending_rows_max=rows_max, pending_bytes_max=bytes_max)


def hold_commits(spool: Spool) -> threading.Event:
    """Have the commits of `spool` wait until the event that is returned is set."""
    commit, may_commit = spool.writer.commit, threading.Event()

    def waits(contents: Sequence[bytes], forwarded_sequence: int, *, probe: bool = False) -> None:
        may_commit.wait()
        commit(contents, forwarded_sequence, probe=probe)

    spool.writer.commit = waits  # type: ignore[method-assign]
    return may_commit


@pytest.fixture(autouse=True)
def _short_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    """Try a disk that failed again after a moment, not after a second."""
    monkeypatch.setattr(group_commit, "DISK_PROBE_INTERVAL_S", 0.1)


async def test_many_callbacks_share_a_commit(tmp_path: Path) -> None:
    """Callbacks that arrive while a commit runs go to disk in the next one."""
    spool = hold_any(tmp_path, bytes_max=1 << 20)
    groups: list[int] = []
    commit = spool.writer.commit

    def counted(contents: Sequence[bytes], forwarded_sequence: int, *, probe: bool = False) -> None:
        groups.append(len(contents))
        commit(contents, forwarded_sequence, probe=probe)

    spool.writer.commit = counted  # type: ignore[method-assign]
    async_spool = an_async_spool(spool)
    await asyncio.gather(*(store(async_spool, a_wire_record(n), n) for n in range(100)))
    assert spool.last_sequence == 100
    assert sum(groups) == 100
    assert len(groups) < 10
    await async_spool.stop()
    async_spool.close()


async def test_at_a_bound_the_next_callback_is_refused_at_once(tmp_path: Path) -> None:
    """The rows and bytes that wait are bounded; callbacks that already wait are stored."""
    spool = hold_any(tmp_path, bytes_max=1 << 20)
    async_spool = an_async_spool(spool, rows_max=2)
    waiting = [asyncio.create_task(store(async_spool, a_wire_record(n), n)) for n in range(3)]
    await asyncio.sleep(0)  # all three have called put()
    with pytest.raises(LimitReached, match="2 callbacks wait"):
        await store(async_spool, a_wire_record(4), 4)
    came = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(each) for each in came] == [type(None), type(None), LimitReached]
    assert spool.last_sequence == 2
    await async_spool.stop()

    small = an_async_spool(spool, bytes_max=10)
    with pytest.raises(LimitReached, match="bytes wait"):
        await store(small, a_wire_record(5), 5)
    await small.stop()
    small.close()


async def test_every_callback_of_a_failed_commit_gets_the_failure(tmp_path: Path) -> None:
    """Also if the failure is a bug; the next commit is tried again."""
    spool = hold_any(tmp_path, bytes_max=1 << 20)
    commit = spool.writer.commit

    def fails(contents: Sequence[bytes], forwarded_sequence: int, *, probe: bool = False) -> None:
        raise RuntimeError(
            f"boom with {len(contents)} rows, {forwarded_sequence} forwarded, {probe}"
        )

    spool.writer.commit = fails  # type: ignore[method-assign]
    async_spool = an_async_spool(spool)
    with pytest.raises(DiskFailed, match="boom"):
        await store(async_spool, a_wire_record(1), 1)
    assert async_spool.fault
    spool.writer.commit = commit  # type: ignore[method-assign]
    await store(async_spool, a_wire_record(1), 1)
    assert (async_spool.fault, spool.last_sequence) == ("", 1)
    await async_spool.stop()
    async_spool.close()


async def test_forwarded_rows_are_removed(tmp_path: Path) -> None:
    """Also more rows than one commit removes, and without new callbacks."""
    spool = hold_any(tmp_path, bytes_max=4 << 20)
    async_spool = an_async_spool(spool, rows_max=5000, bytes_max=4 << 20)
    await asyncio.gather(*(store(async_spool, a_wire_record(n), n) for n in range(1500)))
    async_spool.remove_forwarded_soon(1400)
    async with asyncio.timeout(180):
        while spool.state.has_removable_block(1400):  # noqa: ASYNC110 - the writer is a thread
            await asyncio.sleep(0.001)
    await async_spool.stop()
    # A block goes when all of its rows may.
    assert 1400 - BLOCK_ROWS_MAX < spool.state.first_sequence <= 1401
    assert spool.row_count == 1501 - spool.state.first_sequence
    spool.close()


async def test_a_stop_does_not_wait_until_all_forwarded_rows_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To remove many blocks takes longer than a disk may hang; the next holder removes them."""
    monkeypatch.setattr(write_transaction, "REMOVED_BLOCKS_MAX", 2)
    spool = hold_any(tmp_path, bytes_max=1 << 20)
    async_spool = an_async_spool(spool)
    for number in range(10):  # each is a block of its own
        await store(async_spool, a_wire_record(number), number)
    async_spool.remove_forwarded_soon(10)
    assert await async_spool.stop()
    assert spool.row_count == 8
    async_spool.close()

    spool = hold_any(tmp_path, bytes_max=1 << 20)
    async_spool = an_async_spool(spool)
    assert (spool.row_count, spool.last_sequence) == (8, 10)
    async_spool.remove_forwarded_soon(10)
    async with asyncio.timeout(180):
        while spool.row_count:  # noqa: ASYNC110 - the writer is a thread
            await asyncio.sleep(0.001)
    await async_spool.stop()
    async_spool.close()


async def test_after_a_failure_the_disk_is_tried_again_without_callbacks(tmp_path: Path) -> None:
    """An unready ingress gets no callbacks from its balancer, so it has to probe by itself."""
    spool = hold_any(tmp_path, bytes_max=1 << 20)
    commit, probes = spool.writer.commit, []

    def works(contents: Sequence[bytes], forwarded_sequence: int, *, probe: bool = False) -> None:
        probes.append(probe)
        if len(probes) < 2:
            raise DiskFailed("injected by the test")
        commit(contents, forwarded_sequence, probe=probe)

    spool.writer.commit = works  # type: ignore[method-assign]
    async_spool = an_async_spool(spool)
    with pytest.raises(DiskFailed):
        await store(async_spool, a_wire_record(1), 1)
    async with asyncio.timeout(180):
        while async_spool.fault:  # noqa: ASYNC110 - a string has no event
            await asyncio.sleep(0.01)
    assert probes == [False, True]
    await async_spool.stop()
    async_spool.close()


async def store_until_it_works(async_spool: AsyncSpool) -> None:
    """Return when a callback could be stored."""
    async with asyncio.timeout(180):
        while True:
            with contextlib.suppress(DiskFailed):
                await store(async_spool, a_wire_record(3), 3)
                return
            await asyncio.sleep(0.01)


async def test_a_spool_that_was_full_stays_so_although_nobody_asked_meanwhile(
    tmp_path: Path,
) -> None:
    """Each commit notes it, so it does not depend on who asks whether the process is ready."""
    bytes_max = 4 << 20
    async_spool = an_async_spool(hold_any(tmp_path, bytes_max=bytes_max))
    record = a_wire_record(1, a_body(Text="x" * 20_000))

    async def fill() -> None:
        while True:
            await store(async_spool, record, 1)

    assert not async_spool.was_full
    with pytest.raises(LimitReached, match="the spool holds"):
        await fill()
    while async_spool.fault:  # noqa: ASYNC110 - until a probe succeeds
        await asyncio.sleep(0.01)
    assert async_spool.was_full
    async_spool.remove_forwarded_soon(async_spool.state.last_sequence)
    while async_spool.state.used_bytes > bytes_max // 2:  # noqa: ASYNC110 - until rows are removed
        await asyncio.sleep(0.01)
    assert not async_spool.was_full
    await async_spool.stop()
    async_spool.close()


async def test_a_disk_that_hangs_is_answered_before_the_sender_gives_up(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sender waits 2 s; it would not see a later OK."""
    assert DISK_TIMEOUT_S < 2
    monkeypatch.setattr(group_commit, "DISK_TIMEOUT_S", 0.3)
    spool = hold_any(tmp_path, bytes_max=1 << 20)
    may_commit = hold_commits(spool)
    async_spool = an_async_spool(spool)
    results: list[object] = []
    async with asyncio.timeout(180):
        committing = asyncio.create_task(store(async_spool, a_wire_record(1), 1))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        waiting = asyncio.create_task(store(async_spool, a_wire_record(2), 2))
        with pytest.raises(DiskFailed, match="takes longer"):
            await committing
        with pytest.raises(DiskFailed, match="takes longer"):
            await waiting
    with pytest.raises(DiskFailed, match="takes longer"):
        async_spool.put(a_wire_record(3), 3, results.append)
    # Else a slow machine would store one more that it calls failed.
    monkeypatch.setattr(group_commit, "DISK_TIMEOUT_S", 180)
    may_commit.set()
    await store_until_it_works(async_spool)
    await async_spool.stop()
    # The first callback was stored all the same, which 503 allows; the second was not.
    assert spool.last_sequence == 2
    assert results == []
    assert "could not be answered" not in caplog.text  # no callback had two results
    spool.close()


async def test_failures_in_a_row_leave_one_probe(tmp_path: Path) -> None:
    """Otherwise a full disk under traffic would have more and more probes."""
    spool = hold_any(tmp_path, bytes_max=1 << 20)
    tried: list[int] = []

    def fails(contents: Sequence[bytes], forwarded_sequence: int, *, probe: bool = False) -> None:
        tried.append(len(contents))
        del forwarded_sequence, probe
        raise ValueError  # without a text, it is a fault all the same

    spool.writer.commit = fails  # type: ignore[method-assign]
    async_spool = an_async_spool(spool)
    clock = asyncio.get_running_loop().time
    began_at = clock()
    for number in range(5):
        with pytest.raises(DiskFailed):
            await store(async_spool, a_wire_record(number), number)
        # Probes that are due at the same moment would be one commit.
        await asyncio.sleep(0.15 * group_commit.DISK_PROBE_INTERVAL_S)
    assert async_spool.fault
    while tried.count(0) == 0:  # noqa: ASYNC110 - the thread that writes has no event
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.5 * group_commit.DISK_PROBE_INTERVAL_S)
    # Each failed probe is followed by the next one after the interval.
    assert tried.count(0) <= (clock() - began_at) // group_commit.DISK_PROBE_INTERVAL_S
    await async_spool.stop()
    async_spool.close()


@pytest.mark.parametrize("is_idle", [True, False])
async def test_a_file_that_could_not_be_reopened_once_is_open_again_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, is_idle: bool
) -> None:
    """Without callbacks, too, because nothing is forwarded meanwhile; and no callback fails."""
    monkeypatch.setattr(group_commit, "DISK_PROBE_INTERVAL_S", 0.01 if is_idle else 600)
    spool = hold_any(tmp_path, bytes_max=1 << 20)
    async_spool = an_async_spool(spool)
    open_file, failures = spool_file.open_file, [DiskFailed("too many open files")]

    def fails_once(path: Path, bytes_max: int) -> spool_file.SpoolFile:
        if failures:
            raise failures.pop()
        return open_file(path, bytes_max)

    monkeypatch.setattr(spool_module, "open_file", fails_once)
    monkeypatch.setattr(spool_module, "MAPPED_BYTES_MAX", -1)
    await store(async_spool, a_wire_record(1), 1)
    assert spool.is_closed
    while is_idle and spool.is_closed:  # noqa: ASYNC110 - the spool has no event for it
        await asyncio.sleep(0.01)
    await store(async_spool, a_wire_record(2), 2)
    assert not failures
    assert [row.received_at_ms for row in spool.rows_after(0, rows_max=9, bytes_max=1 << 20)] == [
        1,
        2,
    ]
    await async_spool.stop()
    async_spool.close()


async def test_after_a_panic_the_file_is_reopened(tmp_path: Path) -> None:
    """The stored rows are there, and new rows get the next numbers."""
    spool = hold_any(tmp_path, bytes_max=1 << 20)
    async_spool = an_async_spool(spool)
    await store(async_spool, a_wire_record(1), 1)
    commit, reopen = spool.writer.commit, spool.reopen
    reopened: list[bool] = []

    def panics(contents: Sequence[bytes], forwarded_sequence: int, *, probe: bool = False) -> None:
        if not reopened:
            raise ReopenRequired("injected by the test")
        commit(contents, forwarded_sequence, probe=probe)

    def fails_once() -> None:
        reopened.append(True)
        reopen()

    spool.writer.commit, spool.reopen = panics, fails_once  # type: ignore[method-assign]
    with pytest.raises(DiskFailed, match="injected by the test"):
        await store(async_spool, a_wire_record(2), 2)
    await store(async_spool, a_wire_record(3), 3)
    assert [row.received_at_ms for row in spool.rows_after(0, rows_max=9, bytes_max=1 << 20)] == [
        1,
        3,
    ]
    assert len(reopened) == 1
    await async_spool.stop()
    async_spool.close()


async def test_while_the_file_cannot_be_reopened_every_commit_fails(tmp_path: Path) -> None:
    """Nothing crashes meanwhile, and reopening is tried every second."""
    spool = hold_any(tmp_path, bytes_max=1 << 20)
    async_spool = an_async_spool(spool)
    path = tmp_path / f"{spool.name}.lmdb"
    away = path.rename(tmp_path / "away")
    path.mkdir()
    with pytest.raises(DiskFailed):
        spool.reopen()
    with pytest.raises(DiskFailed, match="Is a directory"):
        await store(async_spool, a_wire_record(1), 1)
    path.rmdir()
    away.rename(path)
    async with asyncio.timeout(180):
        while async_spool.fault:  # noqa: ASYNC110 - a string has no event
            await asyncio.sleep(0.01)
    await store(async_spool, a_wire_record(1), 1)
    assert spool.last_sequence == 1
    await async_spool.stop()
    async_spool.close()


async def test_reopening_the_file_releases_mapped_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reads return the same rows."""
    monkeypatch.setattr(spool_module, "MAPPED_BYTES_MAX", 5000)
    spool = hold_any(tmp_path, bytes_max=1 << 20)
    opened: list[bool] = []
    reopen = spool.reopen

    def counted() -> None:
        opened.append(True)
        reopen()

    spool.reopen = counted  # type: ignore[method-assign]
    async_spool = an_async_spool(spool)
    for number in range(1, 61):
        await store(async_spool, a_wire_record(number), number)
    rows = spool.rows_after(0, rows_max=100, bytes_max=1 << 20)
    assert [row.received_at_ms for row in rows] == list(range(1, 61))
    assert 3 < len(opened) < 30
    await async_spool.stop()
    async_spool.close()


async def test_an_exception_in_one_answer_does_not_affect_the_others(tmp_path: Path) -> None:
    """All other callbacks of the commit are answered."""
    spool = hold_any(tmp_path, bytes_max=1 << 20)
    async_spool = an_async_spool(spool)

    def fails(_: object) -> None:
        raise RuntimeError("injected by the test")

    async_spool.put(a_wire_record(1), 1, fails)
    async_spool.put(a_wire_record(2), 2, fails)
    await store(async_spool, a_wire_record(3), 3)
    assert spool.last_sequence == 3
    await async_spool.stop()
    async_spool.close()


async def test_a_file_that_is_corrupt_when_reopened_ends_the_process(
    tmp_path: Path,
) -> None:
    """The next start renames the file, instead of answers 503 for ever."""
    spool = hold_any(tmp_path, bytes_max=1 << 20)
    async_spool = an_async_spool(spool)
    await store(async_spool, a_wire_record(1), 1)
    path = tmp_path / f"{spool.name}.lmdb"
    path.write_bytes(b"x" * path.stat().st_size)

    def fails(*_: object, **__: object) -> None:
        raise ReopenRequired("injected by the test")

    spool.writer.commit = fails  # type: ignore[method-assign]
    with pytest.raises(DiskFailed):
        await store(async_spool, a_wire_record(2), 2)
    assert async_spool.corruption.done()
    await async_spool.stop()
    async_spool.close()


async def test_a_wait_for_rows_ends_with_the_next_commit_of_callbacks(tmp_path: Path) -> None:
    """Also if the rows were stored before the wait began; a removal of rows does not end it."""
    async_spool = an_async_spool(hold_any(tmp_path, bytes_max=1 << 20))
    empty = async_spool.state
    waiting = asyncio.create_task(async_spool.wait_for_rows(empty))
    await asyncio.sleep(0)
    await store(async_spool, a_wire_record(1), 1)
    async with asyncio.timeout(180):
        await waiting
        await async_spool.wait_for_rows(empty)
    seen = async_spool.state
    waiting = asyncio.create_task(async_spool.wait_for_rows(seen))
    async_spool.remove_forwarded_soon(1)
    async with asyncio.timeout(180):
        while async_spool.state.row_count:  # noqa: ASYNC110 - a number has no event
            await asyncio.sleep(0.001)
    assert not waiting.done()
    await store(async_spool, a_wire_record(2), 2)
    async with asyncio.timeout(180):
        await waiting
    await async_spool.stop()
    async_spool.close()


async def test_a_wait_for_rows_ends_when_the_rows_of_a_failed_commit_are_found_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The probe after an uncertain commit finds its rows, and has no callbacks itself."""
    async_spool = an_async_spool(hold_any(tmp_path, bytes_max=1 << 20))
    waiting = asyncio.create_task(async_spool.wait_for_rows(async_spool.state))
    await asyncio.sleep(0)

    @contextlib.contextmanager
    def fails_after_the_commit() -> Iterator[None]:
        yield
        raise DiskFailed("injected by the test")

    with monkeypatch.context() as patched:
        patched.setattr(writer_module, "disk_faults", fails_after_the_commit)
        with pytest.raises(DiskFailed, match="injected by the test"):
            await store(async_spool, a_wire_record(1), 1)
    async with asyncio.timeout(180):
        while async_spool.fault:  # noqa: ASYNC110 - until a probe succeeds
            await asyncio.sleep(0.01)
    assert async_spool.state.last_number == 1
    async with asyncio.timeout(2):
        await waiting
    await async_spool.stop()
    async_spool.close()


async def test_a_second_write_while_one_waits_is_an_error_and_the_first_is_applied(
    tmp_path: Path,
) -> None:
    """If it replaced the first one, the caller of the first would wait for ever."""
    spool = hold_any(tmp_path, bytes_max=1 << 20)
    async_spool = an_async_spool(spool)
    await asyncio.gather(*(store(async_spool, a_wire_record(n), n) for n in range(1, 4)))
    first = asyncio.create_task(async_spool.quarantine(1))
    await asyncio.sleep(0)
    with pytest.raises(AssertionError, match="another write waits"):
        await async_spool.quarantine(2)
    async with asyncio.timeout(180):
        await first
    assert async_spool.state.quarantined_sequences == [1]
    await async_spool.quarantine(3)
    cancelled = asyncio.create_task(async_spool.quarantine(2))
    await asyncio.sleep(0)
    cancelled.cancel()
    await asyncio.sleep(0)
    await async_spool.start_new_origin()
    assert async_spool.state.origin != spool.name
    await async_spool.stop()
    async_spool.close()


async def test_a_write_between_commits_does_not_wait_for_the_commit_after_it(
    tmp_path: Path,
) -> None:
    """On a slow disk the write would take twice as long while callbacks come."""
    spool = hold_any(tmp_path, bytes_max=1 << 20)
    may_commit = hold_commits(spool)
    async_spool = an_async_spool(spool)
    storing = asyncio.create_task(store(async_spool, a_wire_record(1), 1))
    async with asyncio.timeout(180):
        await async_spool.store_aborted_origin(spool.origin)
    assert (async_spool.aborted_origin, storing.done()) == (spool.origin, False)
    may_commit.set()
    await storing
    await async_spool.stop()
    async_spool.close()
