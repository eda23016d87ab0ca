"""
The spool: callbacks on disk, numbered 1, 2, 3, … in one LMDB file that one process holds.

Its name is its first origin. Numbers are given inside the write transaction and never twice, also
when the spool has been empty and the process restarted. The file stays when it is drained: it is
the origin's record of how many callbacks there were.
"""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import BinaryIO, TypeVar

from ingress.spool.disk import Broken, Corrupt, Full, Panic, disk_faults
from ingress.spool.draft import Draft, Index, read_state
from ingress.spool.recent import Recent
from ingress.spool.row import CHECKSUM_BYTES, Damaged, Row, unseal
from ingress.spool.spool_file import STATE, SpoolFile, open_file, rewrite_meta_pages
from ingress.spool.state import State, unseal_remains, unseal_state
from ingress.spool.stored_rows import key, rows_from
from schemas.process import sync_directory
from schemas.record import OutgoingRecord

# Pages that were read or written stay mapped, and count as this process's memory, until the file is
# opened again; that is due after so many bytes of rows.
MAPPED_BYTES_MAX = 32 << 20

Changed = TypeVar("Changed")


class Spool:
    """
    One open spool.

    `commit`, `quarantine` and `start_new_origin` write and belong to one thread, everything else to
    one other. What they share is `state`, a value that the writer replaces as a whole. `reopen` and
    `close` are for the reader's thread while no write runs.
    """

    def __init__(self, path: Path, lock: BinaryIO, bytes_max: int) -> None:
        self.name = path.stem
        self._path = path
        self._bytes_max = bytes_max
        self._lock = lock
        self._file: SpoolFile | None = None
        file = open_file(path, bytes_max)
        try:
            with file.env.begin() as txn:
                self._state, index = read_state(txn, file, self.name)
            # Durable, also the directory entry: from here on the origin exists.
            sync_directory(path.parent)
        except BaseException:
            file.env.close()
            raise
        self._file = file
        # The writer's: the index, None while only the file knows what is in it, and the opening of
        # the file whose meta pages are known to be on the disk.
        self._index: Index | None = index
        self._verified_opening: SpoolFile | None = None
        # The reader's: the youngest rows, their origin and the rows that they lack, and the size of
        # the map.
        self._recent = Recent()
        self._recent_of = (self._state.origin, self._state.quarantined)
        self._mapped = 0

    @property
    def state(self) -> State:
        """The state after the last commit that is known to have succeeded."""
        return self._state

    @property
    def origin(self) -> str:
        """The name under which the rows are numbered."""
        return self._state.origin

    @property
    def last_sequence(self) -> int:
        """The highest sequence that was ever given."""
        return self._state.last_sequence

    @property
    def rows(self) -> int:
        """The number of rows that wait."""
        return self._state.rows

    @property
    def used_bytes(self) -> int:
        """LMDB pages in use by rows and by the quarantine, in bytes."""
        return self._state.used_bytes

    def first_sequence(self) -> int:
        """Return the lowest sequence that is still in the spool, or the next one to be given."""
        return self._state.first_sequence

    def damaged(self) -> list[int]:
        """Return the sequences whose rows are in quarantine, in order."""
        return self._state.damaged

    def removable(self, forwarded: int) -> bool:
        """Return whether the spool still has a block of which all rows are forwarded."""
        return self._state.removable(forwarded)

    def is_much_mapped(self) -> bool:
        """Return whether the file should be opened again, to give its pages back."""
        return self._mapped > MAPPED_BYTES_MAX

    def reopen(self) -> None:
        """
        Open the file again, after a Panic or to give its pages back.

        Raises:
            Full, Broken: the file cannot be opened now; all other calls raise Panic until it can.
            Corrupt: the same, or the file was removed, or replaced by an older copy: numbers would
                be given twice, and rows with the numbers of forwarded rows would be removed.
        """
        if self._file:
            self._file.env.close()
            self._file = None
        with disk_faults():
            self._file = self._open_same_file()
        self._mapped = 0

    def _open_same_file(self) -> SpoolFile:
        try:
            size = self._path.stat().st_size
        except FileNotFoundError:
            size = 0
        except OSError as error:
            raise Broken(f"the file of spool {self.name} cannot be opened: {error}") from error
        # LMDB would make a new file.
        if not size:
            raise Corrupt(f"the file {self._path} was removed, or emptied, while it was in use")
        file = open_file(self._path, self._bytes_max)
        try:
            with file.env.begin() as txn:
                kept = unseal_state(bytes(txn.get(STATE, b"", db=file.meta)), self.name)
        except BaseException:
            file.env.close()
            raise
        if kept.last_number < self._state.last_number:
            file.env.close()
            raise Corrupt(
                f"the file {self._path} was replaced by an older copy while it was in use: it ends "
                f"at row {kept.last_number}, not at {self._state.last_number}"
            )
        return file

    def close(self) -> None:
        """Let another process have the spool; nothing in it changes."""
        if self._file:
            self._file.env.close()
        self._lock.close()

    def commit(self, contents: Sequence[bytes], forwarded: int, *, probe: bool = False) -> None:
        """
        Store `contents` after the last sequence and let rows up to `forwarded` go.

        On return they are on disk (fsync) and `last_sequence` is the last one's. Rows leave by
        blocks; `removable` returns whether more could. A `probe` writes in any case, so that its
        success means that the disk works.

        Raises:
            Full: a bound was reached and nothing was stored, or the disk is full.
            Broken: the disk failed. A Panic if nothing more can be stored before `reopen`.
            Corrupt: the file is not a spool any more.

        After a failure of the disk the rows may or may not have been stored; they have numbers of
        their own in any case.
        """
        origin = self._state.origin

        def change(draft: Draft) -> bool:
            # Else `forwarded` is of an earlier origin: a commit that seemed to fail has ended it.
            if draft.before.origin == origin:
                draft.let_go(forwarded)
            if probe:
                draft.probe()
            return not contents or draft.append(contents, self._bytes_max)

        if not self._write(change):
            raise Full(f"the spool holds {self._state.used_bytes} of {self._bytes_max} bytes")

    def quarantine(self, sequence: int) -> None:
        """
        Move the row at `sequence` into quarantine, where its bytes are kept.

        If its block is damaged, the block's later rows go with it, and this row keeps the remains.

        Raises:
            Full, Broken, Corrupt: the disk failed; `damaged` says later whether it was done.
        """
        self._write(lambda draft: draft.quarantine(sequence))

    def start_new_origin(self) -> None:
        """
        Become another origin, whose sequences 1, 2, 3, … are the present rows.

        For a spool that was put back to an older state. Kafka may have some of its rows already;
        under a new origin they are repeated, where under the old one others would be lost.

        Raises:
            Full, Broken, Corrupt: the disk failed; `origin` says later whether it was done.
        """
        self._write(Draft.start_new_origin)

    def _write(self, change: Callable[[Draft], Changed]) -> Changed:
        """Make a change in one transaction; the state is replaced once it is committed."""
        file = self._opened()
        # Until the commit is known to have succeeded, only the file knows what is in it.
        index, self._index = self._index, None
        with disk_faults():
            if self._verified_opening is not file:
                rewrite_meta_pages(self._path, file.page_bytes)
                self._verified_opening = file
            with file.env.begin(write=True) as txn:
                before = self._state
                if index is None:
                    before, index = read_state(txn, file, self.name)
                draft = Draft(txn, file, self.name, before, index)
                changed = change(draft)
                state = draft.finished()
        self._state, self._index = state, index
        return changed

    def _opened(self) -> SpoolFile:
        if self._file is None:
            raise Panic(f"the file of spool {self.name} is not open")
        return self._file

    def since(self, sequence: int, *, rows_max: int, bytes_max: int) -> list[Row]:
        """
        Return the rows after `sequence`, in order, at least one if there is one.

        They end before a damaged row; rows in quarantine are passed over. `sequence` is at least
        what was let go, for the writer may remove those rows at any time.

        Raises:
            Damaged: the first of them is not what was stored.
            Broken: the file cannot be read now.
            Corrupt: the file is not a spool any more.
        """
        state = self._state
        recent = self._recent_in(state).since(sequence, rows_max=rows_max, bytes_max=bytes_max)
        # Rows of a commit that seemed to fail are in the file alone.
        if recent or (recent is not None and sequence >= state.last_sequence):
            return recent
        rows: list[Row] = []
        taken = 0
        file = self._opened()
        with disk_faults(), file.env.begin() as txn:
            cursor = txn.cursor(db=file.blocks)
            try:
                for number, stored in rows_from(
                    cursor, state, self.name, state.base + sequence + 1
                ):
                    if len(rows) >= rows_max or taken >= bytes_max:
                        break
                    received_at_ms, record = unseal(stored, self.name, number)
                    rows.append(Row(number - state.base, received_at_ms, record))
                    taken += len(stored)
            except Damaged as damaged:
                if not rows:
                    damaged.sequence = damaged.number - state.base
                    raise
        self._mapped += taken
        return rows

    def remember(self, stored: list[tuple[int, OutgoingRecord]], stored_bytes: int) -> None:
        """Keep what the last commit stored, by time of receipt and record, for `since`."""
        state = self._state
        self._recent_in(state).add(state.last_sequence - len(stored) + 1, stored)
        self._mapped += stored_bytes

    def forget(self, sequence: int) -> None:
        """Keep rows up to `sequence` no longer in memory."""
        self._recent.forget(sequence)

    def _recent_in(self, state: State) -> Recent:
        if self._recent_of != (state.origin, state.quarantined):
            self._recent.clear()
            self._recent_of = (state.origin, state.quarantined)
        return self._recent

    def fingerprint(self, sequence: int) -> str:
        """Return the fingerprint of the row at `sequence`, "" if it is damaged or not here."""
        state = self._state
        wanted = state.base + sequence
        file = self._opened()
        with disk_faults(), file.env.begin() as txn, contextlib.suppress(Damaged):
            cursor = txn.cursor(db=file.blocks)
            for number, stored in rows_from(cursor, state, self.name, wanted):
                unseal(stored, self.name, number)
                return stored[:CHECKSUM_BYTES].hex() if number == wanted else ""
        return ""

    def damaged_row(self, sequence: int) -> bytes:
        """Return what is left of a row in quarantine, b"" if there is nothing."""
        number = self._state.base + sequence
        file = self._opened()
        with disk_faults(), file.env.begin() as txn:
            stored = txn.get(key(number), db=file.damaged)
        return b"" if stored is None else unseal_remains(bytes(stored), self.name, number)
