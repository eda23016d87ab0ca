"""Segments as local files: created whole, on disk, and only if absent."""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from consumers.archive.segment import SUFFIX, Summary, first_offset, read_summary
from consumers.runtime.batch import Partition
from schemas.process import sync_directory


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
        sync_directory(path.parent)

    def segments(self, within: str = "*/*") -> Iterator[Path]:
        """Yield the segments, partition by partition, in the order of their records."""
        for directory in sorted(self._directory.glob(within)):
            yield from sorted(
                directory.glob(f"[!.]*{SUFFIX}"), key=lambda path: first_offset(path.name)
            )

    def last(self, partition: Partition) -> Summary | None:
        """
        Return the summary of the last segment of `partition`'s chain.

        Raises:
            Damaged: it cannot be read.
        """
        found = list(self.segments(str(partition)))
        return self.summary(found[-1]) if found else None

    def summary(self, name: Path | str) -> Summary:
        """
        Return the summary of a segment, by its name or its path.

        Raises:
            Damaged: it cannot be read.
        """
        with (self._directory / name).open("rb") as file:
            return read_summary(file)

    def _make_directory(self, directory: Path) -> None:
        if not directory.is_dir():
            directory.mkdir(parents=True, exist_ok=True)
            for made in (directory, directory.parent, self._directory):
                sync_directory(made)
