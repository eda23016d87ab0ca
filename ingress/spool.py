"""
The spool: callbacks on disk, numbered 1, 2, 3, … in one LMDB file that one process holds.

Its name is its first origin. Sequences are given inside the write transaction and never twice, also
when the spool has been empty and the process restarted. The file stays when it is drained: it is
the origin's record of how many callbacks there were.
"""

import contextlib
import secrets
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import lmdb

from ingress.block import pack, split, unpack
from ingress.disk import Full, Panic, disk_faults
from ingress.recent import Recent
from ingress.row import CHECKSUM_BYTES, Damaged, Row, unseal
from schemas.process import sync_directory
from schemas.record import Record

# Deleting needs free pages too: what one transaction removes is bounded, and inserts stop well
# before the map is full (docs/decisions/0003-spool.md).
REMOVED_BLOCKS_MAX = 50
MAP_MARGIN_BYTES = 64 << 20
# Pages that were read or written stay mapped, and count as this process's memory, until the file is
# opened again; that is due after so many bytes of rows.
MAPPED_BYTES_MAX = 32 << 20
# In the meta database. Rows keep their number in this file for ever; an origin's sequences count
# from `base`, which is 0 but for a spool that began anew.
_LAST_NUMBER = b"last_number"
_BASE = b"base"
_ORIGIN = b"origin"
_PROBE = b"probe"


class Spool:
    """
    One open spool.

    `commit`, `begin_anew` and `quarantine` belong to one thread, all that reads to one other;
    `reopen` needs both at rest. What both look at (`last_sequence`, `rows`, `bytes`,
    `_first_block`, `_quarantined`, `_recent`) is replaced as a whole, never changed.
    """

    def __init__(self, path: Path, lock: BinaryIO, bytes_max: int) -> None:
        self.name = path.stem
        self._path = path
        self._bytes_max = bytes_max
        self._lock = lock
        self._recent = Recent()
        self._index_is_right = False
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
        # By the number of its first row, each block of rows; by number, each row in quarantine.
        self._blocks = self._env.open_db(b"blocks")
        self._meta = self._env.open_db(b"meta")
        self._damaged = self._env.open_db(b"damaged")
        self._page_bytes = self._env.stat()["psize"]
        self._mapped = 0
        with self._env.begin() as txn:
            self.origin = bytes(txn.get(_ORIGIN, self.name.encode(), db=self._meta)).decode()
            self._base = self._meta_number(txn, _BASE)
            self._quarantined = frozenset(self._damaged_numbers(txn))
            if not self._index_is_right:  # reading it maps most of the file
                self._read_index(txn)
            self._measure(txn)
        self.last_sequence = self._last_number - self._base
        self._is_open = True

    def _read_index(self, txn: lmdb.Transaction) -> None:
        # In memory, because each of LMDB's calls hands Python's lock to the event loop and back.
        self._last_number = self._meta_number(txn, _LAST_NUMBER)
        keys = txn.cursor(db=self._blocks).iternext(values=False)
        self._firsts = array("Q", (int.from_bytes(key, "big") for key in keys))
        self._gone = 0
        self._index_is_right = True
        self._note_first_block()

    def _note_first_block(self) -> None:
        # What the reader's thread looks at, in one piece.
        firsts, at = self._firsts, self._gone
        if at == len(firsts):
            self._first_block = (self._last_number + 1, 0)
        else:
            last = firsts[at + 1] - 1 if at + 1 < len(firsts) else self._last_number
            self._first_block = (firsts[at], last)

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

        On return they are on disk (fsync) and `last_sequence` is the last one's. Rows leave by
        blocks, at most REMOVED_BLOCKS_MAX of them; `removable` tells whether more could. A `probe`
        writes in any case, so that its success means that the disk works.

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
            if not self._index_is_right:
                self._read_index(txn)
            # Until this commit is known to have succeeded, only the disk knows.
            self._index_is_right = False
            self._remove(txn, self._passed(self._base + forwarded))
            if self.bytes + incoming > self._bytes_max:
                self._measure(txn)  # what has just left makes room
            full = bool(contents) and self.bytes + incoming > self._bytes_max
            if contents and not full:
                self._append(txn, contents)
            if probe:
                txn.put(_PROBE, secrets.token_bytes(8), db=self._meta)
            self._measure(txn)
        self._index_is_right = True
        self._note_first_block()
        self.last_sequence = self._last_number - self._base
        if full:
            raise Full(f"the spool holds {self.bytes} of {self._bytes_max} bytes")

    def _append(self, txn: lmdb.Transaction, contents: Sequence[bytes]) -> None:
        for part in split(contents):
            first = self._last_number + 1
            block = pack(part, self.name, first)
            txn.put(_key(first), block, db=self._blocks, append=True)
            self._last_number += len(part)
            self._firsts.append(first)
        txn.put(_LAST_NUMBER, b"%d" % self._last_number, db=self._meta)

    def _remove(self, txn: lmdb.Transaction, until: int) -> None:
        self._note_first_block()
        for _ in range(REMOVED_BLOCKS_MAX):
            first, last = self._first_block
            if not 0 < last <= until:
                break
            txn.delete(_key(first), db=self._blocks)
            self._gone += 1
            self._note_first_block()
        if 2 * self._gone > len(self._firsts):
            del self._firsts[: self._gone]
            self._gone = 0

    def since(self, sequence: int, *, rows_max: int, bytes_max: int) -> list[Row]:
        """
        Return the rows behind `sequence`, in order, at least one if there is one.

        They end before a damaged row; rows in quarantine are passed over.

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
            try:
                for number, stored in self._stored(txn, self._base + sequence + 1):
                    if len(rows) >= rows_max or taken >= bytes_max:
                        break
                    received_at_ms, record = unseal(stored, self.name, number)
                    rows.append(Row(number - self._base, received_at_ms, record))
                    taken += len(stored)
            except Damaged as damaged:
                if not rows:
                    damaged.sequence = damaged.number - self._base
                    raise
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
        wanted = self._base + sequence
        with disk_faults(), self._env.begin() as txn, contextlib.suppress(Damaged):
            for number, stored in self._stored(txn, wanted):
                return stored[:CHECKSUM_BYTES].hex() if number == wanted else ""
        return ""

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
            base, last = self._first_number() - 1, self._last_number
            txn.put(_BASE, b"%d" % base, db=self._meta)
            txn.put(_ORIGIN, origin.encode(), db=self._meta)
        # Another one, not an emptied one: the reader's thread may be reading it.
        self._recent = Recent()
        self.origin, self._base, self.last_sequence = origin, base, last - base

    def quarantine(self, sequence: int) -> None:
        """
        Take the row at `sequence` out of the way of those behind it; its bytes are kept.

        Where its block is damaged, all rows of the block go, and the first has what is left.

        Raises:
            Full, Broken, Corrupt: the disk failed; the row stands where it was.
        """
        with disk_faults(), self._env.begin(write=True) as txn:
            for number, left in self._remains(txn, self._base + sequence):
                txn.put(_key(number), left, db=self._damaged)
            self._quarantined = frozenset(self._damaged_numbers(txn))
            self._measure(txn)
        self._recent = Recent()

    def damaged(self) -> list[int]:
        """Return the sequences whose rows are in quarantine, in order."""
        return [number - self._base for number in sorted(self._quarantined) if number > self._base]

    def damaged_row(self, sequence: int) -> bytes:
        """Return what is left of a row in quarantine, b"" if there is nothing."""
        with disk_faults(), self._env.begin() as txn:
            return bytes(txn.get(_key(self._base + sequence), b"", db=self._damaged))

    def first_sequence(self) -> int:
        """Return the lowest sequence that is still in the spool, or the next one to be given."""
        return self._first_number() - self._base

    def removable(self, forwarded: int) -> bool:
        """Tell whether a block of which all rows are forwarded is still here."""
        return 0 < self._first_block[1] <= self._passed(self._base + forwarded)

    def close(self) -> None:
        """Let another process have the spool; nothing in it changes."""
        self._env.close()
        self._lock.close()

    def _stored(self, txn: lmdb.Transaction, wanted: int) -> Iterator[tuple[int, bytes]]:
        """Yield number and sealed bytes of the rows from `wanted` on, less those in quarantine."""
        cursor = txn.cursor(db=self._blocks)
        found = _at(cursor, wanted)
        while found:
            first, block = int.from_bytes(cursor.key(), "big"), bytes(cursor.value())
            found = cursor.next()
            try:
                rows = unpack(block, self.name, first)
            except Damaged as damaged:
                behind = int.from_bytes(cursor.key(), "big") if found else self._last_number + 1
                wanting = set(range(max(first, wanted), behind)) - self._quarantined
                if wanting:
                    raise Damaged(str(damaged), min(wanting)) from None
                continue
            for number, stored in enumerate(rows, first):
                if number >= wanted and number not in self._quarantined:
                    yield number, stored

    def _remains(self, txn: lmdb.Transaction, number: int) -> Iterator[tuple[int, bytes]]:
        """Yield what is to be put into quarantine for the damaged row `number`."""
        cursor = txn.cursor(db=self._blocks)
        if not _at(cursor, number):
            return
        first, stored = int.from_bytes(cursor.key(), "big"), bytes(cursor.value())
        try:
            yield number, unpack(stored, self.name, first)[number - first]
        except (Damaged, IndexError):
            yield first, stored
            behind = int.from_bytes(cursor.key(), "big") if cursor.next() else self._last_number + 1
            for other in range(first + 1, behind):
                yield other, b""

    def _passed(self, number: int) -> int:
        """Return the last number up to which all rows are forwarded or in quarantine."""
        while number + 1 in self._quarantined:
            number += 1
        return number

    def _first_number(self) -> int:
        return self._first_block[0]

    def _damaged_numbers(self, txn: lmdb.Transaction) -> Iterator[int]:
        for key in txn.cursor(db=self._damaged).iternext(values=False):
            yield int.from_bytes(key, "big")

    def _meta_number(self, txn: lmdb.Transaction, name: bytes) -> int:
        return int(txn.get(name, b"0", db=self._meta))

    def _measure(self, txn: lmdb.Transaction) -> None:
        stat = txn.stat(self._blocks)
        pages = stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
        first = self._first_number()
        waiting = self._last_number + 1 - first
        # Rows of the first block that are forwarded already count until it goes.
        self.rows: int = waiting - sum(first <= number for number in self._quarantined)
        self.bytes: int = pages * self._page_bytes


def _map_size(bytes_max: int) -> int:
    # At the brim of the map even deletes fail, so inserts stop a margin before it.
    return max(bytes_max + MAP_MARGIN_BYTES, bytes_max * 10 // 9)


def _key(number: int) -> bytes:
    return number.to_bytes(8, "big")


def _at(cursor: lmdb.Cursor, number: int) -> bool:
    """Put the cursor on the block with row `number`, or one beside it; False if there is none."""
    if not cursor.set_range(_key(number)):
        return cursor.last()
    if bytes(cursor.key()) == _key(number):
        return True
    return cursor.prev() or cursor.first()
