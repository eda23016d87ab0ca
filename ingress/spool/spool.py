"""
A spool: callbacks on disk, numbered 1, 2, 3, … in one LMDB file that one process holds.

Numbers are given inside the write transaction and never twice, even after the spool was drained and
the process restarted. The file of a drained spool stays: it records how many callbacks the origin
has had.
"""

import contextlib
from pathlib import Path
from typing import BinaryIO

from ingress.spool.disk import Corrupt, DiskFailed, ReopenRequired, disk_faults
from ingress.spool.recent_rows import RecentRows
from ingress.spool.row import CHECKSUM_BYTES, DamagedCallback, DamagedRow, Row, check_and_decode
from ingress.spool.spool_file import STATE, SpoolFile, open_file
from ingress.spool.state import SpoolState, check_and_decode_state, strip_number_checksum
from ingress.spool.stored_rows import key, rows_from
from ingress.spool.writer import SpoolWriter
from schemas.outgoing_record import OutgoingRecord
from schemas.process import sync_directory

# Pages that were read or written stay mapped and count as memory of this process until the file is
# reopened. That is due after this many bytes of rows.
MAPPED_BYTES_MAX = 32 << 20


class Spool:
    """
    One open spool. Call its methods from one thread; those of `writer` may run in another one.

    The two threads share `state` and `writer.aborted_origin`, values that the writer replaces as a
    whole.
    """

    def __init__(self, path: Path, lock: BinaryIO, bytes_max: int) -> None:
        self.name = path.stem
        self._path = path
        self.bytes_max = bytes_max
        self._lock = lock
        file = open_file(path, bytes_max)
        try:
            self.writer = SpoolWriter(path, file, bytes_max)
            # Durable, also the directory entry: from here on the origin exists.
            sync_directory(path.parent)
        except BaseException:
            file.env.close()
            raise
        self._file: SpoolFile | None = file
        # The newest rows, and the origin and quarantine for which they are valid.
        self._recent = RecentRows()
        self._recent_valid_for = (self.state.origin, self.state.quarantined_numbers)
        self._mapped_bytes = 0

    @property
    def state(self) -> SpoolState:
        """The state after the last commit that is known to have succeeded."""
        return self.writer.state

    @property
    def origin(self) -> str:
        """The name under which the rows are sent to Kafka."""
        return self.state.origin

    @property
    def last_sequence(self) -> int:
        """The highest sequence that was ever given."""
        return self.state.last_sequence

    @property
    def row_count(self) -> int:
        """The number of rows in the file that are not in quarantine; see `SpoolState`."""
        return self.state.row_count

    def should_reopen(self) -> bool:
        """Return whether the file should be reopened, to release mapped memory."""
        return self._mapped_bytes > MAPPED_BYTES_MAX

    @property
    def is_closed(self) -> bool:
        """True after a `reopen` that failed."""
        return self._file is None

    def reopen(self) -> None:
        """
        Open the file again, after ReopenRequired or to release mapped memory; no write may run.

        Raises:
            LimitReached, DiskFailed: the file cannot be opened now. Until it is, calls raise
                ReopenRequired.
            Corrupt: the file is damaged, removed, or replaced by an older copy, in which numbers
                would be given twice, and rows with the numbers of forwarded rows would be removed.
        """
        if self._file:
            self._file.env.close()
            self._file = None
            self.writer.use(None)
        with disk_faults():
            self._file = self._open_same_file()
        self.writer.use(self._file)
        self._mapped_bytes = 0

    def _open_same_file(self) -> SpoolFile:
        try:
            size = self._path.stat().st_size
        except FileNotFoundError:
            size = 0
        except OSError as error:
            raise DiskFailed(f"the file of spool {self.name} cannot be opened: {error}") from error
        # LMDB would create a new file.
        if not size:
            raise Corrupt(f"the file {self._path} was removed, or emptied, while it was in use")
        file = open_file(self._path, self.bytes_max)
        try:
            with file.env.begin() as txn:
                file_state = check_and_decode_state(
                    bytes(txn.get(STATE, b"", db=file.meta)), self.name
                )
        except BaseException:
            file.env.close()
            raise
        if file_state.last_number < self.state.last_number:
            file.env.close()
            raise Corrupt(
                f"the file {self._path} was replaced by an older copy while it was in use: it ends "
                f"at row {file_state.last_number}, not at {self.state.last_number}"
            )
        return file

    def close(self) -> None:
        """Close the file and release its lock, so that another process may hold the spool."""
        if self._file:
            self._file.env.close()
        self._lock.close()

    def rows_after(self, sequence: int, *, rows_max: int, bytes_max: int) -> list[Row]:
        """
        Return the rows after `sequence`, in order, at least one if there is one.

        The list ends before a damaged row; rows in quarantine are left out. No row after `sequence`
        may have been forwarded, because the writer removes forwarded rows at any time.

        Raises:
            DamagedCallback: the first of these rows is not what was stored.
            DiskFailed: the file cannot be read now.
            Corrupt: the file is not a spool any more.
        """
        state = self.state
        recent = self._recent_in(state).rows_after(sequence, rows_max=rows_max, bytes_max=bytes_max)
        # The rows of an uncertain commit are in the file alone.
        if recent or (recent is not None and sequence >= state.last_sequence):
            return recent
        rows: list[Row] = []
        read_bytes = 0
        file = self._opened()
        with disk_faults(), file.env.begin() as txn:
            cursor = txn.cursor(db=file.blocks)
            try:
                for number, stored in rows_from(
                    cursor, state, self.name, state.base + sequence + 1
                ):
                    if len(rows) >= rows_max or read_bytes >= bytes_max:
                        break
                    received_at_ms, record = check_and_decode(stored, self.name, number)
                    rows.append(Row(number - state.base, received_at_ms, record))
                    read_bytes += len(stored)
            except DamagedRow as damaged:
                if not rows:
                    raise DamagedCallback(damaged, state.base) from damaged
        self._mapped_bytes += read_bytes
        return rows

    def remember(self, rows: list[tuple[int, OutgoingRecord]], stored_bytes: int) -> None:
        """Keep the last commit's rows in memory, given as time received and record."""
        state = self.state
        self._recent_in(state).add(state.last_sequence - len(rows) + 1, rows)
        self._mapped_bytes += stored_bytes

    def forget_rows_in_memory(self, sequence: int) -> None:
        """Drop rows up to `sequence` from memory."""
        self._recent.forget(sequence)

    def _recent_in(self, state: SpoolState) -> RecentRows:
        if self._recent_valid_for != (state.origin, state.quarantined_numbers):
            self._recent.clear()
            self._recent_valid_for = (state.origin, state.quarantined_numbers)
        return self._recent

    def fingerprint(self, sequence: int) -> str:
        """Return the fingerprint of the row at `sequence`, "" if it is damaged or not here."""
        state = self.state
        row_number = state.base + sequence
        file = self._opened()
        with disk_faults(), file.env.begin() as txn, contextlib.suppress(DamagedRow):
            cursor = txn.cursor(db=file.blocks)
            for number, stored in rows_from(cursor, state, self.name, row_number):
                check_and_decode(stored, self.name, number)
                return stored[:CHECKSUM_BYTES].hex() if number == row_number else ""
        return ""

    def quarantined_bytes(self, sequence: int) -> bytes:
        """Return the remains of a row in quarantine, b"" if there are none."""
        number = self.state.base + sequence
        file = self._opened()
        with disk_faults(), file.env.begin() as txn:
            stored = txn.get(key(number), db=file.quarantine)
        return b"" if stored is None else strip_number_checksum(bytes(stored), self.name, number)

    def _opened(self) -> SpoolFile:
        if self._file is None:
            raise ReopenRequired(f"the file of spool {self.name} is not open")
        return self._file
