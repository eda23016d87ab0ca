"""
A spool is held by one process, by `flock` on a lock file beside the spool's file.

A lock file is never removed: if it were, two processes could lock two files of the same name, and
both would believe that they hold the spool.
"""

import contextlib
import fcntl
import logging
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from ingress.spool.disk import Corrupt, disk_faults

log = logging.getLogger(__name__)

FILE_SUFFIX = ".lmdb"
# A corrupt file is renamed to its name, this, and a time in ns.
CORRUPT_SUFFIX = ".corrupt-"
# 0.1.0 renamed corrupt files with this in its place.
FORMER_CORRUPT_SUFFIX = ".set-aside-"


class SpoolInUse(Exception):
    """Another process holds this spool."""


@contextlib.contextmanager
def lock_kept_on_success(directory: Path, name: str) -> Iterator[tuple[Path, BinaryIO]]:
    """
    Lock the spool `name`; yield its file and the lock, which is released only on an exception.

    On success the lock is kept: the spool that the caller has opened releases it when it is closed.

    LMDB's own lock file is removed: it is that of a process which does not hold the spool any more.
    The errors of LMDB become those of disk.py; on Corrupt the file is renamed first.

    Raises:
        SpoolInUse: another process holds it.
        OSError: the lock file cannot be made.
    """
    lock = (directory / f"{name}.lock").open("ab")
    path = directory / f"{name}{FILE_SUFFIX}"
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise SpoolInUse(name) from error
        with disk_faults():
            path.with_name(f"{path.name}-lock").unlink(missing_ok=True)
            yield path, lock
    except Corrupt as corrupt:
        rename_corrupt(path, corrupt)
        lock.close()
        raise
    except BaseException:
        lock.close()
        raise


def rename_corrupt(path: Path, corruption: Corrupt) -> None:
    """Rename a corrupt file, while its lock is held, so that no process opens it again."""
    renamed = path.with_name(f"{path.name}{CORRUPT_SUFFIX}{time.time_ns()}")
    path.rename(renamed)
    log.critical(
        "%s is corrupt: %s. Renamed it to %s; its unsent rows remain in that file",
        path,
        corruption,
        renamed,
    )
