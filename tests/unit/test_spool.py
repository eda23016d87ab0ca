"""The spool: numbered, durable, held by one process, bounded."""

import contextlib
import sys
from pathlib import Path

import pytest
from support.builders import a_wire_record

from ingress.spool import verification
from ingress.spool.block import pack
from ingress.spool.directory import hold, hold_any, spool_names, summaries
from ingress.spool.disk import Corrupt, LimitReached, ReopenRequired
from ingress.spool.row import DamagedCallback, DamagedRow, add_checksums, check_and_decode, encode
from ingress.spool.spool_lock import SpoolInUse
from ingress.spool.unheld import open_unheld
from ingress.spool.verification import NotVerified
from ingress.spool.write_transaction import REMOVED_BLOCKS_MAX
from schemas.ingress_status import SpoolSummary

BYTES_MAX = 1 << 20


def contents(count: int) -> list[bytes]:
    """Return `count` rows to store."""
    return [encode(a_wire_record(number), number) for number in range(1, count + 1)]


def test_rows_are_read_as_they_were_stored(tmp_path: Path) -> None:
    """In order, numbered from 1."""
    spool = hold_any(tmp_path, bytes_max=BYTES_MAX)
    spool.writer.commit(contents(3), 0)
    rows = spool.rows_after(0, rows_max=10, bytes_max=BYTES_MAX)
    assert [row.sequence for row in rows] == [1, 2, 3]
    assert [row.record for row in rows] == [a_wire_record(number) for number in (1, 2, 3)]
    assert [row.sequence for row in spool.rows_after(1, rows_max=1, bytes_max=BYTES_MAX)] == [2]
    assert [row.sequence for row in spool.rows_after(0, rows_max=9, bytes_max=1)] == [1]
    spool.close()


def test_a_sequence_is_never_given_twice(tmp_path: Path) -> None:
    """Not even when the spool was drained and the process restarted."""
    spool = hold_any(tmp_path, bytes_max=BYTES_MAX)
    spool.writer.commit(contents(2), 0)
    spool.writer.commit([], 2)
    assert (spool.row_count, spool.state.first_sequence) == (0, 3)
    spool.close()
    again = hold_any(tmp_path, bytes_max=BYTES_MAX)
    assert (again.origin, again.last_sequence) == (spool.origin, 2)
    again.writer.commit(contents(1), 0)
    assert [row.sequence for row in again.rows_after(0, rows_max=9, bytes_max=BYTES_MAX)] == [3]
    again.close()


def test_rows_leave_by_blocks_and_in_slices(tmp_path: Path) -> None:
    """A block goes when all of its rows may; one commit removes a bounded number of them."""
    spool = hold_any(tmp_path, bytes_max=BYTES_MAX)
    blocks = REMOVED_BLOCKS_MAX + 2
    for _ in range(blocks):
        spool.writer.commit(contents(3), 0)
    last = 3 * blocks
    assert (spool.state.has_removable_block(2), spool.state.has_removable_block(3)) == (False, True)
    spool.writer.commit([], 5)
    assert (spool.state.first_sequence, spool.row_count) == (4, last - 3)
    spool.writer.commit([], last)
    assert spool.state.has_removable_block(last)
    spool.writer.commit([], last)
    assert (spool.state.has_removable_block(last), spool.row_count, spool.state.first_sequence) == (
        False,
        0,
        last + 1,
    )
    spool.close()


@pytest.mark.parametrize("size", [420, 3_000, 20_000])
def test_a_full_spool_refuses_and_recovers(tmp_path: Path, size: int) -> None:
    """At the bound nothing is stored, deletes go on, and then there is room again."""
    spool = hold_any(tmp_path, bytes_max=BYTES_MAX)
    content = encode(a_wire_record(1, b'{"CallbackCommand":"X","t":"%s"}' % (b"x" * size)), 1)
    for _ in range(3):
        while True:
            try:
                spool.writer.commit([content] * 5, 0)
            except LimitReached:
                break
        full_at = spool.last_sequence
        assert spool.state.used_bytes <= BYTES_MAX
        while spool.state.has_removable_block(full_at):
            spool.writer.commit([], full_at)
        assert spool.row_count == 0
        spool.writer.commit([content], full_at)
        assert spool.last_sequence == full_at + 1
    spool.close()


def test_two_processes_never_hold_one_spool(tmp_path: Path) -> None:
    """The second process takes another spool."""
    first = hold_any(tmp_path, bytes_max=BYTES_MAX)
    with pytest.raises(SpoolInUse):
        hold(tmp_path, first.name, bytes_max=BYTES_MAX)
    second = hold_any(tmp_path, bytes_max=BYTES_MAX)
    assert spool_names(tmp_path) == sorted([first.origin, second.origin])
    first.close()
    third = hold_any(tmp_path, bytes_max=BYTES_MAX)
    assert third.origin == first.origin
    second.close()
    third.close()


def test_every_spool_is_listed_with_its_last_sequence(tmp_path: Path) -> None:
    """A spool that another process holds is listed without it."""
    spool = hold_any(tmp_path, bytes_max=BYTES_MAX)
    spool.writer.commit(contents(2), 0)
    assert list(summaries(tmp_path)) == [SpoolSummary(spool.name)]
    spool.close()
    assert list(summaries(tmp_path)) == [SpoolSummary(spool.name, spool.origin, 2, rows=2)]


def test_a_row_is_bound_to_its_place() -> None:
    """A flipped bit, another number or another spool fails the checksum, without a sequence."""
    (row,) = add_checksums([encode(a_wire_record(), 5)], "origin", 7)
    assert check_and_decode(row, "origin", 7) == (5, a_wire_record())
    flipped = row[:-1] + bytes([row[-1] ^ 1])
    for stored, spool, number in (
        (flipped, "origin", 7),
        (row, "origin", 8),
        (row, "other", 7),
        (b"", "origin", 7),
    ):
        with pytest.raises(DamagedRow, match=f"row {number} of spool {spool}") as raised:
            check_and_decode(stored, spool, number)
        assert not hasattr(raised.value, "sequence")


@pytest.mark.parametrize("before", [0, 2])
def test_rows_before_a_damaged_one_are_read(tmp_path: Path, before: int) -> None:
    """The damaged row is never returned, and no row after it before it is in quarantine."""
    spool = hold_any(tmp_path, bytes_max=BYTES_MAX)
    if before:
        spool.writer.commit(contents(before), before)
        spool.writer.commit([], before)
        spool.writer.start_new_origin()
    spool.writer.commit(contents(3), 0)
    path = tmp_path / f"{spool.name}.lmdb"
    spool.close()
    (stored,) = add_checksums(contents(2)[1:], spool.name, before + 2)
    content = path.read_bytes()
    assert content.count(stored) == 1
    path.write_bytes(content.replace(stored, stored[:-1] + bytes([stored[-1] ^ 1])))
    again = hold_any(tmp_path, bytes_max=BYTES_MAX)
    assert [row.sequence for row in again.rows_after(0, rows_max=9, bytes_max=BYTES_MAX)] == [1]
    with pytest.raises(DamagedCallback, match=f"row {before + 2}") as raised:
        again.rows_after(1, rows_max=9, bytes_max=BYTES_MAX)
    assert raised.value.sequence == 2
    again.close()
    with (
        open_unheld(tmp_path, spool.name) as unheld,
        pytest.raises(DamagedCallback) as raised_again,
    ):
        unheld.row_after(1)
    assert raised_again.value.sequence == 2


def test_a_file_that_is_not_a_spool_is_renamed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged and never deleted, and the process starts with another spool."""
    garbage = bytes(range(256)) * 64
    (tmp_path / "0000000000000000.lmdb").write_bytes(garbage)
    (spool_summary,) = summaries(tmp_path)
    assert (spool_summary.last_sequence, "LMDB" in spool_summary.fault) == (None, True)
    spool = hold_any(tmp_path, bytes_max=BYTES_MAX)
    assert spool.name != "0" * 16
    (renamed,) = tmp_path.glob("*.corrupt-*")
    assert renamed.read_bytes() == garbage
    assert "is corrupt" in caplog.text
    (spool_summary,) = [summary for summary in summaries(tmp_path) if summary.fault]
    assert (spool_summary.name, spool_summary.last_sequence) == ("0" * 16, None)
    assert renamed.name in spool_summary.fault
    spool.close()


@pytest.mark.parametrize("suffix", [".corrupt-1", ".set-aside-1"])
def test_corrupt_files_are_listed_under_their_present_and_their_former_name(
    tmp_path: Path, suffix: str
) -> None:
    """Else an audit would not know that rows may be lost; 0.1.0 gave the former name."""
    name = "0" * 16
    (tmp_path / f"{name}.lmdb{suffix}").touch()
    (spool_summary,) = summaries(tmp_path)
    assert (spool_summary.name, spool_summary.last_sequence, suffix in spool_summary.fault) == (
        name,
        None,
        True,
    )


def test_a_new_origin_has_the_remaining_rows_as_1_2_3(tmp_path: Path) -> None:
    """Also after a restart, and more than once."""
    spool = hold_any(tmp_path, bytes_max=BYTES_MAX)
    for content in contents(5):
        spool.writer.commit([content], 0)
    spool.writer.commit([], 2)
    before = spool.origin
    spool.writer.start_new_origin()
    assert spool.origin != before
    spool.close()
    again = hold_any(tmp_path, bytes_max=BYTES_MAX)
    assert (again.origin, again.name, again.last_sequence) == (spool.origin, before, 3)
    rows = again.rows_after(0, rows_max=9, bytes_max=BYTES_MAX)
    assert [(row.sequence, row.received_at_ms) for row in rows] == [(1, 3), (2, 4), (3, 5)]
    again.writer.commit(contents(1), 2)
    assert [row.sequence for row in again.rows_after(0, rows_max=9, bytes_max=BYTES_MAX)] == [3, 4]
    again.writer.start_new_origin()
    assert (again.state.first_sequence, again.last_sequence) == (1, 2)
    again.writer.commit([], 2)
    assert (again.state.first_sequence, again.state.has_removable_block(2)) == (3, False)
    again.close()


def test_a_full_spool_can_start_a_new_origin(tmp_path: Path) -> None:
    """It needs no room, because no row is rewritten."""
    spool = hold_any(tmp_path, bytes_max=BYTES_MAX)
    with contextlib.suppress(LimitReached):
        while True:
            spool.writer.commit(contents(50), 0)
    rows = spool.row_count
    spool.writer.start_new_origin()
    assert (spool.row_count, spool.last_sequence) == (rows, rows)
    spool.close()


def test_a_fingerprint_tells_rows_apart(tmp_path: Path) -> None:
    """A missing row has none."""
    spool = hold_any(tmp_path, bytes_max=BYTES_MAX)
    spool.writer.commit(contents(2), 0)
    assert len({spool.fingerprint(sequence) for sequence in (1, 2, 3)}) == 3
    assert spool.fingerprint(3) == ""
    spool.close()


def test_a_probe_writes(tmp_path: Path) -> None:
    """An empty commit would prove nothing about the disk."""
    spool = hold_any(tmp_path, bytes_max=BYTES_MAX)
    path = tmp_path / f"{spool.name}.lmdb"
    before = path.read_bytes()
    spool.writer.commit([], 0)
    assert path.read_bytes() == before
    spool.writer.commit([], 0, probe=True)
    assert path.read_bytes() != before
    spool.close()


def test_rows_in_quarantine_hold_nothing_up(tmp_path: Path) -> None:
    """Their bytes are kept; rows before and after them are read and removed as usual."""
    spool = hold_any(tmp_path, bytes_max=BYTES_MAX)
    for content in contents(4):
        spool.writer.commit([content], 0)
    for sequence in (2, 3, 4):
        spool.writer.quarantine(sequence)
    assert (spool.state.quarantined_sequences, spool.row_count) == ([2, 3, 4], 1)
    assert [row.sequence for row in spool.rows_after(0, rows_max=9, bytes_max=BYTES_MAX)] == [1]
    assert spool.state.has_removable_block(1)
    spool.writer.commit([], 1)
    assert (spool.row_count, spool.state.first_sequence, spool.state.has_removable_block(1)) == (
        0,
        5,
        False,
    )
    assert check_and_decode(spool.quarantined_bytes(3), spool.name, 3) == (3, a_wire_record(3))
    spool.close()
    again = hold_any(tmp_path, bytes_max=BYTES_MAX)
    assert (again.state.quarantined_sequences, again.last_sequence) == ([2, 3, 4], 4)
    again.writer.commit(contents(1), 4)
    assert [row.sequence for row in again.rows_after(4, rows_max=9, bytes_max=BYTES_MAX)] == [5]
    again.close()


def test_a_block_whose_head_is_damaged_goes_into_quarantine_whole(tmp_path: Path) -> None:
    """It is not known where its rows are. The blocks before and after it are read."""
    spool = hold_any(tmp_path, bytes_max=BYTES_MAX)
    for _ in range(3):
        spool.writer.commit(contents(3), 0)
    path = tmp_path / f"{spool.name}.lmdb"
    spool.close()
    head = pack(contents(3), spool.name, 4)[:20]
    content = path.read_bytes()
    assert head in content  # more than once: LMDB writes changed pages to a new place
    path.write_bytes(content.replace(head, head[:-1] + bytes([head[-1] ^ 1])))
    again = hold_any(tmp_path, bytes_max=BYTES_MAX)
    assert [r.sequence for r in again.rows_after(0, rows_max=9, bytes_max=BYTES_MAX)] == [1, 2, 3]
    with pytest.raises(DamagedCallback) as raised:
        again.rows_after(3, rows_max=9, bytes_max=BYTES_MAX)
    assert raised.value.sequence == 4
    again.writer.quarantine(raised.value.sequence)
    assert again.state.quarantined_sequences == [4, 5, 6]
    assert again.quarantined_bytes(4)[4:20] != b""
    assert [r.sequence for r in again.rows_after(3, rows_max=9, bytes_max=BYTES_MAX)] == [7, 8, 9]
    again.close()


def test_reopening_the_file_releases_mapped_memory(tmp_path: Path) -> None:
    """Otherwise the memory of a process would grow with the rows on disk."""
    spool = hold_any(tmp_path, bytes_max=64 << 20)

    def mapped_kib() -> int:
        maps = Path("/proc/self/smaps").read_text().split(".lmdb\n")[1:]
        return sum(int(each.partition("Rss:")[2].split()[0]) for each in maps)

    for _ in range(300):
        spool.writer.commit([b"x" * 30_000], 0)
    before = mapped_kib()
    spool.reopen()
    assert before > 8000
    assert mapped_kib() < 1000
    assert (spool.row_count, spool.state.first_sequence, spool.state.has_removable_block(1)) == (
        300,
        1,
        True,
    )
    spool.close()


@pytest.mark.parametrize("change", ["removed", "emptied", "replaced"])
def test_a_file_that_was_replaced_is_not_reopened(tmp_path: Path, change: str) -> None:
    """Numbers would be given twice, and rows with forwarded numbers be removed unsent."""
    spool = hold_any(tmp_path, bytes_max=BYTES_MAX)
    path, copy = tmp_path / f"{spool.name}.lmdb", tmp_path / "copy"
    spool.writer.commit(contents(2), 0)
    copy.write_bytes(path.read_bytes())
    spool.writer.commit(contents(8), 0)
    if change == "replaced":
        copy.replace(path)
    else:
        path.unlink()
        if change == "emptied":
            path.touch()
    for _ in range(2):
        with pytest.raises(Corrupt, match=change):
            spool.reopen()
        with pytest.raises(ReopenRequired):
            spool.writer.commit(contents(1), 10)
    assert spool.last_sequence == 10
    assert path.exists() == (change != "removed")
    spool.close()


@pytest.mark.parametrize("end", ["import os; os.kill(os.getpid(), 15)", "raise MemoryError"])
def test_a_killed_verifier_proves_nothing_about_the_file(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    end: str,
) -> None:
    """Its end is not known, which is not a fault of the file; no process is said to hold it."""
    spool = hold_any(tmp_path, bytes_max=BYTES_MAX)
    spool.writer.commit(contents(2), 0)
    spool.close()
    with monkeypatch.context() as patched:
        patched.setattr(verification, "VERIFY_COMMAND", (sys.executable, "-c", end))
        with pytest.raises(NotVerified, match="ended with exit code"):
            hold(tmp_path, spool.name, bytes_max=BYTES_MAX)
        assert list(summaries(tmp_path)) == [SpoolSummary(spool.name)]
        assert f"{spool.name}.lmdb could not be verified" in caplog.text
        other = hold_any(tmp_path, bytes_max=BYTES_MAX)
        assert other.name != spool.name
        other.close()
    assert [s.name for s in summaries(tmp_path) if s.rows == 2] == [spool.name]
