"""An abort is noted in the spool's file until it is settled; tested without Kafka."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support.kafka.access import plaintext

from ingress.forward import last_outcome
from ingress.forward.last_outcome import LastOutcome
from ingress.spool.async_spool import AsyncSpool
from ingress.spool.directory import hold_any
from ingress.spool.disk import DiskFailed
from ingress.spool.spool import Spool
from schemas.transaction_state import TransactionOutcome

pytestmark = pytest.mark.usefixtures("coordinator")


@pytest.fixture
def coordinator(monkeypatch: pytest.MonkeyPatch) -> list[TransactionOutcome]:
    """Return the answers of the coordinator, which are taken from the end."""
    answers = [
        TransactionOutcome.FORGOTTEN,
        TransactionOutcome.FORGOTTEN,
        TransactionOutcome.ABORTED,
    ]

    async def answer(*_: Any) -> TransactionOutcome:
        return answers.pop()

    monkeypatch.setattr(last_outcome, "end_last_transaction", answer)
    return answers


@asynccontextmanager
async def opened(
    directory: Path, report_fault: Callable[[DiskFailed], None] = lambda _: None
) -> AsyncIterator[tuple[Spool, LastOutcome]]:
    """Yield the spool of `directory`, and the outcome of its last transaction for a forwarder."""
    spool = hold_any(directory, bytes_max=1 << 20)
    async_spool = AsyncSpool(spool, pending_rows_max=0, pending_bytes_max=0)
    try:
        yield spool, LastOutcome(async_spool, plaintext(""), report_fault)
    finally:
        await async_spool.stop()
        async_spool.close()


def failing(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the disk fail for notes, until `monkeypatch` is undone."""

    def fail(_: str) -> None:
        raise DiskFailed("injected by the test")

    monkeypatch.setattr(spool.writer, "store_aborted_origin", fail)


async def test_another_process_aborts_although_the_coordinator_has_forgotten(
    tmp_path: Path, coordinator: list[TransactionOutcome]
) -> None:
    """Until the abort is settled."""
    for answers_left in (2, 1):
        async with opened(tmp_path) as (spool, outcome):
            await outcome.end_and_note(spool.origin)
            assert spool.writer.aborted_origin == spool.origin
        assert len(coordinator) == answers_left
    async with opened(tmp_path) as (spool, outcome):
        await outcome.end_and_note(spool.origin)
        outcome.begin_settling()
        assert outcome.must_abort
        await outcome.end_settling()
        coordinator.append(TransactionOutcome.FORGOTTEN)
        await outcome.end_and_note(spool.origin)
        outcome.begin_settling()
        assert not outcome.must_abort
    async with opened(tmp_path) as (spool, _):
        assert spool.writer.aborted_origin == ""


async def test_an_abort_of_a_former_origin_is_not_one_of_the_new_origin(
    tmp_path: Path, coordinator: list[TransactionOutcome]
) -> None:
    """A spool that was restored from an older copy has a new transactional id."""
    async with opened(tmp_path) as (spool, outcome):
        await outcome.end_and_note(spool.origin)
        spool.writer.start_new_origin()
    async with opened(tmp_path) as (spool, outcome):
        await outcome.end_and_note(spool.origin)
        outcome.begin_settling()
        assert not outcome.must_abort
        assert len(coordinator) == 1


async def test_no_producer_starts_while_the_disk_does_not_take_the_note(
    tmp_path: Path, coordinator: list[TransactionOutcome]
) -> None:
    """Its start would erase the only other record of the abort. The coordinator is asked once."""
    async with opened(tmp_path) as (spool, outcome):
        with pytest.MonkeyPatch.context() as broken_disk:
            failing(spool, broken_disk)
            for _ in range(2):
                with pytest.raises(DiskFailed, match=r"cannot be written to the spool: injected"):
                    await outcome.end_and_note(spool.origin)
        # The coordinator still knows.
        assert outcome.is_replaceable
        await outcome.end_and_note(spool.origin)
        assert spool.writer.aborted_origin == spool.origin
        outcome.begin_settling()
        assert outcome.must_abort
        # The note is on the disk.
        assert outcome.is_replaceable
        assert len(coordinator) == 2


async def test_no_transaction_begins_before_the_note_is_removed(
    tmp_path: Path, coordinator: list[TransactionOutcome]
) -> None:
    """A later commit would count as an abort, once a producer's start has erased it."""
    async with opened(tmp_path) as (spool, outcome):
        await outcome.end_and_note(spool.origin)
        outcome.begin_settling()
        with pytest.MonkeyPatch.context() as broken_disk:
            failing(spool, broken_disk)
            with pytest.raises(DiskFailed):
                await outcome.end_settling()
        # The next producer settles again, in the same way.
        await outcome.end_and_note(spool.origin)
        outcome.begin_settling()
        assert outcome.must_abort
        await outcome.end_settling()
        assert spool.writer.aborted_origin == ""
        assert len(coordinator) == 2


class SlowDisk:
    """Writes of the note, each of which waits until the test lets it end."""

    def __init__(self, spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
        self.written: list[str] = []
        self.may_end = threading.Semaphore(0)
        store_aborted_origin = spool.writer.store_aborted_origin

        def slow(origin: str) -> None:
            self.may_end.acquire()
            self.written.append(origin)
            store_aborted_origin(origin)

        monkeypatch.setattr(spool.writer, "store_aborted_origin", slow)


async def test_a_slow_disk_is_reported_and_its_write_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, coordinator: list[TransactionOutcome]
) -> None:
    """One round is enough: a note that is written late is not written, or removed, again."""
    monkeypatch.setattr(last_outcome, "NOTE_REPORTED_AFTER_S", 0.0)
    faults: asyncio.Queue[DiskFailed] = asyncio.Queue()
    async with opened(tmp_path, faults.put_nowait) as (spool, outcome), asyncio.timeout(180):
        disk = SlowDisk(spool, monkeypatch)
        for step in (outcome.end_and_note(spool.origin), outcome.end_settling()):
            waiting = asyncio.create_task(step)
            assert "to the spool: the disk takes longer than 0 s" in str(await faults.get())
            assert (waiting.done(), outcome.must_abort) == (False, True)
            disk.may_end.release()
            await waiting
        assert (disk.written, outcome.must_abort) == ([spool.origin, ""], False)
        assert (spool.writer.aborted_origin, len(coordinator), faults.qsize()) == ("", 2, 0)


async def test_a_process_that_ends_does_not_wait_for_a_slow_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The write that runs is that of an abort which the coordinator still knows."""
    async with opened(tmp_path) as (spool, outcome):
        disk = SlowDisk(spool, monkeypatch)
        waiting = asyncio.create_task(outcome.end_and_note(spool.origin))
        await asyncio.sleep(0)
        waiting.cancel()
        async with asyncio.timeout(180):
            await asyncio.wait((waiting,))
        assert (waiting.cancelled(), disk.written) == (True, [])
        disk.may_end.release()


@pytest.mark.parametrize("dies", [False, True], ids=["goes on", "dies"])
async def test_a_note_that_is_older_than_a_commit_does_not_undo_it(
    tmp_path: Path, coordinator: list[TransactionOutcome], *, dies: bool
) -> None:
    """
    The rows of the commit have left the spool, so an abort would lose them.

    A spool that was restored from an older copy may have such a note.
    """
    async with opened(tmp_path) as (spool, outcome):
        spool.writer.store_aborted_origin(spool.origin)
        coordinator.append(TransactionOutcome.COMMITTED)
        await outcome.end_and_note(spool.origin)
        assert spool.writer.aborted_origin == ""
        if not dies:
            outcome.begin_settling()
            assert not outcome.must_abort
    if dies:
        coordinator.append(TransactionOutcome.FORGOTTEN)
        async with opened(tmp_path) as (spool, outcome):
            await outcome.end_and_note(spool.origin)
            outcome.begin_settling()
            assert not outcome.must_abort
