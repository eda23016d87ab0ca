"""What a spool's disk may do to it, in the words of those who wait for it."""

import contextlib
from collections.abc import Iterator

import lmdb


class Full(Exception):
    """A bound was reached. The callback was not stored."""


class Broken(Exception):
    """The disk failed. The callback may or may not have been stored."""


class Panic(Broken):
    """The same, and nothing more can be stored before the spool is opened again."""


class Corrupt(Exception):
    """The file is no spool, or not any more."""


@contextlib.contextmanager
def disk_faults() -> Iterator[None]:
    """Tell LMDB's errors as what they mean: Full, Broken, Panic or Corrupt."""
    try:
        yield
    except (lmdb.MapFullError, lmdb.DiskError) as error:
        raise Full(str(error)) from error
    except (
        lmdb.BadRslotError,
        lmdb.CorruptedError,
        lmdb.InvalidError,
        lmdb.NotFoundError,
        lmdb.PageNotFoundError,
        lmdb.VersionMismatchError,
    ) as error:
        raise Corrupt(f"the spool's file is damaged: {error}") from error
    except (lmdb.PanicError, lmdb.BadTxnError) as error:
        raise Panic(str(error)) from error
    except lmdb.Error as error:
        raise Broken(str(error)) from error
