"""
The youngest rows of a spool, as they were stored: a forwarder that keeps up reads none from disk.

A contiguous run that ends with the last row. It is bounded: what is older is read from the file.
"""

from collections import deque
from collections.abc import Iterable
from itertools import islice

from ingress.spool.row import Row
from schemas.record import OutgoingRecord

ROWS_MAX = 4000
BYTES_MAX = 8 << 20


class Recent:
    """Holds at most ROWS_MAX rows and BYTES_MAX bytes of their values."""

    def __init__(self) -> None:
        self._rows: deque[Row] = deque()
        self._bytes = 0

    def add(self, first_sequence: int, stored: Iterable[tuple[int, OutgoingRecord]]) -> None:
        """Add rows that are on disk, by time of receipt and record."""
        rows = self._rows
        if rows and rows[-1].sequence + 1 != first_sequence:
            # Some were stored by a commit that said that it failed.
            self.clear()
        for sequence, (received_at_ms, record) in enumerate(stored, first_sequence):
            rows.append(Row(sequence, received_at_ms, record))
            self._bytes += len(record.value)
        while len(rows) > ROWS_MAX or self._bytes > BYTES_MAX:
            self._bytes -= len(rows.popleft().record.value)

    def since(self, sequence: int, *, rows_max: int, bytes_max: int) -> list[Row] | None:
        """Return the rows behind `sequence` as Spool.since does, None if only the file has them."""
        rows = self._rows
        if not rows or rows[0].sequence > sequence + 1:
            return None
        found: list[Row] = []
        taken = 0
        start = sequence + 1 - rows[0].sequence
        for row in islice(rows, start, start + rows_max):
            if taken >= bytes_max:
                break
            found.append(row)
            taken += len(row.record.value)
        return found

    def forget(self, until: int) -> None:
        """Drop rows up to sequence `until`."""
        rows = self._rows
        while rows and rows[0].sequence <= until:
            self._bytes -= len(rows.popleft().record.value)

    def clear(self) -> None:
        """Drop all."""
        self._rows.clear()
        self._bytes = 0
