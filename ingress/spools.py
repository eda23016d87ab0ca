"""
The directory of spools: each is held by one process, by `flock` on a file beside it.

The lock's file is never removed: two processes that locked two files of one name would both believe
that they hold the spool.
"""

import contextlib
import fcntl
import logging
import re
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ingress.row import Damaged
from ingress.spool import MAP_MARGIN_BYTES, Broken, Full, Spool, disk_faults

log = logging.getLogger(__name__)

SUFFIX = ".lmdb"
_NAME = re.compile(r"[0-9a-f]{16}")


class Held(Exception):
    """Another process holds this spool."""


@dataclass(frozen=True, slots=True)
class Summary:
    """One spool in the directory; `last_sequence` is None while it cannot be read."""

    name: str
    origin: str
    last_sequence: int | None
    fault: str = ""


def take(directory: Path, *, bytes_max: int) -> Spool:
    """
    Return a spool that this process holds: one that no process holds, else a new one.

    A file that is no spool is set aside under another name, loudly and never deleted.

    Raises:
        OSError: the directory cannot be made or written.
        Broken, Full: the disk fails or is full.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for name in names(directory):
        with contextlib.suppress(Held):
            try:
                return hold(directory, name, bytes_max=bytes_max)
            except Damaged as damaged:
                path = directory / f"{name}{SUFFIX}"
                aside = path.with_name(f"{path.name}.set-aside-{time.time_ns()}")
                path.rename(aside)
                log.critical("%s; it is set aside as %s, its callbacks wait there", damaged, aside)
    return hold(directory, secrets.token_hex(8), bytes_max=bytes_max)


def hold(directory: Path, name: str, *, bytes_max: int) -> Spool:
    """
    Open the spool `name` for this process alone.

    Raises:
        Held: another process has it.
        Damaged: the file is no spool.
        Broken, Full: the disk fails or is full.
        OSError: the lock's file cannot be made.
    """
    lock = (directory / f"{name}.lock").open("ab")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise Held(name) from error
    path = directory / f"{name}{SUFFIX}"
    try:
        with disk_faults():
            return Spool(path, lock, bytes_max)
    except Exception:
        lock.close()
        raise


def names(directory: Path) -> list[str]:
    """Return the names of the spools in `directory`, in a fixed order."""
    return sorted(path.stem for path in directory.glob(f"*{SUFFIX}") if _NAME.fullmatch(path.stem))


def summaries(directory: Path) -> Iterator[Summary]:
    """Yield every spool in `directory`; those that nobody holds are opened for a moment."""
    for name in names(directory):
        try:
            spool = hold(directory, name, bytes_max=MAP_MARGIN_BYTES)
        except Held:
            yield Summary(name, name, None)
        except (Damaged, Broken, Full) as fault:
            yield Summary(name, name, None, str(fault))
        else:
            yield Summary(name, spool.origin, spool.last_sequence)
            spool.close()
