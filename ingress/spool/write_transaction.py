"""
Read a spool's state and blocks from its file, and change them in one write transaction.

If the commit fails, the state and the index of blocks are dropped, and the next transaction reads
both from the file.
"""

import secrets
from array import array
from collections.abc import Iterable, Sequence

import lmdb

from ingress.spool.block import pack, split_into_blocks
from ingress.spool.disk import Corrupt
from ingress.spool.hours import decode_hours, encode_hours, with_rows
from ingress.spool.spool_file import (
    ABORTED_ORIGIN,
    HOURS,
    PROBE,
    STATE,
    SpoolFile,
)
from ingress.spool.state import (
    SpoolState,
    check_and_decode_state,
    covers_hours,
    encode_state,
    strip_number_checksum,
    with_number_checksum,
)
from ingress.spool.stored_rows import key, remains_from

# Deleting needs free pages, so one transaction removes a bounded number of blocks.
REMOVED_BLOCKS_MAX = 50


class BlockIndex:
    """
    The first number of every block, in order.

    It is kept in memory, because each call of LMDB passes Python's lock to the event loop and back.
    """

    def __init__(self, first_numbers: Iterable[int]) -> None:
        self._first_numbers = array("Q", first_numbers)
        # The number of dropped entries at the beginning.
        self._dropped_count = 0

    def first_block_range(self, last_number: int) -> tuple[int, int]:
        """
        Return the first and the last number of the first block.

        If there is no block, return (next number, 0).
        """
        numbers, index = self._first_numbers, self._dropped_count
        if index == len(numbers):
            return last_number + 1, 0
        return numbers[index], numbers[index + 1] - 1 if index + 1 < len(numbers) else last_number

    def last_block_first_number(self) -> int:
        """Return the first number of the last block, 0 if there is none."""
        return self._first_numbers[-1] if self._dropped_count < len(self._first_numbers) else 0

    def append(self, first_number: int) -> None:
        """Add a block, which begins at `first_number`, after the last."""
        self._first_numbers.append(first_number)

    def drop_first(self) -> None:
        """Drop the first block."""
        self._dropped_count += 1
        if 2 * self._dropped_count > len(self._first_numbers):
            del self._first_numbers[: self._dropped_count]
            self._dropped_count = 0


def read_state(
    txn: lmdb.Transaction, file: SpoolFile, spool_name: str
) -> tuple[SpoolState, BlockIndex]:
    """
    Return the state and the index of blocks in the file of the spool `spool_name`.

    Raises:
        Corrupt: the file contradicts itself; a number could be given twice, or a row be skipped.
    """
    stored_state = bytes(txn.get(STATE, b"", db=file.meta))
    state = check_and_decode_state(stored_state, spool_name)
    hours = bytes(txn.get(HOURS, b"", db=file.meta)) if covers_hours(stored_state) else b""
    keys = txn.cursor(db=file.blocks).iternext(values=False)
    index = BlockIndex(int.from_bytes(first, "big") for first in keys)
    if (first_number := index.last_block_first_number()) > state.last_number:
        raise Corrupt(
            f"a block of spool {spool_name} begins at row {first_number}, but the last row is "
            f"{state.last_number}"
        )
    quarantined_numbers = set()
    for key_bytes, stored in txn.cursor(db=file.quarantine):
        number = int.from_bytes(key_bytes, "big")
        strip_number_checksum(bytes(stored), spool_name, number)
        quarantined_numbers.add(number)
    return state._replace(
        first_block_last_number=index.first_block_range(state.last_number)[1],
        quarantined_numbers=frozenset(quarantined_numbers),
        used_bytes=_used_bytes(txn, file, has_quarantine=bool(quarantined_numbers)),
        hours=decode_hours(hours, spool_name),
    ), index


def _used_bytes(txn: lmdb.Transaction, file: SpoolFile, *, has_quarantine: bool) -> int:
    """Return the size of the pages that rows and quarantine use, as the transaction sees them."""
    pages = 0
    # An empty quarantine has no pages.
    for database in (file.blocks, file.quarantine)[: 1 + has_quarantine]:
        stat = txn.stat(database)
        pages += stat["branch_pages"] + stat["leaf_pages"] + stat["overflow_pages"]
    return pages * file.page_bytes


class WriteTransaction:
    """One write transaction of LMDB; its commit leads from the state `before` to another one."""

    def __init__(
        self,
        txn: lmdb.Transaction,
        file: SpoolFile,
        spool_name: str,
        before: SpoolState,
        index: BlockIndex,
    ) -> None:
        self.before = before
        self._txn = txn
        self._file = file
        self._spool_name = spool_name
        self._index = index
        self._origin, self._base = before.origin, before.base
        self._first_number, self._last_number = before.first_number, before.last_number
        self._quarantined_numbers = before.quarantined_numbers
        self._hours = before.hours

    def append(self, contents: Sequence[bytes], bytes_max: int) -> bool:
        """
        Store rows after the last one; if there is no room for all, store none and return False.

        Raises:
            Corrupt: a block with their numbers exists already.
        """
        incoming = sum(map(len, contents))
        # Count again only if there seems to be no room: rows that were just removed make some.
        if (
            self.before.used_bytes + incoming > bytes_max
            and self.used_bytes() + incoming > bytes_max
        ):
            return False
        self._hours = with_rows(self._hours, self._last_number + 1)
        for block_contents in split_into_blocks(contents):
            first = self._last_number + 1
            block = pack(block_contents, self._spool_name, first)
            if not self._txn.put(key(first), block, db=self._file.blocks, append=True):
                raise Corrupt(
                    f"spool {self._spool_name} has a block at or after its next row {first}"
                )
            self._index.append(first)
            self._last_number += len(block_contents)
        return True

    def remove_forwarded(self, forwarded_sequence: int) -> None:
        """Remove the first blocks, at most REMOVED_BLOCKS_MAX, whose rows are all forwarded."""
        last_removable_number = self.before.last_removable_number(forwarded_sequence)
        for _ in range(REMOVED_BLOCKS_MAX):
            first, last = self._index.first_block_range(self._last_number)
            if not 0 < last <= last_removable_number:
                break
            if not self._txn.delete(key(first), db=self._file.blocks):
                raise Corrupt(f"spool {self._spool_name} has no block that begins at row {first}")
            self._index.drop_first()
            self._first_number = last + 1

    def quarantine(self, sequence: int) -> None:
        """Move the remains of the row, and of the rows that are lost with it, into quarantine."""
        before = self.before
        number = before.base + sequence
        if (
            number in before.quarantined_numbers
            or not before.first_number <= number <= before.last_number
        ):
            return
        cursor = self._txn.cursor(db=self._file.blocks)
        moved_numbers = set()
        for lost_number, row_remains in remains_from(cursor, before, self._spool_name, number):
            if lost_number not in before.quarantined_numbers:
                stored = with_number_checksum(row_remains, self._spool_name, lost_number)
                self._txn.put(key(lost_number), stored, db=self._file.quarantine)
                moved_numbers.add(lost_number)
        self._quarantined_numbers = before.quarantined_numbers | moved_numbers

    def start_new_origin(self) -> None:
        """Make the current rows the sequences 1, 2, 3, … of a new origin."""
        self._origin, self._base = secrets.token_hex(8), self._first_number - 1

    def store_aborted_origin(self, origin: str) -> None:
        """Store that the last transaction of `origin` was aborted, "": remove the note."""
        self._txn.put(ABORTED_ORIGIN, origin.encode(), db=self._file.meta)

    def probe(self) -> None:
        """Write something, so that the commit proves that the disk works."""
        self._txn.put(PROBE, secrets.token_bytes(8), db=self._file.meta)

    def used_bytes(self) -> int:
        """Return the size of the pages that rows and quarantine use now."""
        return _used_bytes(self._txn, self._file, has_quarantine=bool(self._quarantined_numbers))

    def state(self) -> SpoolState:
        """Return the state of the file if the transaction is committed now."""
        return SpoolState(
            self._origin,
            self._base,
            self._first_number,
            self._last_number,
            self._index.first_block_range(self._last_number)[1],
            self._quarantined_numbers,
            self.used_bytes(),
            self._hours,
        )

    def write_state(self) -> SpoolState:
        """Write the state into the file and return it; change nothing after this call."""
        state = self.state()
        meta = self._file.meta
        if state[:4] != self.before[:4]:
            self._txn.put(STATE, encode_state(state, self._spool_name), db=meta)
            if not state.hours:
                # An older release, which notes no hours, may have stored rows meanwhile, so the
                # hours in the file are out of date. This state would make them count as valid.
                self._txn.delete(HOURS, db=meta)
        # `with_rows` returns the same hours if there is no new one; comparing 840 takes 20 us.
        if state.hours is not self.before.hours:
            self._txn.put(HOURS, encode_hours(state.hours, self._spool_name), db=meta)
        return state
