"""
The rows in a spool's file, as one transaction sees them.

Every number between the first and the last of the state is a row, or in quarantine, or damaged;
even if a block is missing or has a wrong key. So no row is skipped in silence.
"""

from collections.abc import Iterator
from itertools import islice

import lmdb

from ingress.spool.block import BLOCK_ROWS_MAX, unpack
from ingress.spool.row import DamagedRow
from ingress.spool.state import SpoolState

KEY_BYTES = 8


def key(number: int) -> bytes:
    """Return the key of the block that begins at row `number`, or of that row in quarantine."""
    return number.to_bytes(KEY_BYTES, "big")


def rows_from(
    cursor: lmdb.Cursor, state: SpoolState, spool_name: str, next_number: int
) -> Iterator[tuple[int, bytes]]:
    """
    Yield number and bytes (with checksum) of the rows from `next_number` on, without those in
    quarantine.

    Raises:
        DamagedRow: the next row cannot be found.
    """
    next_number = max(next_number, state.first_number)
    has_block = _move_to_block(cursor, next_number)
    while next_number <= state.last_number:
        first = _number(cursor) if has_block else state.last_number + 1
        if first > next_number:
            _check_quarantined(
                range(next_number, first), state, f"no block of spool {spool_name} has row"
            )
            next_number = first
            continue
        block = bytes(cursor.value())
        has_block = cursor.next()
        next_first = _number(cursor) if has_block else state.last_number + 1
        try:
            rows = unpack(block, spool_name, first)
        except DamagedRow as damaged:
            _check_quarantined(range(next_number, next_first), state, f"{damaged}: it has row")
            next_number = max(next_number, next_first)
            continue
        for number in range(next_number, min(first + len(rows), state.last_number + 1)):
            if number not in state.quarantined_numbers:
                yield number, rows[number - first]
        next_number = max(next_number, first + len(rows))


def remains_from(
    cursor: lmdb.Cursor, state: SpoolState, spool_name: str, number: int
) -> Iterator[tuple[int, bytes]]:
    """
    Yield number and remains of the row `number`, and of the later rows that are lost with it.

    If its block is damaged, the first row gets the whole block and the others get nothing. They are
    at most as many rows as a block may have.
    """
    has_block = _move_to_block(cursor, number)
    first = _number(cursor) if has_block else state.last_number + 1
    damaged_block = b""
    next_first = first
    if first <= number:
        block = bytes(cursor.value())
        next_first = _number(cursor) if cursor.next() else state.last_number + 1
        try:
            rows = unpack(block, spool_name, first)
        except DamagedRow:
            damaged_block = block
        else:
            if number < first + len(rows):
                yield number, rows[number - first]
                return
    numbers = range(number, min(next_first, state.last_number + 1))
    for lost_number in islice(numbers, BLOCK_ROWS_MAX):
        yield lost_number, damaged_block if lost_number == number else b""


def _move_to_block(cursor: lmdb.Cursor, number: int) -> bool:
    """Move the cursor to the block of row `number`, else to the first; False if there is none."""
    if not cursor.set_range(key(number)):
        return cursor.last()
    return _number(cursor) == number or cursor.prev() or cursor.first()


def _number(cursor: lmdb.Cursor) -> int:
    return int.from_bytes(cursor.key(), "big")


def _check_quarantined(numbers: range, state: SpoolState, reason: str) -> None:
    """Raise DamagedRow for the first of the numbers that is not in quarantine."""
    for number in range(numbers.start, min(numbers.stop, state.last_number + 1)):
        if number not in state.quarantined_numbers:
            raise DamagedRow(f"{reason} {number}", number)
