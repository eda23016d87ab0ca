"""
The note of the prefix of the names in Kafka, in the directory of spools.

The rows of its spools, and the numbers that their origins have given, belong to the topics of one
pipeline. With another prefix they would go to the topics of another one. So the first process in a
new directory notes its prefix, and each later one compares the note with its own.
"""

import contextlib
import shlex
from pathlib import Path

from ingress.spool.directory import spool_names
from schemas.local_file import create_file

NOTE = "kafka-prefix"


class OtherPipeline(Exception):
    """The spools are, or may be, of a pipeline with another prefix; the text says what to do."""


def check_or_note_prefix(directory: Path, prefix: str) -> None:
    """
    Return if the spools in `directory` are of the pipeline with this prefix.

    In a directory without spools and without a note, the prefix is noted. Releases before 0.2.0
    wrote no note, so spools without a note may be used without a prefix.

    Raises:
        OtherPipeline: they are of another one, or that is not known.
        OSError: the directory cannot be made, read or written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    note = directory / NOTE
    # In this order: another process notes its prefix before it makes a spool.
    if spool_names(directory) and not note.exists():
        if prefix:
            raise OtherPipeline(_unknown(note, prefix))
        return
    # Also without a prefix: of two processes that start at the same time, the second one is
    # refused if its prefix is another one.
    if not note.exists():
        with contextlib.suppress(FileExistsError):
            create_file(directory, NOTE, prefix.encode())
    # A person may have written it, with a line feed at its end.
    noted = note.read_text(errors="replace").strip()
    if noted != prefix:
        raise OtherPipeline(
            f'the spools in {directory} have the prefix "{noted}" (file {NOTE}), not "{prefix}": '
            f'set HOOKLINE_KAFKA_PREFIX to "{noted}" again, or use an empty directory for a new '
            "pipeline. See docs/kafka.md"
        )


def _unknown(note: Path, prefix: str) -> str:
    return (
        f"{note.parent} has spools, but not the file {NOTE} with their prefix, so they may be of "
        "another pipeline, and their callbacks would go to the wrong topics. If they were made "
        'without a prefix, set HOOKLINE_KAFKA_PREFIX to "", or use an empty directory for a new '
        f'pipeline. If you know that their prefix is "{prefix}", for example because they were '
        f"copied without that file, make it: printf {prefix} > {shlex.quote(str(note))}. See "
        "docs/kafka.md"
    )
