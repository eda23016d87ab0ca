"""
The directory of spools: each is held by one process, by `flock` on a lock file beside it.

A lock file is never removed: if it were, two processes could lock two files of the same name, and
both would believe that they hold the spool.
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
from typing import BinaryIO, Self

from ingress.spool.disk import Broken, Corrupt, LimitReached, disk_faults
from ingress.spool.spool import Spool
from ingress.spool.spool_file import MAP_MARGIN_BYTES
from ingress.spool.state import State
from ingress.spool.verify import EXIT_DAMAGED

log = logging.getLogger(__name__)

SUFFIX = ".lmdb"
# A corrupt file is renamed to its name, this, and a time in ns.
CORRUPT_SUFFIX = ".corrupt-"
_NAME = re.compile(r"[0-9a-f]{16}")
# A starting process skips a spool whose verification takes longer, because callbacks wait for the
# process; a running ingress verifies the spool later (ingress/forward/adopter.py).
START_VERIFY_TIMEOUT_S = 2.0
VERIFY_TIMEOUT_S = 600.0
# A running process may hold a spool only for a moment, to read its state. So a process that starts
# tries several times before it makes a new spool.
TRIES = 3
RETRY_INTERVAL_S = 0.1
VERIFY = (sys.executable, "-m", "ingress.spool.verify")


class SpoolInUse(Exception):
    """Another process holds this spool."""


class NotVerified(Exception):
    """
    It is not known whether LMDB may open this spool's file, so the file stays as it is.

    The verifier took too long, was killed or could not run.
    """


@dataclass(frozen=True, slots=True)
class SpoolSummary:
    """
    One spool in the directory, in the format of /status and `hookline spool ls --json`.

    `last_sequence` is None while it is not known. `quarantined` has all sequences in
    quarantine, also those of sound rows that Kafka refused.
    """

    name: str
    origin: str
    last_sequence: int | None
    fault: str = ""
    rows: int | None = None
    quarantined: tuple[int, ...] = ()

    @classmethod
    def of(cls, name: str, state: State) -> Self:
        """Return the summary of an open spool."""
        return cls(
            name,
            state.origin,
            state.last_sequence,
            rows=state.row_count,
            quarantined=tuple(state.quarantined_sequences),
        )


def hold_any(directory: Path, *, bytes_max: int) -> Spool:
    """
    Return a spool that this process now holds: one that no process held, else a new one.

    Raises:
        OSError: the directory cannot be made or written.
        Broken, LimitReached: the file cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for _ in range(TRIES):
        for name in spool_names(directory):
            with contextlib.suppress(SpoolInUse, NotVerified, Corrupt):
                return hold(directory, name, bytes_max=bytes_max, verify_s=START_VERIFY_TIMEOUT_S)
        if not spool_names(directory):
            break
        time.sleep(RETRY_INTERVAL_S)
    return hold(directory, secrets.token_hex(8), bytes_max=bytes_max)


def hold(
    directory: Path, name: str, *, bytes_max: int, verify_s: float = VERIFY_TIMEOUT_S
) -> Spool:
    """
    Open the spool `name` for this process alone.

    Raises:
        SpoolInUse: another process holds it.
        NotVerified: it is not known whether the file may be opened.
        Corrupt: the file is not a spool; it was renamed.
        Broken, LimitReached: the file cannot be written.
        OSError: the lock file cannot be made.
    """
    with lock_kept_on_success(directory, name) as (path, lock):
        if has_content(path):
            try:
                verified = subprocess.run(  # noqa: S603 - our own module, on our own file
                    [*VERIFY, path], timeout=verify_s, capture_output=True, text=True, check=False
                )
            except subprocess.TimeoutExpired:
                raise NotVerified(f"{path} could not be verified in {verify_s:g} s") from None
            check_verification(path, verified.returncode, verified.stderr)
        return Spool(path, lock, bytes_max)


@contextlib.contextmanager
def lock_kept_on_success(directory: Path, name: str) -> Iterator[tuple[Path, BinaryIO]]:
    """
    Lock the spool `name`; yield its file and the lock, which is released only on an exception.

    LMDB's own lock file is removed: it is that of a process which does not hold the spool any more.
    On Corrupt the file is renamed first.

    Raises:
        SpoolInUse: another process holds it.
        OSError: the lock file cannot be made.
    """
    lock = (directory / f"{name}.lock").open("ab")
    path = directory / f"{name}{SUFFIX}"
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


def has_content(path: Path) -> bool:
    """Return whether the file has to be verified: a new or empty one has nothing to verify."""
    return path.exists() and path.stat().st_size > 0


def check_verification(path: Path, exit_code: int, output: str) -> None:
    """
    Return if the verifier has found the file to be sound.

    Raises:
        Corrupt: it has found damage.
        NotVerified: the verifier was killed or could not run.
    """
    if exit_code == EXIT_DAMAGED:
        raise Corrupt(output.strip())
    if exit_code != 0:
        raise NotVerified(
            f"{path} could not be verified: the verifier ended with exit code {exit_code}: "
            f"{output.strip()[-200:]}"
        )


def rename_corrupt(path: Path, why: Corrupt) -> None:
    """Rename a corrupt file, while its lock is held, so that no process opens it again."""
    renamed = path.with_name(f"{path.name}{CORRUPT_SUFFIX}{time.time_ns()}")
    path.rename(renamed)
    log.critical(
        "%s is corrupt: %s. Renamed it to %s; its unsent rows remain in that file",
        path,
        why,
        renamed,
    )


def spool_names(directory: Path) -> list[str]:
    """
    Return the names of the spools in `directory`, sorted.

    Raises:
        OSError: the directory cannot be read; it may have spools.
    """
    stems = (name.removesuffix(SUFFIX) for name in _files(directory) if name.endswith(SUFFIX))
    return [stem for stem in stems if _NAME.fullmatch(stem)]


def corrupt_files(directory: Path) -> Iterator[SpoolSummary]:
    """
    Yield the corrupt files, which were renamed: no process sends their rows.

    Raises:
        OSError: the directory cannot be read; it may have some.
    """
    for file in _files(directory):
        name, suffix, _ = file.partition(f"{SUFFIX}{CORRUPT_SUFFIX}")
        if suffix:
            yield SpoolSummary(name, name, None, f"its file was corrupt and was renamed to {file}")


def _files(directory: Path) -> list[str]:
    """Return all file names, sorted; Path.glob would find none where it cannot read."""
    try:
        return sorted(path.name for path in directory.iterdir())
    except FileNotFoundError:
        return []


def summaries(directory: Path) -> Iterator[SpoolSummary]:
    """
    Yield every spool in `directory`; those that no process holds are opened for a moment.

    A corrupt file is renamed. The last sequence of a spool that another process holds, or that
    could not be verified, is not known; a log line says that the latter happened.

    Raises:
        OSError: the directory cannot be read; it may have others.
    """
    yield from corrupt_files(directory)
    for name in spool_names(directory):
        try:
            spool = hold(directory, name, bytes_max=MAP_MARGIN_BYTES)
        except SpoolInUse:
            yield SpoolSummary(name, name, None)
        except NotVerified as not_verified:
            # The file may be sound; its last sequence is known once the verifier has run.
            log.warning("%s; try again", not_verified)
            yield SpoolSummary(name, name, None)
        except (Corrupt, Broken, LimitReached) as fault:
            yield SpoolSummary(name, name, None, str(fault))
        else:
            yield SpoolSummary.of(name, spool.state)
            spool.close()
