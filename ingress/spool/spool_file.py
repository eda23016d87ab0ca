"""A spool's file: one LMDB environment with three databases."""

import errno
import os
from pathlib import Path
from typing import NamedTuple

import lmdb

from ingress.spool.disk import DiskFailed, DiskFull
from ingress.spool.state import SpoolState, encode_state

# Deleting needs free pages too, so inserts stop well before the map is full
# (docs/decisions/0003-spool.md).
MAP_MARGIN_BYTES = 64 << 20
# Keys of the database `meta`.
STATE = b"state"
PROBE = b"probe"
ABORTED_ORIGIN = b"aborted origin"
HOURS = b"hours"
_META_PAGES = 2


class SpoolFile(NamedTuple):
    """
    An open file.

    `blocks` has the blocks of rows by the number of their first row, `quarantine` the rows in
    quarantine by number, `meta` the state, the probe, the aborted origin and the hours.
    """

    env: lmdb.Environment
    blocks: lmdb._Database
    quarantine: lmdb._Database
    meta: lmdb._Database
    page_bytes: int


def open_file(path: Path, bytes_max: int) -> SpoolFile:
    """
    Open the file in one transaction; if it is new or empty, make it an empty spool.

    Raises:
        lmdb.Error: see disk_faults.
    """
    # writemap stays off: on a full disk it ends in SIGBUS instead of an error.
    env = lmdb.open(
        str(path),
        subdir=False,
        max_dbs=3,
        map_size=max(bytes_max + MAP_MARGIN_BYTES, bytes_max * 10 // 9),
        max_spare_txns=2,
    )
    try:
        stat = env.stat()
        is_new = stat["entries"] == 0
        with env.begin(write=True) as txn:
            blocks, quarantine, meta = (
                env.open_db(name, txn, create=is_new)
                for name in (b"blocks", b"quarantine", b"meta")
            )
            if is_new:
                empty = SpoolState(path.stem, 0, 1, 0, 0, frozenset(), 0)
                txn.put(STATE, encode_state(empty, path.stem), db=meta)
    except BaseException:
        env.close()
        raise
    return SpoolFile(env, blocks, quarantine, meta, stat["psize"])


def rewrite_meta_pages(path: Path, page_bytes: int) -> None:
    """
    Write the meta pages to the disk again, as LMDB reads them; no other write may run.

    If the write of a meta page failed, the page on the disk may differ from the one in the page
    cache, and a later fsync would succeed without writing it, because the kernel regards the page
    as clean. The next transaction would then overwrite pages to which the meta page on the disk
    refers.

    Raises:
        DiskFailed: the disk may still have another meta page.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            pages = os.pread(descriptor, _META_PAGES * page_bytes, 0)
            written = os.pwrite(descriptor, pages, 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        failure_class = DiskFull if error.errno in (errno.ENOSPC, errno.EDQUOT) else DiskFailed
        raise failure_class(f"the meta pages of {path} cannot be written again: {error}") from error
    if not len(pages) == written == _META_PAGES * page_bytes:
        raise DiskFailed(f"the meta pages of {path} were written only in part")
