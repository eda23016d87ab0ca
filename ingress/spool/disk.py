"""The failures of a spool's disk, as exceptions that say what became of the callbacks."""

import contextlib
from collections.abc import Iterator

import lmdb


class LimitReached(Exception):
    """A limit of the spool was reached. The callback was not stored."""


class DiskFailed(Exception):
    """The disk failed. The callback may or may not have been stored."""


class DiskFull(DiskFailed):
    """The disk is full. The callback may or may not have been stored."""


class ReopenRequired(DiskFailed):
    """The disk failed, and every write fails until the spool's file is reopened."""


class Corrupt(Exception):
    """The file is not a spool, or not any more."""


@contextlib.contextmanager
def disk_faults() -> Iterator[None]:
    """Raise one of the exceptions above in place of LMDB's errors."""
    try:
        yield
    except lmdb.MapFullError as error:
        raise LimitReached(str(error)) from error
    except lmdb.DiskError as error:
        # LMDB's error for ENOSPC, and for nothing else.
        raise DiskFull(str(error)) from error
    except (
        lmdb.BadRslotError,
        lmdb.CorruptedError,
        lmdb.InvalidError,
        lmdb.NotFoundError,
        lmdb.PageNotFoundError,
        lmdb.VersionMismatchError,
    ) as error:
        raise Corrupt(f"the spool's file is corrupt: {error}") from error
    except (lmdb.PanicError, lmdb.BadTxnError) as error:
        raise ReopenRequired(str(error)) from error
    except lmdb.Error as error:
        raise DiskFailed(str(error)) from error
