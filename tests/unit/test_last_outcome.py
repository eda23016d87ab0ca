"""An abort is noted in the spool's file until it is settled; tested without Kafka."""

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

    monkeypatch.setattr(last_outcome, "last_transaction_outcome", answer)
    return answers


@asynccontextmanager
async def opened(directory: Path) -> AsyncIterator[tuple[Spool, LastOutcome]]:
    """Yield the spool of `directory`, and the outcome of its last transaction for a forwarder."""
    spool = hold_any(directory, bytes_max=1 << 20)
    async_spool = AsyncSpool(spool, pending_rows_max=0, pending_bytes_max=0)
    try:
        yield spool, LastOutcome(async_spool, plaintext(""))
    finally:
        await async_spool.stop()
        async_spool.close()


def failing(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Let the disk fail for notes, until the returned function is called."""

    def fail(_: str) -> None:
        raise DiskFailed("injected by the test")

    note = spool.writer.note_abort
    monkeypatch.setattr(spool.writer, "note_abort", fail)
    return lambda: monkeypatch.setattr(spool.writer, "note_abort", note)


async def test_another_process_aborts_although_the_coordinator_has_forgotten(
    tmp_path: Path, coordinator: list[TransactionOutcome]
) -> None:
    """Until the next transaction begins; then the coordinator knows again."""
    for answers_left in (2, 1):
        async with opened(tmp_path) as (spool, outcome):
            await outcome.find(spool.origin)
            assert spool.writer.aborted_origin == spool.origin
        assert len(coordinator) == answers_left
    async with opened(tmp_path) as (spool, outcome):
        await outcome.find(spool.origin)
        outcome.begin_settling()
        assert outcome.must_abort
        outcome.settled()
        await outcome.forget_note()
        coordinator.append(TransactionOutcome.FORGOTTEN)
        await outcome.find(spool.origin)
        outcome.begin_settling()
        assert not outcome.must_abort
    async with opened(tmp_path) as (spool, _):
        assert spool.writer.aborted_origin == ""


async def test_an_abort_of_a_former_origin_is_not_one_of_the_new_origin(
    tmp_path: Path, coordinator: list[TransactionOutcome]
) -> None:
    """A spool that was restored from an older copy has a new transactional id."""
    async with opened(tmp_path) as (spool, outcome):
        await outcome.find(spool.origin)
        outcome.begin_settling()
        outcome.settled()
        spool.writer.start_new_origin()
        await outcome.find(spool.origin)
        outcome.begin_settling()
        assert not outcome.must_abort
        assert len(coordinator) == 1


async def test_a_disk_that_fails_does_not_stop_the_forwarder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It may not be dropped then, and it removes the note as soon as the disk works again."""
    async with opened(tmp_path) as (spool, outcome):
        repair = failing(spool, monkeypatch)
        await outcome.find(spool.origin)
        assert "how its last transaction ended cannot be written: injected" in caplog.text
        assert not outcome.can_be_dropped
        outcome.begin_settling()
        assert outcome.must_abort
        outcome.settled()
        repair()
        # The failed write may have left the note on the disk.
        spool.writer.note_abort(spool.origin)
        repair_again = failing(spool, monkeypatch)
        await outcome.forget_note()
        assert spool.writer.aborted_origin == spool.origin
        repair_again()
        await outcome.forget_note()
        assert spool.writer.aborted_origin == ""


@pytest.mark.parametrize("dies", [False, True], ids=["goes on", "dies"])
async def test_a_note_that_the_disk_has_kept_does_not_undo_a_commit(
    tmp_path: Path,
    coordinator: list[TransactionOutcome],
    monkeypatch: pytest.MonkeyPatch,
    *,
    dies: bool,
) -> None:
    """The rows of the commit have left the spool, so an abort would lose them."""
    async with opened(tmp_path) as (spool, outcome):
        await outcome.find(spool.origin)
        outcome.begin_settling()
        assert outcome.must_abort
        outcome.settled()
        failing(spool, monkeypatch)
        await outcome.forget_note()
        assert spool.writer.aborted_origin == spool.origin
        coordinator.append(TransactionOutcome.COMMITTED)
        if not dies:
            await outcome.find(spool.origin)
            outcome.begin_settling()
            assert not outcome.must_abort
    if dies:
        async with opened(tmp_path) as (spool, outcome):
            await outcome.find(spool.origin)
            outcome.begin_settling()
            assert not outcome.must_abort
            await outcome.forget_note()
            assert spool.writer.aborted_origin == ""
