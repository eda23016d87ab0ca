"""Segments as local files: created whole, on disk, and only if absent."""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from consumers.archive.segment import SUFFIX, Summary, first_offset, read_summary
from consumers.runtime.batch import Partition


class Exists(Exception):
    """A segment of that name is there already; it stays as it is."""


class LocalStore:
    """A directory of segments. Several processes may write it at once."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def create(self, name: str, content: bytes) -> None:
        """
        Return once the segment is on disk under `name` (fsync of file and directory).

        A link, not a rename: a rename would replace a segment that is there.

        Raises:
            Exists: there is one.
            OSError: it may or may not have been created.
        """
        path = self._directory / name
        self._make_directory(path.parent)
        scratch = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            with scratch.open("xb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(scratch, path)
            except FileExistsError as error:
                raise Exists(name) from error
        finally:
            scratch.unlink(missing_ok=True)
        _sync_directory(path.parent)

    def last(self, partition: Partition) -> Summary | None:
        """
        Return the summary of the last segment of `partition`'s chain.

        Raises:
            Damaged: it cannot be read.
        """
        names = list(self._segments(partition))
        return self.summary(max(names, key=lambda path: first_offset(path.name))) if names else None

    def summary(self, path: Path) -> Summary:
        """Return the summary of the segment at `path`."""
        with path.open("rb") as file:
            return read_summary(file)

    def existing(self, name: str) -> Summary:
        """Return the summary of the segment called `name`."""
        return self.summary(self._directory / name)

    def segments(self) -> Iterator[Path]:
        """Yield every segment, partition by partition, in the order of its records."""
        for directory in sorted(self._directory.glob("*/*")):
            yield from sorted(
                directory.glob(f"[!.]*{SUFFIX}"), key=lambda path: first_offset(path.name)
            )

    def _segments(self, partition: Partition) -> Iterator[Path]:
        return (self._directory / str(partition)).glob(f"[!.]*{SUFFIX}")

    def _make_directory(self, directory: Path) -> None:
        if not directory.is_dir():
            directory.mkdir(parents=True, exist_ok=True)
            for made in (directory, directory.parent, self._directory):
                _sync_directory(made)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
