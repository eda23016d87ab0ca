"""A running process drains the spools that no process holds."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.builders import a_wire_record
from support.kafka.access import plaintext

from ingress.forward import adopter as adopt
from ingress.forward.adopter import Adopter
from ingress.forward.forwarder import Forwarder
from ingress.spool import verification
from ingress.spool.async_spool import AsyncSpool
from ingress.spool.directory import corrupt_files, hold, hold_any, summaries
from ingress.spool.row import encode
from ingress.spool.spool import Spool
from ingress.spool.spool_lock import SpoolInUse, lock_kept_on_success
from ingress.spool.write_transaction import REMOVED_BLOCKS_MAX
from schemas.transaction_state import TransactionOutcome

BYTES_MAX = 1 << 20


class Carried(Forwarder):
    """A forwarder to a Kafka that accepts every row at once."""

    carried: list[tuple[str, int]]
    # The number of the next forwarders that end at once, which is a bug.
    ending = 0
    # The names of spools whose rows it does not accept.
    stuck: frozenset[str] = frozenset()
    outcome = TransactionOutcome.NOT_ASKED
    has_begun_settling = False

    async def run(self) -> None:
        """Remove every row."""
        self.fault.note_connected()
        if self._spool.name in Carried.stuck:
            self.fault.text = "the coordinator of this origin is away"
            self._last_outcome._outcome = Carried.outcome  # noqa: SLF001
            self._last_outcome._has_begun_settling = Carried.has_begun_settling  # noqa: SLF001
            await asyncio.Event().wait()
        if Carried.ending:
            Carried.ending -= 1
            raise asyncio.CancelledError
        rows = self._spool.rows_after(0, rows_max=1000, bytes_max=BYTES_MAX)
        self.carried += [(self._spool.state.origin, row.sequence) for row in rows]
        self._spool.remove_forwarded_soon(rows[-1].sequence)
        await asyncio.Event().wait()


@asynccontextmanager
async def adopting(
    directory: Path, mine: Spool, carried: list[tuple[str, int]], own_fault: str = ""
) -> AsyncIterator[Adopter]:
    """Run an adopter beside the spool `mine`, whose forwarder has the fault `own_fault`."""

    def make_forwarder(async_spool: AsyncSpool) -> Forwarder:
        made = Carried(async_spool, kafka=plaintext(""), body_bytes_max=1024)
        made.carried = carried
        return made

    own = AsyncSpool(mine, pending_rows_max=1, pending_bytes_max=1)
    own_forwarder = make_forwarder(own)
    own_forwarder.fault.text = own_fault
    adopter = Adopter(directory, own, own_forwarder, make_forwarder, bytes_max=BYTES_MAX)
    running = asyncio.create_task(adopter.run())
    try:
        yield adopter
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        await own.stop()


def left_behind(directory: Path, rows: int) -> str:
    """Leave a spool with `rows` rows that no process holds; return its name."""
    spool = hold_any(directory, bytes_max=BYTES_MAX)
    spool.writer.commit([encode(a_wire_record(n), n) for n in range(rows)], 0)
    spool.close()
    return spool.name


@pytest.fixture(autouse=True)
def _often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adopt, "SEARCH_INTERVAL_S", 0.05)


async def until(adopter: Adopter, name: str, rows: int | None) -> None:
    """Wait until the adopter reports `rows` rows in the spool `name`."""
    async with asyncio.timeout(180):
        while {s.name: s.rows for s in adopter.summaries()}.get(name, -1) != rows:  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def free(directory: Path, name: str) -> Spool:
    """Wait until no process holds the spool `name`; hold it and return it."""
    async with asyncio.timeout(180):
        while True:
            with contextlib.suppress(SpoolInUse):
                return hold(directory, name, bytes_max=BYTES_MAX)
            await asyncio.sleep(0.01)


async def test_the_spool_of_a_dead_process_is_drained_and_released(tmp_path: Path) -> None:
    """Its file keeps the last sequence, and a process that starts may hold the spool."""
    name = left_behind(tmp_path, 3)
    held = hold(tmp_path, name, bytes_max=BYTES_MAX)
    mine = hold_any(tmp_path, bytes_max=BYTES_MAX)
    carried: list[tuple[str, int]] = []
    async with adopting(tmp_path, mine, carried) as adopter:
        await asyncio.sleep(0.2)
        assert carried == []  # another process holds it
        held.close()
        await until(adopter, name, 0)
        assert carried == [(name, 1), (name, 2), (name, 3)]
        assert [s.last_sequence for s in adopter.summaries()] == [0, 3]
        again = await free(tmp_path, name)
        again.writer.commit([encode(a_wire_record(4), 4)], 0)
        again.close()
        async with asyncio.timeout(180):
            while len(carried) < 4:  # noqa: ASYNC110 - a list has no event
                await asyncio.sleep(0.01)
        await until(adopter, name, 0)
    assert carried[-1] == (name, 4)
    mine.close()


async def test_an_unreadable_directory_is_an_error_and_not_an_empty_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Otherwise other spools would seem not to exist; once it is readable, they are drained."""
    directory, place = tmp_path / "spools", tmp_path / "place"
    directory.mkdir()
    name = left_behind(directory, 1)
    held = hold(directory, name, bytes_max=BYTES_MAX)
    mine = hold_any(directory, bytes_max=BYTES_MAX)
    held.close()
    place.touch()
    carried: list[tuple[str, int]] = []
    async with adopting(place, mine, carried) as adopter:
        async with asyncio.timeout(180):
            while not caplog.messages:  # noqa: ASYNC110 - a list has no event
                await asyncio.sleep(0.01)
        with pytest.raises(NotADirectoryError):
            adopter.summaries()
        with pytest.raises(NotADirectoryError):
            list(summaries(place))
        place.unlink()
        place.symlink_to(directory)
        await until(adopter, name, 0)
    assert carried == [(name, 1)]
    mine.close()


async def test_a_drained_spool_is_not_opened_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So a process that starts can hold it at any time."""
    name = left_behind(tmp_path, 1)
    held = hold(tmp_path, name, bytes_max=BYTES_MAX)
    mine = hold_any(tmp_path, bytes_max=BYTES_MAX)
    held.close()
    async with adopting(tmp_path, mine, []) as adopter:
        await until(adopter, name, 0)
        (await free(tmp_path, name)).close()
        looked: list[str] = []

        def counted(directory: Path, wanted: str) -> Any:
            looked.append(wanted)
            return lock_kept_on_success(directory, wanted)

        monkeypatch.setattr(adopt, "lock_kept_on_success", counted)
        await asyncio.sleep(0.3)
        assert looked == []
        (tmp_path / f"{name}.lmdb").touch()
        async with asyncio.timeout(180):
            while not looked:  # noqa: ASYNC110 - a list has no event
                await asyncio.sleep(0.01)
    mine.close()


async def test_a_spool_of_as_many_blocks_as_one_commit_removes_is_drained(tmp_path: Path) -> None:
    """Its rows are counted again after the last removal; otherwise it would be held for ever."""
    spool = hold_any(tmp_path, bytes_max=BYTES_MAX)
    for number in range(REMOVED_BLOCKS_MAX):
        spool.writer.commit([encode(a_wire_record(number), number)], 0)
    spool.close()
    held = hold(tmp_path, spool.name, bytes_max=BYTES_MAX)
    mine = hold_any(tmp_path, bytes_max=BYTES_MAX)
    held.close()
    async with adopting(tmp_path, mine, []) as adopter:
        await until(adopter, spool.name, 0)
        (await free(tmp_path, spool.name)).close()
    mine.close()


async def test_rows_of_the_next_holder_are_never_reported_as_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next holder stores a callback at once: the former last sequence must not be shown."""
    name = left_behind(tmp_path, 3)
    held = hold(tmp_path, name, bytes_max=BYTES_MAX)
    mine = hold_any(tmp_path, bytes_max=BYTES_MAX)
    held.close()
    close = Spool.close
    next_holder: list[Spool] = []

    def close_and_let_another_in(spool: Spool) -> None:
        close(spool)
        if spool.name == name and not next_holder:
            next_holder.append(hold(tmp_path, name, bytes_max=BYTES_MAX))
            next_holder[0].writer.commit([encode(a_wire_record(4), 4)], 0)

    monkeypatch.setattr(Spool, "close", close_and_let_another_in)
    async with adopting(tmp_path, mine, []) as adopter:
        async with asyncio.timeout(180):
            while not next_holder:  # noqa: ASYNC110 - a list has no event
                await asyncio.sleep(0.01)
        for _ in range(20):
            assert [s.last_sequence for s in adopter.summaries() if s.name == name] == [None]
            await asyncio.sleep(0.01)
    next_holder[0].close()
    mine.close()


async def test_a_corrupt_file_is_renamed_and_other_spools_are_not_affected(
    tmp_path: Path,
) -> None:
    """The summary of the spool has a fault, so that an audit can name the spool."""
    mine = hold_any(tmp_path, bytes_max=BYTES_MAX)
    (tmp_path / f"{'0' * 16}.lmdb").write_bytes(b"garbage" * 1000)
    async with adopting(tmp_path, mine, []) as adopter:
        async with asyncio.timeout(180):
            while not any(summary.fault for summary in adopter.summaries()):  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    assert len(list(corrupt_files(tmp_path))) == 1
    mine.close()


async def test_a_forwarder_that_ends_does_not_stop_the_adopter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The adopter would otherwise wait for ever for the spool to be empty; it tries again."""
    monkeypatch.setattr(Carried, "ending", 2)
    name = left_behind(tmp_path, 3)
    held = hold(tmp_path, name, bytes_max=BYTES_MAX)
    mine = hold_any(tmp_path, bytes_max=BYTES_MAX)
    held.close()
    carried: list[tuple[str, int]] = []
    async with adopting(tmp_path, mine, carried) as adopter:
        await until(adopter, name, 0)
    assert len(carried) == 3
    assert "the forwarder of an adopted spool has ended" in caplog.text
    mine.close()


async def test_a_spool_that_cannot_be_verified_is_logged_and_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Its callbacks wait meanwhile, so the log must say why."""
    name = left_behind(tmp_path, 3)
    held = hold(tmp_path, name, bytes_max=BYTES_MAX)
    mine = hold_any(tmp_path, bytes_max=BYTES_MAX)
    held.close()
    carried: list[tuple[str, int]] = []
    with monkeypatch.context() as patched:
        patched.setattr(
            verification, "VERIFY_COMMAND", (sys.executable, "-c", "raise SystemExit(9)")
        )
        async with adopting(tmp_path, mine, carried), asyncio.timeout(180):
            while "cannot be drained now" not in caplog.text:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    assert f"{name}.lmdb could not be verified: the verifier ended with exit code 9" in caplog.text
    assert carried == []
    async with adopting(tmp_path, mine, carried) as adopter:
        await until(adopter, name, 0)
    assert len(carried) == 3
    mine.close()


async def logs(caplog: pytest.LogCaptureFixture, text: str, count: int) -> None:
    """Wait until `text` is in `count` lines of the log."""
    async with asyncio.timeout(180):
        while sum(text in line for line in caplog.messages) < count:  # noqa: ASYNC110 - a list
            await asyncio.sleep(0.01)


async def test_a_fault_that_comes_back_after_a_success_is_logged_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Otherwise nobody would learn that callbacks wait again."""
    directory, moved = tmp_path / "spools", tmp_path / "moved"
    directory.mkdir()
    name = left_behind(directory, 3)
    held = hold(directory, name, bytes_max=BYTES_MAX)
    mine = hold_any(directory, bytes_max=BYTES_MAX)
    held.close()
    async with adopting(directory, mine, []) as adopter:
        for count in (1, 2):
            with monkeypatch.context() as patched:
                patched.setattr(
                    verification, "VERIFY_COMMAND", (sys.executable, "-c", "raise SystemExit(9)")
                )
                (directory / f"{name}.lmdb").touch()
                await logs(caplog, "cannot be drained now", count)
            await until(adopter, name, 0)
            directory.rename(moved)
            directory.touch()
            await logs(caplog, "cannot be listed", count)
            directory.unlink()
            moved.rename(directory)
            await until(adopter, name, 0)
            await asyncio.sleep(2 * adopt.SEARCH_INTERVAL_S)
    mine.close()


@dataclass(frozen=True, kw_only=True)
class Stuck:
    """Why the rows of a spool are not sent; `moves_on`: whether others may be drained meanwhile."""

    moves_on: bool
    own_fault: str = ""
    outcome: TransactionOutcome = TransactionOutcome.NOT_ASKED
    has_begun_settling: bool = False


@pytest.mark.parametrize(
    "case",
    [
        Stuck(moves_on=True),
        Stuck(moves_on=False, own_fault="Kafka does not answer"),
        # The producer is still starting. A new forwarder would get the same answer.
        Stuck(moves_on=True, outcome=TransactionOutcome.COMMITTED),
        # A new forwarder could not find out any more how it ended.
        Stuck(moves_on=False, outcome=TransactionOutcome.COMMITTED, has_begun_settling=True),
        # The spool's file says how it ended.
        Stuck(moves_on=True, outcome=TransactionOutcome.ABORTED, has_begun_settling=True),
    ],
)
async def test_a_spool_that_cannot_be_forwarded_does_not_block_the_others(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    case: Stuck,
) -> None:
    """It is tried again after them; but not if Kafka is down for all, or rows could be lost."""
    monkeypatch.setattr(adopt, "STALL_TIMEOUT_S", 0.1)
    monkeypatch.setattr(Carried, "outcome", case.outcome)
    monkeypatch.setattr(Carried, "has_begun_settling", case.has_begun_settling)
    stuck, other = "a" * 16, "b" * 16
    monkeypatch.setattr(Carried, "stuck", {stuck})
    mine = hold_any(tmp_path, bytes_max=BYTES_MAX)
    for name in (stuck, other):
        spool = hold(tmp_path, name, bytes_max=BYTES_MAX)
        spool.writer.commit([encode(a_wire_record(n), n) for n in range(3)], 0)
        spool.close()
    carried: list[tuple[str, int]] = []
    async with adopting(tmp_path, mine, carried, case.own_fault) as adopter:
        if not case.moves_on:
            await asyncio.sleep(0.5)
            assert "cannot be drained now" not in caplog.text
        else:
            await until(adopter, other, 0)
            assert "the coordinator of this origin is away" in caplog.text
            Carried.stuck = frozenset()
            await until(adopter, stuck, 0)
            assert len(carried) == 6
    mine.close()
