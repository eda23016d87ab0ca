"""
The spool: callbacks on disk, numbered 1, 2, 3, … in one LMDB file that one process holds.

Its name is its first origin. Sequences are given inside the write transaction and never twice, also
when the spool has been empty and the process restarted. The file stays when it is drained: it is
the origin's record of how many callbacks there were.
"""

import contextlib
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import lmdb

from ingress.recent import Recent
from ingress.row import CHECKSUM_BYTES, Damaged, Row, seal, unseal
from schemas.process import sync_directory
from schemas.record import Record

# Deleting needs free pages too: what one transaction removes is bounded, and inserts stop well
# before the map is full (docs/decisions/0003-spool.md).
REMOVED_ROWS_MAX = 600
# Pages that were read or written stay mapped, and count as this process's memory, until the file is
# opened again; that is due after so many bytes of rows.
MAPPED_BYTES_MAX = 32 << 20
MAP_MARGIN_BYTES = 64 << 20
# In the meta database. Rows keep their number in this file for ever; an origin's sequences count
# from `base`, which is 0 but for a spool that began anew.
_LAST_NUMBER = b"last_number"
_BASE = b"base"
_ORIGIN = b"origin"
_PROBE = b"probe"


class Full(Exception):
    """A bound was reached. The callback was not stored."""


class Broken(Exception):
    """The disk failed. The callback may or may not have been stored."""


class Panic(Broken):
    """The same, and nothing more can be stored before the spool is opened again."""


class Corrupt(Exception):
    """The file is no spool, or not any more."""


class Spool:
    """
    One open spool.

    `commit`, `begin_anew` and `quarantine` belong to one thread, all that reads to one other;
    `reopen` needs both at rest.
    """

    def __init__(self, path: Path, lock: BinaryIO, bytes_max: int) -> None:
        self.name = path.stem
        self._path = path
        self._bytes_max = bytes_max
        self._lock = lock
        self._recent = Recent()
        self._open()
        # Durable, also the directory entry: from here on the origin exists.
        sync_directory(path.parent)

    def _open(self) -> None:
        # writemap stays off: on a full disk it ends in SIGBUS instead of an error.
        self._env = lmdb.open(
            str(self._path),
            subdir=False,
            max_dbs=3,
            map_size=_map_size(self._bytes_max),
            max_spare_txns=2,
        )
        self._rows = self._env.open_db(b"rows")
        self._meta = self._env.open_db(b"meta")
        self._damaged = self._env.open_db(b"damaged")
        self._page_bytes = self._env.stat()["psize"]
        self._mapped = 0
        with self._env.begin() as txn:
            self.origin = bytes(txn.get(_ORIGIN, self.name.encode(), db=self._meta)).decode()
            self._base = self._number(txn, _BASE)
            self.last_sequence = self._number(txn, _LAST_NUMBER) - self._base
            self._measure(txn)
        self._is_open = True

    def is_much_mapped(self) -> bool:
        """Tell whether the file had better be opened again, to give its pages back."""
        return self._mapped > MAPPED_BYTES_MAX

    def reopen(self) -> None:
        """
        Open the file again, after a Panic or to give its pages back.

        Raises:
            Full, Broken, Corrupt: it cannot be opened now; `commit` raises Panic until it can.
        """
        self._is_open = False
        self._env.close()
        with disk_faults():
            self._open()

    def commit(self, contents: Sequence[bytes], forwarded: int, *, probe: bool = False) -> None:
        """
        Store `contents` behind the last sequence and let rows up to `forwarded` go.

        On return they are on disk (fsync) and `last_sequence` is the last one's. At most
        REMOVED_ROWS_MAX rows are let go; `removable` tells whether more could be. A `probe` writes
        in any case, so that its success means that the disk works.

        Raises:
            Full: nothing was stored; a bound was reached, or the disk is full.
            Broken: they may or may not have been stored; the disk failed. A Panic if nothing more
                can be stored before `reopen`.
            Corrupt: the same, and the file is no spool any more.
        """
        if not self._is_open:
            raise Panic("the spool's file is not open")
        incoming = sum(map(len, contents))
        self._mapped += incoming
        with disk_faults(), self._env.begin(write=True) as txn:
            self._remove(txn, forwarded)
            self._measure(txn)
            full = bool(contents) and self.bytes + incoming > self._bytes_max
            # From the disk, not from memory: after a failed commit only the disk knows.
            number = self._number(txn, _LAST_NUMBER)
            if contents and not full:
                for content in contents:
                    number += 1
                    row = seal(content, self.name, number)
                    txn.put(_key(number), row, db=self._rows, append=True)
                txn.put(_LAST_NUMBER, b"%d" % number, db=self._meta)
            if probe:
                txn.put(_PROBE, secrets.token_bytes(8), db=self._meta)
            self._measure(txn)
        self.last_sequence = number - self._base
        if full:
            raise Full(f"the spool holds {self.bytes} of {self._bytes_max} bytes")

    def since(self, sequence: int, *, rows_max: int, bytes_max: int) -> list[Row]:
        """
        Return the rows behind `sequence`, in order, at least one if there is one.

        They end before a damaged row.

        Raises:
            Damaged: the first of them is not what was stored.
            Corrupt: the file is no spool any more.
        """
        recent = self._recent.since(sequence, rows_max=rows_max, bytes_max=bytes_max)
        if recent is not None:
            return recent
        rows: list[Row] = []
        taken = 0
        with disk_faults(), self._env.begin() as txn:
            cursor = txn.cursor(db=self._rows)
            found = cursor.set_range(_key(self._base + sequence + 1))
            while found and len(rows) < rows_max and taken < bytes_max:
                stored = bytes(cursor.value())
                number = int.from_bytes(cursor.key(), "big")
                try:
                    received_at_ms, record = unseal(stored, self.name, number)
                except Damaged as damaged:
                    if not rows:
                        damaged.sequence = number - self._base
                        raise
                    break
                rows.append(Row(number - self._base, received_at_ms, record))
                taken += len(stored)
                found = cursor.next()
        self._mapped += taken
        return rows

    def remember(self, stored: list[tuple[int, Record]]) -> None:
        """Keep what the last commit stored, by time of receipt and record, for `since`."""
        self._recent.add(self.last_sequence - len(stored) + 1, stored)

    def forget(self, sequence: int) -> None:
        """Keep rows up to `sequence` no longer in memory."""
        self._recent.forget(sequence)

    def fingerprint(self, sequence: int) -> str:
        """Return what tells the row at `sequence` from any other, "" if it is not here."""
        with self._env.begin() as txn:
            row = txn.get(_key(self._base + sequence), b"", db=self._rows)
            return bytes(row[:CHECKSUM_BYTES]).hex()

    def begin_anew(self) -> None:
        """
        Become another origin, whose sequences 1, 2, 3, … are the rows that are here.

        For a spool that was put back to an older state. Kafka may have some of its rows already;
        under a new origin they are repeated, where under the old one others would be lost.

        Raises:
            Full, Broken, Corrupt: the disk failed; the spool is as it was.
        """
        origin = secrets.token_hex(8)
        with disk_faults(), self._env.begin(write=True) as txn:
            base = self._first_number(txn) - 1
            last = self._number(txn, _LAST_NUMBER)
            txn.put(_BASE, b"%d" % base, db=self._meta)
            txn.put(_ORIGIN, origin.encode(), db=self._meta)
        # Another one, not an emptied one: the reader's thread may be reading it.
        self._recent = Recent()
        self.origin, self._base, self.last_sequence = origin, base, last - base

    def quarantine(self, sequence: int) -> None:
        """
        Move the row at `sequence` out of the way of those behind it; its bytes are kept.

        Raises:
            Full, Broken, Corrupt: the disk failed; the row stands where it was.
        """
        key = _key(self._base + sequence)
        with disk_faults(), self._env.begin(write=True) as txn:
            stored = txn.pop(key, db=self._rows)
            if stored is not None:
                txn.put(key, stored, db=self._damaged)
        self._recent = Recent()

    def damaged(self) -> list[int]:
        """Return the sequences whose rows are in quarantine, in order."""
        with disk_faults(), self._env.begin() as txn:
            keys = txn.cursor(db=self._damaged).iternext(values=False)
            return [int.from_bytes(key, "big") - self._base for key in keys]

    def damaged_row(self, sequence: int) -> bytes:
        """Return what is left of a row in quarantine, b"" if there is none."""
        with disk_faults(), self._env.begin() as txn:
            return bytes(txn.get(_key(self._base + sequence), b"", db=self._damaged))

    def first_sequence(self) -> int:
        """Return the lowest sequence that is still in the spool, or the next one to be given."""
        with self._env.begin() as txn:
            return self._first_number(txn) - self._base

    def removable(self, forwarded: int) -> bool:
        """Tell whether rows up to `forwarded` are still here."""
        return self._is_open and self.first_sequence() <= min(forwarded, self.last_sequence)

    def close(self) -> None:
        """Let another process have the spool; nothing in it changes."""
        self._env.close()
        self._lock.close()

    def _remove(self, txn: lmdb.Transaction, until: int) -> None:
        cursor = txn.cursor(db=self._rows)
        last = _key(self._base + until)
        for _ in range(REMOVED_ROWS_MAX):
            if not cursor.first() or bytes(cursor.key()) > last:
                return
            cursor.delete()

    def _first_number(self, txn: lmdb.Transaction) -> int:
        cursor = txn.cursor(db=self._rows)
        if cursor.first():
            return int.from_bytes(cursor.key(), "big")
        return self._number(txn, _LAST_NUMBER) + 1

    def _number(self, txn: lmdb.Transaction, name: bytes) -> int:
        return int(txn.get(name, b"0", db=self._meta))

    def _measure(self, txn: lmdb.Transaction) -> None:
        stat = txn.stat(self._rows)
        pages = stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
        self.rows: int = stat["entries"]
        self.bytes: int = pages * self._page_bytes


def _map_size(bytes_max: int) -> int:
    # At the brim of the map even deletes fail, so inserts stop a margin before it.
    return max(bytes_max + MAP_MARGIN_BYTES, bytes_max * 10 // 9)


def _key(number: int) -> bytes:
    return number.to_bytes(8, "big")


@contextlib.contextmanager
def disk_faults() -> Iterator[None]:
    """Tell LMDB's errors as what they mean: Full, Broken, Panic or Corrupt."""
    try:
        yield
    except (lmdb.MapFullError, lmdb.DiskError) as error:
        raise Full(str(error)) from error
    except (
        lmdb.BadRslotError,
        lmdb.CorruptedError,
        lmdb.InvalidError,
        lmdb.PageNotFoundError,
        lmdb.VersionMismatchError,
    ) as error:
        raise Corrupt(f"the spool's file is damaged: {error}") from error
    except lmdb.PanicError as error:
        raise Panic(str(error)) from error
    except lmdb.Error as error:
        raise Broken(str(error)) from error
