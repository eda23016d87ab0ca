"""Measure one run of one reader over the whole topic."""

import subprocess
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec

from bench.archive.readers import Reader, archive
from bench.readers import Task, logged
from bench.reading import Reading, measure_reading
from ops.demo.embedded import child
from ops.demo.embedded.kafka import EmbeddedKafka


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(Reading):
    """
    One run of a reader.

    `lines`: in the archive; `different`: without repeats. None for a peer.
    """

    reader: str
    lines: int | None = None
    different: int | None = None

    @property
    def wrong(self) -> int:
        """The number of missing records and surplus lines; any is a broken promise."""
        if self.lines is None or self.different is None:
            return 0
        return abs(self.records - self.different) + self.lines - self.different


class _Line(msgspec.Struct):
    partition: int
    offset: int


def measure(reader: Reader, task: Task, kafka: EmbeddedKafka) -> Run:
    """
    Start a reader and measure it until all is read and written; it has ended on return.

    Raises:
        NotStarted: the reader does not begin, or does not end.
    """
    task.directory.mkdir()
    started = reader.start(task)
    try:
        reading, _ = measure_reading(started, task, kafka, started.ended)
    except child.NotStarted as fault:
        raise logged(fault, reader.name, task.directory) from fault
    finally:
        started.stop()
    lines, different = archived(archive(task)) if reader.keeps else (None, None)
    return Run(reader=reader.name, lines=lines, different=different, **asdict(reading))


def archived(directory: Path) -> tuple[int, int]:
    """
    Return the number of lines in an archive, and of different records among them.

    They are read with the product's own command, which verifies all checksums.

    Raises:
        NotStarted: the archive cannot be read.
    """
    command = [sys.executable, "-m", "ops.cli", "archive", "cat", "--archive", str(directory)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as cat:  # noqa: S603 - our own
        assert cat.stdout is not None  # noqa: S101 - asked for
        counted = count(cat.stdout)
    if cat.returncode != 0:
        raise child.NotStarted("the archive cannot be read")
    return counted


def count(lines: Iterable[bytes]) -> tuple[int, int]:
    """Return the number of lines and of different records, partitions in order."""
    number = different = 0
    last: dict[int, int] = {}
    for number, line in enumerate(lines, 1):  # noqa: B007 - the last one is the count
        record = msgspec.json.decode(line, type=_Line)
        # A record whose offset is not higher is a repeat.
        if record.offset > last.get(record.partition, -1):
            last[record.partition] = record.offset
            different += 1
    return number, different
