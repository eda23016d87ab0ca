"""Read a spool that no process holds. Nothing on the disk is changed, also not a corrupt file."""

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Self

import lmdb

from ingress.spool.disk import disk_faults
from ingress.spool.row import DamagedCallback, DamagedRow, Row, check_and_decode
from ingress.spool.spool_file import SpoolFile
from ingress.spool.spool_lock import FILE_SUFFIX, SpoolInUse
from ingress.spool.state import SpoolState, strip_number_checksum
from ingress.spool.stored_rows import key, rows_from
from ingress.spool.verification import VERIFY_TIMEOUT_S, verify_blocking
from ingress.spool.write_transaction import read_state


class UnheldSpool(NamedTuple):
    """A spool whose file is open for reading; `file` is None if the file is new or empty."""

    name: str
    state: SpoolState
    file: SpoolFile | None

    @classmethod
    def new(cls, name: str) -> Self:
        """Return a spool in which no row was stored."""
        return cls(name, SpoolState(name, 0, 1, 0, 0, frozenset(), 0), None)

    def row_after(self, sequence: int) -> Row | None:
        """
        Return the first row after `sequence`, without those in quarantine; None if there is none.

        Raises:
            DamagedCallback: the row is not what was stored.
        """
        if self.file is None:
            return None
        base = self.state.base
        with disk_faults(), self.file.env.begin() as txn:
            cursor = txn.cursor(db=self.file.blocks)
            try:
                for number, stored in rows_from(cursor, self.state, self.name, base + sequence + 1):
                    return Row(number - base, *check_and_decode(stored, self.name, number))
            except DamagedRow as damaged:
                raise DamagedCallback(damaged, base) from damaged
        return None

    def quarantined_bytes(self, sequence: int) -> bytes:
        """Return the remains of a row in quarantine, b"" if there are none."""
        number = self.state.base + sequence
        if self.file is None:
            return b""
        with disk_faults(), self.file.env.begin() as txn:
            stored = txn.get(key(number), db=self.file.quarantine)
        return b"" if stored is None else strip_number_checksum(bytes(stored), self.name, number)


@contextlib.contextmanager
def open_unheld(directory: Path, name: str) -> Iterator[UnheldSpool]:
    """
    Open the spool `name` for reading and yield it; no process can hold it meanwhile.

    Raises:
        SpoolInUse: a process holds it.
        NotVerified: it is not known whether the file may be opened.
        Corrupt: the file is not a spool. It stays as it is.
        DiskFailed: the file cannot be read now.
        OSError: the lock file cannot be opened.
    """
    path = directory / f"{name}{FILE_SUFFIX}"
    with _not_held(directory, name):
        if not path.stat().st_size:
            yield UnheldSpool.new(name)
            return
        verify_blocking(path, VERIFY_TIMEOUT_S)
        with disk_faults():
            # Without LMDB's lock file: our own lock keeps all writers out.
            env = lmdb.open(
                str(path), subdir=False, readonly=True, lock=False, create=False, max_dbs=3
            )
        with contextlib.closing(env):
            yield _opened(env, name)


def _opened(env: lmdb.Environment, name: str) -> UnheldSpool:
    with disk_faults():
        stat = env.stat()
        if not stat["entries"]:
            return UnheldSpool.new(name)
        # Not within a transaction: LMDB would close the databases at its end.
        blocks, quarantine, meta = (
            env.open_db(database, create=False) for database in (b"blocks", b"quarantine", b"meta")
        )
        file = SpoolFile(env, blocks, quarantine, meta, stat["psize"])
        with env.begin() as txn:
            return UnheldSpool(name, read_state(txn, file, name)[0], file)


@contextlib.contextmanager
def _not_held(directory: Path, name: str) -> Iterator[None]:
    """
    Keep every process from holding the spool; raise SpoolInUse if one does.

    A directory that was copied may have no lock file. It is not made: a process that begins to hold
    the spool meanwhile makes it, and then what was read may be wrong.
    """
    path = directory / f"{name}.lock"
    if not path.exists():
        yield
        if path.exists():
            raise SpoolInUse(name)
        return
    with path.open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SpoolInUse(name) from error
        yield
