"""
Create a local file: whole, on disk, and only if its name is free.

The file gets its name by a link, because a rename would replace a file that exists.
"""

import os
import secrets
from pathlib import Path
from typing import BinaryIO

from schemas.process import sync_directory

# Linux has files without a name, but not on every file system, and only with /proc. Elsewhere the
# call fails, because it opens a directory for writing; then a scratch file is used.
_UNNAMED = getattr(os, "O_TMPFILE", 0)


def create_file(directory: Path, name: str, content: bytes) -> None:
    """
    Return once the file `name` in `directory` has `content`, and both are on disk.

    Raises:
        FileExistsError: the name is taken, on disk; that file is unchanged.
        OSError: the file may or may not have been created.
    """
    path = directory / name
    if not path.parent.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
        for new_directory in (path.parent, path.parent.parent, directory):
            sync_directory(new_directory)
    try:
        if not _link_unnamed(path, content):
            _link_scratch(path, content)
    finally:
        # Also if the name is taken: its writer may have been killed before this call.
        sync_directory(path.parent)


def _link_unnamed(path: Path, content: bytes) -> bool:
    """
    Write a file without a name, then link it. Return False if this is not possible here.

    A writer that is killed leaves nothing.
    """
    try:
        fd = os.open(path.parent, _UNNAMED | os.O_WRONLY, 0o666)
    except OSError:
        return False
    with os.fdopen(fd, "wb") as file:
        _write(file, content)
        try:
            # `src_dir_fd` has no effect on the path; without it Python would link the link in
            # /proc.
            os.link(f"/proc/self/fd/{fd}", path, src_dir_fd=fd, follow_symlinks=True)
        except FileExistsError:
            raise
        except OSError:
            return False
        # A file system may leave a file without a name out of its log; now the file has a name.
        os.fsync(fd)
    return True


def _link_scratch(path: Path, content: bytes) -> None:
    """Write a hidden file, then link it. A writer that is killed leaves it; readers ignore it."""
    scratch = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with scratch.open("xb") as file:
            _write(file, content)
        os.link(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def _write(file: BinaryIO, content: bytes) -> None:
    file.write(content)
    file.flush()
    os.fsync(file.fileno())
