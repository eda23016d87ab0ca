"""
The note of the prefix of the names in Kafka, in the directory of spools.

The rows of its spools, and the numbers that their origins have given, belong to the topics of one
pipeline. With another prefix they would go to the topics of another one. So the first process notes
the prefix, and each later one compares it with its own.
"""

import contextlib
import os
import secrets
from pathlib import Path

from ingress.spool.directory import spool_names
from schemas.process import sync_directory

NOTE = "kafka-prefix"


class OtherPipeline(Exception):
    """The spools are of a pipeline with another prefix; the text says what to do."""


def check_prefix(directory: Path, prefix: str) -> None:
    """
    Return if the spools in `directory` are of the pipeline with this prefix, or there are none.

    A directory without a note has spools of the pipeline without a prefix.

    Raises:
        OtherPipeline: they are of another one.
        OSError: the directory cannot be made, read or written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    note = directory / NOTE
    if prefix and not note.exists() and not spool_names(directory):
        _create(note, prefix)
    noted = note.read_text() if note.exists() else ""
    if noted != prefix:
        raise OtherPipeline(
            f'the spools in {directory} have the prefix "{noted}" (file {NOTE}), not "{prefix}": '
            f'set HOOKLINE_KAFKA_PREFIX to "{noted}" again, or use an empty directory for a new '
            "pipeline. See docs/kafka.md"
        )


def _create(note: Path, prefix: str) -> None:
    """Create the file, whole and on disk, unless another process was first."""
    part = note.with_name(f"{NOTE}.{secrets.token_hex(8)}")
    with part.open("w") as file:
        file.write(prefix)
        file.flush()
        os.fsync(file.fileno())
    with contextlib.suppress(FileExistsError):
        os.link(part, note)
    part.unlink()
    sync_directory(note.parent)
