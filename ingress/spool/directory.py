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
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from ingress.spool.disk import Broken, Corrupt, Full, disk_faults
from ingress.spool.spool import Spool
from ingress.spool.spool_file import MAP_MARGIN_BYTES
from ingress.spool.verify import DAMAGED

log = logging.getLogger(__name__)

SUFFIX = ".lmdb"
_NAME = re.compile(r"[0-9a-f]{16}")
# A process that starts has callbacks waiting for it: a spool so large that it cannot be verified in
# this time is left to those that run (ingress/forward/adopter.py), which may take VERIFY_S_MAX.
VERIFY_AT_START_S = 2.0
VERIFY_S_MAX = 600.0
# A process that runs may hold a spool just to look into it. New ones should not add up over that.
TRIES = 3
TRY_AGAIN_S = 0.1
VERIFY = (sys.executable, "-m", "ingress.spool.verify")


class Held(Exception):
    """Another process holds this spool, or it cannot be verified in the time that is given."""


@dataclass(frozen=True, slots=True)
class Summary:
    """One spool in the directory; `last_sequence` is None while it is not known."""

    name: str
    origin: str
    last_sequence: int | None
    fault: str = ""
    rows: int | None = None
    damaged: tuple[int, ...] = ()


def take(directory: Path, *, bytes_max: int) -> Spool:
    """
    Return a spool that this process holds: one that no process holds, else a new one.

    Raises:
        OSError: the directory cannot be made or written.
        Broken, Full: the disk fails or is full.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for _ in range(TRIES):
        for name in names(directory):
            with contextlib.suppress(Held, Corrupt):
                return hold(directory, name, bytes_max=bytes_max, verify_s=VERIFY_AT_START_S)
        if not names(directory):
            break
        time.sleep(TRY_AGAIN_S)
    return hold(directory, secrets.token_hex(8), bytes_max=bytes_max)


def hold(directory: Path, name: str, *, bytes_max: int, verify_s: float = VERIFY_S_MAX) -> Spool:
    """
    Open the spool `name` for this process alone.

    A file that is no spool is set aside under another name, loudly and never deleted.

    Raises:
        Held: another process has it, or it could not be verified in `verify_s`.
        Corrupt: the file was no spool; it is set aside.
        Broken, Full: the disk fails or is full.
        OSError: the lock's file cannot be made.
    """
    with locked(directory, name) as (path, lock):
        if is_to_be_verified(path):
            try:
                verified = subprocess.run(  # noqa: S603 - our own module, on our own file
                    [*VERIFY, path], timeout=verify_s, capture_output=True, text=True, check=False
                )
            except subprocess.TimeoutExpired:
                raise Held(f"{path} could not be verified in {verify_s:g} s") from None
            judge(verified.returncode, verified.stderr)
        return Spool(path, lock, bytes_max)


@contextlib.contextmanager
def locked(directory: Path, name: str) -> Iterator[tuple[Path, BinaryIO]]:
    """
    Lock the spool `name`; yields its file and the lock, which stays unless an exception comes.

    On Corrupt the file is set aside first.

    Raises:
        Held: another process has it.
        OSError: the lock's file cannot be made.
    """
    lock = (directory / f"{name}.lock").open("ab")
    path = directory / f"{name}{SUFFIX}"
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise Held(name) from error
        with disk_faults():
            yield path, lock
    except Corrupt as corrupt:
        set_aside(path, corrupt)
        lock.close()
        raise
    except BaseException:
        lock.close()
        raise


def is_to_be_verified(path: Path) -> bool:
    """Tell whether the locked file has something in it; LMDB's own lock beside it is nobody's."""
    path.with_name(f"{path.name}-lock").unlink(missing_ok=True)
    return path.exists() and path.stat().st_size > 0


def judge(exit_code: int, said: str) -> None:
    """
    Return if the verifier found nothing.

    Raises:
        Corrupt: it did.
        Held: it ended otherwise: it was killed, or could not run. Nothing is known of the file.
    """
    if exit_code == DAMAGED:
        raise Corrupt(said.strip())
    if exit_code != 0:
        raise Held(f"the verifier ended with {exit_code}: {said.strip()[-200:]}")


def set_aside(path: Path, why: Corrupt) -> None:
    """Rename a file that is no spool, while its lock is held; nothing opens it again by itself."""
    aside = path.with_name(f"{path.name}.set-aside-{time.time_ns()}")
    path.rename(aside)
    log.critical("%s is no spool: %s. It is set aside as %s; its rows wait there", path, why, aside)


def names(directory: Path) -> list[str]:
    """
    Return the names of the spools in `directory`, in a fixed order.

    Raises:
        OSError: the directory cannot be read; it may have spools.
    """
    stems = (name.removesuffix(SUFFIX) for name in _files(directory) if name.endswith(SUFFIX))
    return [stem for stem in stems if _NAME.fullmatch(stem)]


def set_asides(directory: Path) -> Iterator[Summary]:
    """
    Yield what was set aside in `directory`: rows that nobody sends.

    Raises:
        OSError: the directory cannot be read; it may have some.
    """
    for file in _files(directory):
        name, aside, _ = file.partition(f"{SUFFIX}.set-aside-")
        if aside:
            yield Summary(name, name, None, f"it was no spool any more; it is set aside as {file}")


def _files(directory: Path) -> list[str]:
    """Return the names of all files, in order: Path.glob finds none where it cannot read."""
    try:
        return sorted(path.name for path in directory.iterdir())
    except FileNotFoundError:
        return []


def summary(spool: Spool) -> Summary:
    """Return what is to be told of an open spool."""
    state = spool.state  # once, or the origin could be one commit's and its end another's
    return Summary(
        spool.name,
        state.origin,
        state.last_sequence,
        rows=state.rows,
        damaged=tuple(state.damaged),
    )


def summaries(directory: Path) -> Iterator[Summary]:
    """
    Yield every spool in `directory`; those that nobody holds are opened for a moment.

    Raises:
        OSError: the directory cannot be read; it may have others.
    """
    yield from set_asides(directory)
    for name in names(directory):
        try:
            spool = hold(directory, name, bytes_max=MAP_MARGIN_BYTES)
        except Held:
            yield Summary(name, name, None)
        except (Corrupt, Broken, Full) as fault:
            yield Summary(name, name, None, str(fault))
        else:
            yield summary(spool)
            spool.close()
