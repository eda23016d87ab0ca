"""The directory of spools: hold a spool of it, or list all of them."""

import contextlib
import logging
import re
import secrets
import time
from collections.abc import Iterator
from pathlib import Path

from ingress.spool.disk import Corrupt, DiskFailed, LimitReached
from ingress.spool.hours import hour_at
from ingress.spool.spool import Spool
from ingress.spool.spool_lock import (
    CORRUPT_SUFFIX,
    FILE_SUFFIX,
    FORMER_CORRUPT_SUFFIX,
    SpoolInUse,
    lock_kept_on_success,
)
from ingress.spool.state import SpoolState
from ingress.spool.unheld import open_unheld
from ingress.spool.verification import VERIFY_TIMEOUT_S, NotVerified, verify_blocking
from schemas.ingress_status import SpoolSummary

log = logging.getLogger(__name__)

_NAME = re.compile(r"[0-9a-f]{16}")
# A starting process skips a spool whose verification takes longer, because callbacks wait for the
# process; a running ingress verifies the spool later (ingress/forward/adopter.py).
START_VERIFY_TIMEOUT_S = 2.0
# A running process may hold a spool only for a moment, to read its state. So a process that starts
# tries several times before it makes a new spool.
TRIES = 3
RETRY_INTERVAL_S = 0.1


def summary_of(
    name: str,
    state: SpoolState,
    since_hour: int | None = None,
    *,
    changed_at_s: float | None = None,
) -> SpoolSummary:
    """
    Return the summary of an open spool.

    `changed_at_s`: the time of the last change of its file, if no process can change it now.
    """
    first_sequence_since = None
    if since_hour is not None:
        first_sequence_since = state.first_sequence_since(since_hour)
        is_unchanged = changed_at_s is not None and hour_at(changed_at_s) < since_hour
        # Only without hours: the time of the file may be by another machine's clock, or by one that
        # was set back.
        if not state.hours and is_unchanged:
            first_sequence_since = state.last_sequence + 1
    return SpoolSummary(
        name,
        state.origin,
        state.last_sequence,
        rows=state.row_count,
        quarantined=tuple(state.quarantined_sequences),
        first_sequence_since=first_sequence_since,
    )


def hold_any(directory: Path, *, bytes_max: int) -> Spool:
    """
    Return a spool that this process now holds: one that no process held, else a new one.

    Raises:
        OSError: the directory cannot be made or written.
        DiskFailed, LimitReached: the file cannot be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    for _ in range(TRIES):
        for name in spool_names(directory):
            with contextlib.suppress(SpoolInUse, NotVerified, Corrupt):
                return hold(
                    directory, name, bytes_max=bytes_max, verify_timeout_s=START_VERIFY_TIMEOUT_S
                )
        if not spool_names(directory):
            break
        time.sleep(RETRY_INTERVAL_S)
    return hold(directory, secrets.token_hex(8), bytes_max=bytes_max)


def hold(
    directory: Path, name: str, *, bytes_max: int, verify_timeout_s: float = VERIFY_TIMEOUT_S
) -> Spool:
    """
    Open the spool `name` for this process alone.

    Raises:
        SpoolInUse: another process holds it.
        NotVerified: it is not known whether the file may be opened.
        Corrupt: the file is not a spool; it was renamed.
        DiskFailed, LimitReached: the file cannot be written.
        OSError: the lock file cannot be made.
    """
    with lock_kept_on_success(directory, name) as (path, lock):
        verify_blocking(path, verify_timeout_s)
        return Spool(path, lock, bytes_max)


def spool_names(directory: Path) -> list[str]:
    """
    Return the names of the spools in `directory`, sorted.

    Raises:
        OSError: the directory cannot be read; it may have spools.
    """
    stems = (
        name.removesuffix(FILE_SUFFIX) for name in _files(directory) if name.endswith(FILE_SUFFIX)
    )
    return [stem for stem in stems if _NAME.fullmatch(stem)]


def corrupt_files(directory: Path) -> Iterator[SpoolSummary]:
    """
    Yield the corrupt files, which were renamed: no process sends their rows.

    Raises:
        OSError: the directory cannot be read; it may have some.
    """
    for file in _files(directory):
        name, _, suffix = file.partition(FILE_SUFFIX)
        if suffix.startswith((CORRUPT_SUFFIX, FORMER_CORRUPT_SUFFIX)):
            yield SpoolSummary(name, fault=f"its file was corrupt and was renamed to {file}")


def _files(directory: Path) -> list[str]:
    """Return all file names, sorted; Path.glob would find none where it cannot read."""
    try:
        return sorted(path.name for path in directory.iterdir())
    except FileNotFoundError:
        return []


def summaries(directory: Path, since_hour: int | None = None) -> Iterator[SpoolSummary]:
    """
    Yield every spool in `directory`; those that no process holds are read for a moment.

    Nothing on the disk is changed. Of a spool that another process holds, or that could not be
    verified or read, only the name is known now; a log line says why the latter happened.

    Raises:
        OSError: the directory cannot be read; it may have others.
    """
    yield from corrupt_files(directory)
    for name in spool_names(directory):
        try:
            with open_unheld(directory, name) as spool:
                changed_at_s = (directory / f"{name}{FILE_SUFFIX}").stat().st_mtime
                summary = summary_of(name, spool.state, since_hour, changed_at_s=changed_at_s)
        except SpoolInUse:
            yield SpoolSummary(name)
        except (NotVerified, DiskFailed, LimitReached) as not_read:
            # The file may be sound; the rest is known once the file can be read.
            log.warning("spool %s cannot be read now: %s; try again", name, not_read)
            yield SpoolSummary(name)
        except Corrupt as corrupt:
            yield SpoolSummary(name, fault=corrupt_text(name, corrupt))
        else:
            yield summary


def corrupt_text(name: str, corrupt: Corrupt) -> str:
    """Return what is wrong with a file that was only read, and what becomes of it."""
    return (
        f"its file {name}{FILE_SUFFIX} is corrupt: {corrupt}. It was not changed; copy it now. The "
        "next ingress that starts in this directory renames it to "
        f"{name}{FILE_SUFFIX}{CORRUPT_SUFFIX}TIME"
    )
