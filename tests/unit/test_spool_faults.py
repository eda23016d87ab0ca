"""Real failures of LMDB's commit, damaged keys and states, and the rule for two threads."""

import errno
import os
import shutil
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lmdb
import pytest
from support.builders import a_wire_record

from ingress.spool import spool as spool_module
from ingress.spool.directory import hold_any
from ingress.spool.disk import Corrupt, DiskFailed, DiskFull, LimitReached, ReopenRequired
from ingress.spool.row import DamagedCallback, encode
from ingress.spool.spool import Spool
from ingress.spool.writer import SpoolWriter

BYTES_MAX = 1 << 20


def contents(count: int) -> list[bytes]:
    """Return `count` rows to store."""
    return [encode(a_wire_record(number), number) for number in range(1, count + 1)]


def sequences(spool: Spool, after: int = 0) -> list[int]:
    """Return the sequences that a read returns."""
    return [row.sequence for row in spool.rows_after(after, rows_max=99, bytes_max=BYTES_MAX)]


@contextmanager
def in_place_of_the_file(path: Path, other: str, *, synchronous: bool) -> Iterator[None]:
    """
    Let LMDB write its data or, `synchronous`, its meta pages to `other` for a moment.

    LMDB has one descriptor for each; that of the meta pages is opened with O_DSYNC.
    """
    (descriptor,) = (
        int(each.name)
        for each in Path("/proc/self/fd").iterdir()
        if os.path.realpath(each) == str(path) and _is_synchronous(int(each.name)) == synchronous
    )
    kept = os.dup(descriptor)
    broken = os.open(other, os.O_RDWR)
    os.dup2(broken, descriptor)
    os.close(broken)
    try:
        yield
    finally:
        os.dup2(kept, descriptor)
        os.close(kept)


def _is_synchronous(descriptor: int) -> bool:
    lines = Path(f"/proc/self/fdinfo/{descriptor}").read_text().splitlines()
    (flags,) = (int(line.split()[1], 8) for line in lines if line.startswith("flags:"))
    return bool(flags & os.O_DSYNC)


# /dev/full accepts no byte (ENOSPC). /dev/null accepts all but cannot be synced (EINVAL), like a
# disk whose fsync fails after the page cache took the pages.
FAILURES = [
    ("/dev/full", False, DiskFull, "the data pages cannot be written"),
    ("/dev/null", False, DiskFailed, "fdatasync fails"),
    ("/dev/full", True, DiskFull, "the meta page cannot be written"),
]


@pytest.mark.parametrize("failure", FAILURES, ids=[failure[3] for failure in FAILURES])
@pytest.mark.parametrize("write", ["commit", "quarantine", "start_new_origin"])
def test_a_write_that_really_fails_changes_nothing_and_the_next_one_works(
    tmp_path: Path, write: str, failure: tuple[str, bool, type[Exception], str]
) -> None:
    """After a failed meta page LMDB panics until the file is reopened."""
    device, is_meta, kind, _ = failure
    spool = hold_any(tmp_path, bytes_max=BYTES_MAX)
    spool.writer.commit(contents(3), 0)
    before = spool.state
    writes: dict[str, Any] = {
        "commit": lambda: spool.writer.commit(contents(2), 0),
        "quarantine": lambda: spool.writer.quarantine(2),
        "start_new_origin": spool.writer.start_new_origin,
    }
    path = tmp_path / f"{spool.name}.lmdb"
    with in_place_of_the_file(path, device, synchronous=is_meta), pytest.raises(kind):
        writes[write]()
    assert spool.state is before
    if is_meta:
        with pytest.raises(ReopenRequired):
            spool.writer.commit(contents(1), 0)
        with pytest.raises(ReopenRequired):
            sequences(spool)
        spool.reopen()
    assert sequences(spool) == [1, 2, 3]
    spool.writer.commit(contents(1), 0)
    assert spool.state[:4] == (before.origin, 0, 1, 4)
    assert (spool.state.quarantined_numbers, spool.row_count) == (frozenset(), 4)
    assert sequences(spool) == [1, 2, 3, 4]
    state = spool.state
    spool.close()
    again = hold_any(tmp_path, bytes_max=BYTES_MAX)
    assert again.state == state
    again.close()


def test_a_file_whose_meta_page_failed_passes_the_verifier(tmp_path: Path) -> None:
    """LMDB writes the old numbers over the new ones; such a file must not be renamed."""
    spool = hold_any(tmp_path, bytes_max=BYTES_MAX)
    spool.writer.commit(contents(3), 0)
    path = tmp_path / f"{spool.name}.lmdb"
    with in_place_of_the_file(path, "/dev/full", synchronous=True), pytest.raises(DiskFull):
        spool.writer.commit(contents(3), 0)
    spool.close()
    again = hold_any(tmp_path, bytes_max=BYTES_MAX)
    assert (again.name, sequences(again)) == (spool.name, [1, 2, 3])
    again.close()


def test_nothing_is_written_before_the_meta_pages_are_known_to_be_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An fsync that failed once may succeed later without having written them."""
    spool = hold_any(tmp_path, bytes_max=BYTES_MAX)
    spool.writer.commit(contents(1), 0)
    path = tmp_path / f"{spool.name}.lmdb"
    written: list[tuple[int, bytes]] = []
    pwrite = os.pwrite

    def noted(descriptor: int, content: bytes, offset: int) -> int:
        written.append((offset, content))
        return pwrite(descriptor, content, offset)

    def fails(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    before = path.read_bytes()
    spool.reopen()
    monkeypatch.setattr(os, "pwrite", noted)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fails)
        for _ in range(2):
            with pytest.raises(DiskFailed, match="meta pages"):
                spool.writer.commit(contents(1), 0)
    assert path.read_bytes() == before
    # Each attempt writes them again, because the kernel would regard them as clean.
    pages = before[: 2 * os.sysconf("SC_PAGE_SIZE")]
    assert written == [(0, pages), (0, pages)]
    assert sequences(spool) == [1]
    spool.writer.commit(contents(1), 0)
    spool.writer.commit(contents(1), 0)
    assert (len(written), spool.last_sequence) == (3, 3)
    spool.close()


def test_threads_share_nothing_but_the_state_and_the_aborted_origin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scaled: Callable[..., int]
) -> None:
    """
    The writer's thread never touches the Spool; another thread reads only these two of the writer.

    Every read and assignment of an attribute is recorded while both run.
    """
    touched: dict[tuple[str, str], set[str]] = defaultdict(set)

    def recorded(kind: type) -> type:
        class Recorded(kind):  # type: ignore[misc]
            def __getattribute__(self, name: str) -> Any:
                touched[threading.current_thread().name, kind.__name__].add(name)
                return super().__getattribute__(name)

            def __setattr__(self, name: str, value: object) -> None:
                touched[threading.current_thread().name, kind.__name__].add(f"{name} =")
                super().__setattr__(name, value)

        return Recorded

    monkeypatch.setattr(spool_module, "SpoolWriter", recorded(SpoolWriter))
    path = tmp_path / f"{'0' * 16}.lmdb"
    spool = recorded(Spool)(path, path.with_suffix(".lock").open("ab"), BYTES_MAX)
    spool_writer = spool.writer
    touched.clear()

    def write() -> None:
        for number in range(1, scaled(30, at_most=60)):
            spool_writer.commit(contents(3), number)
            spool_writer.quarantine(spool_writer.state.last_sequence)
            with pytest.raises(LimitReached):
                spool_writer.commit([b"x" * BYTES_MAX], 0, probe=True)
            spool_writer.store_aborted_origin(spool_writer.state.origin)
        spool_writer.start_new_origin()

    def read() -> None:
        while writer.is_alive():
            # The writer waits for the disk most of the time.
            time.sleep(0.0005)
            # No row after this one is forwarded.
            for row in spool.rows_after(60, rows_max=5, bytes_max=BYTES_MAX):
                spool.fingerprint(row.sequence)
            for sequence in spool.state.quarantined_sequences:
                spool.quarantined_bytes(sequence)
            spool.forget_rows_in_memory(spool.state.first_sequence + spool.row_count)
            spool.remember([], 0)
            spool.should_reopen()
            # As AsyncSpool does, on the event loop.
            assert len(spool.writer.aborted_origin) in {0, len(spool.origin)}

    writer = threading.Thread(target=write, name="writer")
    reader = threading.Thread(target=read, name="reader")
    writer.start()
    reader.start()
    writer.join()
    reader.join()
    assert "state =" in touched["writer", "SpoolWriter"]
    assert touched["writer", "Spool"] == set()
    assert touched["reader", "SpoolWriter"] == {"state", "aborted_origin"}
    spool.close()


def changed(path: Path, database: bytes, key: bytes, new_key: bytes, value: bytes | None) -> None:
    """Give an entry of a spool's file another key or value, as a flipped bit would."""
    env = lmdb.open(str(path), subdir=False, max_dbs=3)
    with env.begin(write=True) as txn:
        db = env.open_db(database, txn, create=False)
        kept = txn.pop(key, db=db)
        assert kept is not None
        txn.put(new_key, kept if value is None else value, db=db)
    env.close()


def drained(spool: Spool) -> list[int]:
    """Forward everything as the forwarder does; return the sequences that were sent."""
    sent: list[int] = []
    after = spool.state.first_sequence - 1
    while True:
        try:
            rows = spool.rows_after(after, rows_max=5, bytes_max=BYTES_MAX)
        except DamagedCallback as damaged:
            spool.writer.quarantine(damaged.sequence)
            continue
        if not rows:
            return sent
        sent += [row.sequence for row in rows]
        after = sent[-1]


@pytest.mark.parametrize(
    ("block", "to"),
    [(1, 0), (1, 2), (1, 3), (4, 2), (4, 3), (4, 5), (4, 6), (7, 5), (7, 6), (7, 8), (7, 9)],
)
def test_rows_of_a_block_whose_key_changed_are_named(tmp_path: Path, block: int, to: int) -> None:
    """No row is skipped in silence: each is sent or in quarantine, also rows without a block."""
    spool = hold_any(tmp_path, bytes_max=BYTES_MAX)
    for _ in range(3):
        spool.writer.commit(contents(3), 0)
    path = tmp_path / f"{spool.name}.lmdb"
    spool.close()
    changed(path, b"blocks", block.to_bytes(8, "big"), to.to_bytes(8, "big"), None)
    again = hold_any(tmp_path, bytes_max=BYTES_MAX)
    assert again.name == spool.name
    sent = drained(again)
    assert sorted([*sent, *again.state.quarantined_sequences]) == list(range(1, 10))
    assert not set(sent) & set(range(block, block + 3))
    again.writer.commit(contents(1), 9)
    assert sequences(again, 9) == [10]
    again.close()


@pytest.mark.parametrize(
    ("database", "key", "new_key"),
    [
        (b"meta", b"state", b"statf"),
        (b"quarantine", (2).to_bytes(8, "big"), (3).to_bytes(8, "big")),
        (b"blocks", (1).to_bytes(8, "big"), (1 << 40).to_bytes(8, "big")),
    ],
)
def test_a_file_that_contradicts_itself_is_renamed(
    tmp_path: Path, database: bytes, key: bytes, new_key: bytes
) -> None:
    """A lost state would give numbers twice; a wrong quarantine would skip good rows."""
    spool = hold_any(tmp_path, bytes_max=BYTES_MAX)
    spool.writer.commit(contents(3), 0)
    spool.writer.quarantine(2)
    path = tmp_path / f"{spool.name}.lmdb"
    spool.close()
    changed(path, database, key, new_key, None)
    again = hold_any(tmp_path, bytes_max=BYTES_MAX)
    assert again.name != spool.name
    (renamed,) = tmp_path.glob("*.corrupt-*")
    assert renamed.name.startswith(spool.name)
    again.close()


def test_every_flipped_bit_of_the_state_is_noticed(tmp_path: Path) -> None:
    """For example one in the last number."""
    spool = hold_any(tmp_path, bytes_max=BYTES_MAX)
    spool.writer.commit(contents(3), 0)
    path = tmp_path / f"{spool.name}.lmdb"
    spool.close()
    env = lmdb.open(str(path), subdir=False, max_dbs=3)
    with env.begin() as txn:
        state = txn.get(b"state", db=env.open_db(b"meta", txn, create=False)) or b""
    env.close()
    kept = tmp_path / "kept"
    shutil.copy(path, kept)
    assert state
    for at in range(8 * len(state)):
        shutil.copy(kept, path)
        flipped = bytearray(state)
        flipped[at // 8] ^= 1 << at % 8
        changed(path, b"meta", b"state", b"state", bytes(flipped))
        with path.with_suffix(".lock").open("ab") as lock, pytest.raises(Corrupt):
            Spool(path, lock, BYTES_MAX)


def test_a_row_that_is_not_waiting_cannot_be_put_into_quarantine(tmp_path: Path) -> None:
    """A second attempt after an uncertain commit does no harm."""
    spool = hold_any(tmp_path, bytes_max=BYTES_MAX)
    spool.writer.commit(contents(3), 0)
    spool.writer.commit(contents(3), 3)
    spool.writer.quarantine(5)
    state = spool.state
    for sequence in (0, 1, 3, 5, 7, 100):
        spool.writer.quarantine(sequence)
        assert spool.state == state
    assert sequences(spool, 3) == [4, 6]
    spool.close()
