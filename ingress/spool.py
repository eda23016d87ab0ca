"""
The spool: callbacks on disk, numbered 1, 2, 3, … in one LMDB file that one process holds.

Its name is its first origin. Sequences are given inside the write transaction and never twice, also
when the spool has been empty and the process restarted. The file stays when it is drained: it is
the origin's record of how many callbacks there were.
"""

import contextlib
import fcntl
import logging
import os
import re
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import lmdb

from ingress.row import CHECKSUM_BYTES, Damaged, Row, seal, unseal

log = logging.getLogger(__name__)

# Deleting needs free pages too: what one transaction removes is bounded, and inserts stop well
# before the map is full (docs/decisions/0003-spool.md).
REMOVED_ROWS_MAX = 600
_MAP_MARGIN_BYTES = 64 << 20
_SUFFIX = ".lmdb"
_ORIGIN = re.compile(r"[0-9a-f]{16}")
_LAST_SEQUENCE = b"last_sequence"
_ORIGIN_NOW = b"origin"
_PROBE = b"probe"


class Full(Exception):
    """A bound was reached. The callback was not stored."""


class Broken(Exception):
    """The disk failed. The callback may or may not have been stored."""


class Held(Exception):
    """Another process holds this spool."""


@dataclass(frozen=True, slots=True)
class Summary:
    """One spool in the directory; `last_sequence` is None while it cannot be read."""

    name: str
    origin: str
    last_sequence: int | None
    fault: str = ""


class Spool:
    """One open spool. Not for two threads at once, but for `since`, which only reads."""

    def __init__(self, path: Path, lock: BinaryIO, bytes_max: int) -> None:
        self.name = path.stem
        self._bytes_max = bytes_max
        self._lock = lock
        # writemap stays off: on a full disk it ends in SIGBUS instead of an error.
        self._env = lmdb.open(
            str(path), subdir=False, max_dbs=2, map_size=_map_size(bytes_max), max_spare_txns=2
        )
        self._rows = self._env.open_db(b"rows")
        self._meta = self._env.open_db(b"meta")
        # Durable, also the directory entry: from here on the origin exists.
        _sync_directory(path.parent)
        self._page_bytes = self._env.stat()["psize"]
        with self._env.begin() as txn:
            self.origin = bytes(txn.get(_ORIGIN_NOW, path.stem.encode(), db=self._meta)).decode()
            self.last_sequence = self._last(txn)
            self._measure(txn)

    def commit(self, contents: Sequence[bytes], forwarded: int, *, probe: bool = False) -> None:
        """
        Store `contents` behind the last sequence and let rows up to `forwarded` go.

        On return they are on disk (fsync) and `last_sequence` is the last one's. At most
        REMOVED_ROWS_MAX rows are let go; `removable` tells whether more could be. A `probe` writes
        in any case, so that its success means that the disk works.

        Raises:
            Full: nothing was stored, the bound was reached; rows were let go all the same.
            Broken: they may or may not have been stored; the disk failed.
        """
        incoming = sum(map(len, contents))
        with _disk_faults(), self._env.begin(write=True) as txn:
            self._remove(txn, forwarded)
            self._measure(txn)
            full = bool(contents) and self.bytes + incoming > self._bytes_max
            # From the disk, not from memory: after a failed commit only the disk knows.
            sequence = self._last(txn)
            if not full:
                for content in contents:
                    sequence += 1
                    row = seal(content, self.origin, sequence)
                    txn.put(_key(sequence), row, db=self._rows, append=True)
                if contents:
                    txn.put(_LAST_SEQUENCE, b"%d" % sequence, db=self._meta)
            if probe:
                txn.put(_PROBE, secrets.token_bytes(8), db=self._meta)
            self._measure(txn)
        self.last_sequence = sequence
        if full:
            raise Full(f"the spool holds {self.bytes} of {self._bytes_max} bytes")

    def since(self, sequence: int, *, rows_max: int, bytes_max: int) -> list[Row]:
        """
        Return the rows behind `sequence`, in order, at least one if there is one.

        They end before a damaged row.

        Raises:
            Damaged: the first of them is not what was stored.
        """
        rows: list[Row] = []
        taken = 0
        with self._env.begin() as txn:
            cursor = txn.cursor(db=self._rows)
            found = cursor.set_range(_key(sequence + 1))
            while found and len(rows) < rows_max and taken < bytes_max:
                stored = bytes(cursor.value())
                try:
                    rows.append(unseal(stored, self.origin, int.from_bytes(cursor.key(), "big")))
                except Damaged:
                    if not rows:
                        raise
                    break
                taken += len(stored)
                found = cursor.next()
        return rows

    def fingerprint(self, sequence: int) -> str:
        """Return what tells the row at `sequence` from any other, "" if it is not here."""
        with self._env.begin() as txn:
            return bytes(txn.get(_key(sequence), b"", db=self._rows))[:CHECKSUM_BYTES].hex()

    def begin_anew(self) -> None:
        """
        Become another origin: all rows are numbered 1, 2, 3, … under it, on disk on return.

        For a spool that was put back to an older state. Kafka may have some of its rows already;
        under a new origin they are repeated, where under the old one others would be lost.

        Raises:
            Broken: the disk failed; the spool is as it was.
        """
        origin = secrets.token_hex(8)
        with _disk_faults(), self._env.begin(write=True) as txn:
            cursor = txn.cursor(db=self._rows)
            stored = [(bytes(key), bytes(row)) for key, row in cursor.iternext()]
            txn.drop(self._rows, delete=False)
            for sequence, (key, row) in enumerate(stored, start=1):
                moved = self._moved(row, int.from_bytes(key, "big"), origin, sequence)
                txn.put(_key(sequence), moved, db=self._rows, append=True)
            txn.put(_LAST_SEQUENCE, b"%d" % len(stored), db=self._meta)
            txn.put(_ORIGIN_NOW, origin.encode(), db=self._meta)
            self._measure(txn)
        self.origin, self.last_sequence = origin, len(stored)

    def first_sequence(self) -> int:
        """Return the lowest sequence that is still in the spool, or the next one to be given."""
        with self._env.begin() as txn:
            cursor = txn.cursor(db=self._rows)
            if cursor.first():
                return int.from_bytes(cursor.key(), "big")
        return self.last_sequence + 1

    def removable(self, forwarded: int) -> bool:
        """Tell whether rows up to `forwarded` are still here."""
        return self.first_sequence() <= min(forwarded, self.last_sequence)

    def close(self) -> None:
        """Let another process have the spool; nothing in it changes."""
        self._env.close()
        self._lock.close()

    def _moved(self, row: bytes, before: int, origin: str, sequence: int) -> bytes:
        try:
            unseal(row, self.origin, before)
        except Damaged:
            return row  # stays damaged, which its checksum says at any place
        return seal(row[CHECKSUM_BYTES:], origin, sequence)

    def _remove(self, txn: lmdb.Transaction, until: int) -> None:
        cursor = txn.cursor(db=self._rows)
        last = _key(until)
        for _ in range(REMOVED_ROWS_MAX):
            if not cursor.first() or bytes(cursor.key()) > last:
                return
            cursor.delete()

    def _last(self, txn: lmdb.Transaction) -> int:
        return int(txn.get(_LAST_SEQUENCE, b"0", db=self._meta))

    def _measure(self, txn: lmdb.Transaction) -> None:
        stat = txn.stat(self._rows)
        pages = stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
        self.rows: int = stat["entries"]
        self.bytes: int = pages * self._page_bytes


def take(directory: Path, *, bytes_max: int) -> Spool:
    """
    Return a spool that this process holds: one that no process holds, else a new one.

    A file that is no spool is set aside under another name, loudly and never deleted.

    Raises:
        OSError: the directory cannot be made or written.
        Broken, Full: the disk fails or is full.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for name in names(directory):
        with contextlib.suppress(Held):
            try:
                return hold(directory, name, bytes_max=bytes_max)
            except Damaged as damaged:
                path = directory / f"{name}{_SUFFIX}"
                aside = path.with_name(f"{path.name}.set-aside-{time.time_ns()}")
                path.rename(aside)
                log.critical("%s; it is set aside as %s, its callbacks wait there", damaged, aside)
    return hold(directory, secrets.token_hex(8), bytes_max=bytes_max)


def hold(directory: Path, name: str, *, bytes_max: int) -> Spool:
    """
    Open the spool `name` for this process alone.

    The lock is on a file of its own that is never removed: two processes that lock two files of
    one name would both believe that they hold the spool.

    Raises:
        Held: another process has it.
        Damaged: the file is no spool.
        Broken, Full: the disk fails or is full.
    """
    lock = (directory / f"{name}.lock").open("ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise Held(name) from error
    path = directory / f"{name}{_SUFFIX}"
    try:
        with _disk_faults():
            return Spool(path, lock, bytes_max)
    except Exception:
        lock.close()
        raise


def names(directory: Path) -> list[str]:
    """Return the names of the spools in `directory`, in a fixed order."""
    return sorted(
        path.stem for path in directory.glob(f"*{_SUFFIX}") if _ORIGIN.fullmatch(path.stem)
    )


def summaries(directory: Path) -> Iterator[Summary]:
    """Yield every spool in `directory`; those that nobody holds are opened for a moment."""
    for name in names(directory):
        try:
            spool = hold(directory, name, bytes_max=_MAP_MARGIN_BYTES)
        except Held:
            yield Summary(name, name, None)
        except (Damaged, Broken, Full) as fault:
            yield Summary(name, name, None, str(fault))
        else:
            yield Summary(name, spool.origin, spool.last_sequence)
            spool.close()


def _map_size(bytes_max: int) -> int:
    # At the brim of the map even deletes fail, so inserts stop a margin before it.
    return max(bytes_max + _MAP_MARGIN_BYTES, bytes_max * 10 // 9)


def _key(sequence: int) -> bytes:
    return sequence.to_bytes(8, "big")


@contextlib.contextmanager
def _disk_faults() -> Iterator[None]:
    try:
        yield
    except (lmdb.MapFullError, lmdb.DiskError) as error:
        raise Full(str(error)) from error
    except (
        lmdb.CorruptedError,
        lmdb.InvalidError,
        lmdb.PageNotFoundError,
        lmdb.VersionMismatchError,
    ) as error:
        raise Damaged(f"the spool file is damaged: {error}") from error
    except lmdb.Error as error:
        raise Broken(str(error)) from error


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
