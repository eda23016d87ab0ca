"""
The write transactions of a spool.

A commit that fails is uncertain: its rows may be in the file all the same. So a failure leaves the
state as it was, and the next transaction reads the file (docs/decisions/0003-spool.md).
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from ingress.spool.disk import LimitReached, ReopenRequired, disk_faults
from ingress.spool.spool_file import ABORTED_ORIGIN, SpoolFile, rewrite_meta_pages
from ingress.spool.state import SpoolState
from ingress.spool.write_transaction import BlockIndex, WriteTransaction, read_state

Result = TypeVar("Result")


class SpoolWriter:
    """
    Writes to one spool, from one thread at a time.

    Other threads may read `state` and `aborted_origin`, which are replaced as a whole after a
    commit that succeeded, and nothing else. `use` is for the thread that opens the file, while no
    write runs.
    """

    def __init__(self, path: Path, file: SpoolFile, bytes_max: int) -> None:
        self._path = path
        self._bytes_max = bytes_max
        self._file: SpoolFile | None = file
        # The open file whose meta pages were rewritten, so that they are on the disk.
        self._rewritten_file: SpoolFile | None = None
        with file.env.begin() as txn:
            self.state: SpoolState
            # None while only the file knows its blocks.
            self._index: BlockIndex | None
            self.state, self._index = read_state(txn, file, path.stem)
            # The origin whose last transaction was aborted, "" if none is noted.
            self.aborted_origin = bytes(txn.get(ABORTED_ORIGIN, b"", db=file.meta)).decode()

    def use(self, file: SpoolFile | None) -> None:
        """Write to `file` from now on; None: it is not open, and writes raise ReopenRequired."""
        self._file = file

    def commit(
        self, contents: Sequence[bytes], forwarded_sequence: int, *, probe: bool = False
    ) -> None:
        """
        Store `contents` after the last row, and remove rows up to `forwarded_sequence`.

        On return both are on disk (fsync), and `state` has the new last sequence. Rows are removed
        by blocks, a bounded number at a time; `state.has_removable_block` returns whether another
        commit can remove more. A `probe` writes in any case, so that its success proves that the
        disk works.

        Raises:
            LimitReached: nothing was stored.
            DiskFailed: the rows may or may not have been stored; if they were, their numbers are
                not given again. ReopenRequired: every write fails until the file is reopened.
            Corrupt: the file is not a spool any more.
        """
        origin = self.state.origin

        def write(transaction: WriteTransaction) -> bool:
            # An uncertain commit may have started a new origin: then the sequence is of the former.
            if transaction.before.origin == origin:
                transaction.remove_forwarded(forwarded_sequence)
            if probe:
                transaction.probe()
            return not contents or transaction.append(contents, self._bytes_max)

        if not self._write(write):
            used_bytes = self.state.used_bytes
            raise LimitReached(f"the spool holds {used_bytes} of {self._bytes_max} bytes")

    def quarantine(self, sequence: int) -> None:
        """
        Move the row at `sequence` into quarantine, where its bytes are kept.

        If its block is damaged, the later rows of the block go with it, and this row keeps the
        remains of the block.

        Raises:
            LimitReached, DiskFailed, Corrupt: the disk failed; a later `state` has the outcome.
        """
        self._write(lambda transaction: transaction.quarantine(sequence))

    def start_new_origin(self) -> None:
        """
        Make the current rows the sequences 1, 2, 3, … of a new origin.

        For a spool whose file was replaced by an older copy. Kafka may already have some of its
        rows: under a new origin they are repeated, under the old one other rows would be lost.

        Raises:
            LimitReached, DiskFailed, Corrupt: the disk failed; a later `state` has the outcome.
        """
        self._write(WriteTransaction.start_new_origin)

    def store_aborted_origin(self, origin: str) -> None:
        """
        Store that the last transaction of `origin` was aborted, "" if none was: remove the note.

        Raises:
            LimitReached, DiskFailed, Corrupt: the disk failed; the note may or may not be there.
        """
        self._write(lambda transaction: transaction.store_aborted_origin(origin))
        self.aborted_origin = origin

    def _write(self, write: Callable[[WriteTransaction], Result]) -> Result:
        """Run `write` in one transaction, and replace the state once it is committed."""
        file = self._opened()
        # Until the commit is known to have succeeded, only the file knows its blocks.
        index, self._index = self._index, None
        with disk_faults():
            if self._rewritten_file is not file:
                rewrite_meta_pages(self._path, file.page_bytes)
                self._rewritten_file = file
            with file.env.begin(write=True) as txn:
                before = self.state
                if index is None:
                    before, index = read_state(txn, file, self._path.stem)
                transaction = WriteTransaction(txn, file, self._path.stem, before, index)
                result = write(transaction)
                state = transaction.write_state()
                # Leaving this block commits: LMDB writes and fsyncs here.
        self.state, self._index = state, index
        return result

    def _opened(self) -> SpoolFile:
        if self._file is None:
            raise ReopenRequired(f"the file of spool {self._path.stem} is not open")
        return self._file
