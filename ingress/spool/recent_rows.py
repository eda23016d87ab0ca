"""
The newest rows of a spool in memory: a forwarder that keeps up reads no row from disk.

They are a contiguous run that ends with the last row; after an uncertain commit it may end earlier.
It is bounded: older rows are read from the file.
"""

from collections import deque
from collections.abc import Iterable
from itertools import islice

from ingress.spool.row import Row
from schemas.outgoing_record import OutgoingRecord

RECENT_ROWS_MAX = 4000
RECENT_BYTES_MAX = 8 << 20


class RecentRows:
    """Holds at most RECENT_ROWS_MAX rows and RECENT_BYTES_MAX bytes of their values."""

    def __init__(self) -> None:
        self._rows: deque[Row] = deque()
        self._bytes = 0

    def add(self, first_sequence: int, new_rows: Iterable[tuple[int, OutgoingRecord]]) -> None:
        """Add rows that are on disk, each given as its time received and its record."""
        rows = self._rows
        if rows and rows[-1].sequence + 1 != first_sequence:
            # An uncertain commit has stored the rows in between.
            self.clear()
        for sequence, (received_at_ms, record) in enumerate(new_rows, first_sequence):
            rows.append(Row(sequence, received_at_ms, record))
            self._bytes += len(record.value)
        while len(rows) > RECENT_ROWS_MAX or self._bytes > RECENT_BYTES_MAX:
            self._bytes -= len(rows.popleft().record.value)

    def rows_after(self, sequence: int, *, rows_max: int, bytes_max: int) -> list[Row] | None:
        """Return the same rows as Spool.rows_after, None if the first one is not here."""
        rows = self._rows
        if not rows or rows[0].sequence > sequence + 1:
            return None
        next_rows: list[Row] = []
        read_bytes = 0
        start = sequence + 1 - rows[0].sequence
        for row in islice(rows, start, start + rows_max):
            if read_bytes >= bytes_max:
                break
            next_rows.append(row)
            read_bytes += len(row.record.value)
        return next_rows

    def forget(self, sequence: int) -> None:
        """Drop rows up to `sequence`."""
        rows = self._rows
        while rows and rows[0].sequence <= sequence:
            self._bytes -= len(rows.popleft().record.value)

    def clear(self) -> None:
        """Drop all rows."""
        self._rows.clear()
        self._bytes = 0
