"""Measure one run of one reader over the whole topic."""

import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench.archive.readers import Reader, archive
from bench.cost import Watch, precise_cpu_s, rss_mib_max
from bench.processes import broker_pids
from bench.readers import RECORDS_PER_S_MIN, START_S_MAX, Task, logged
from ops.demo.embedded import child
from ops.demo.embedded.kafka import EmbeddedKafka


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """
    One run. `cpu_s` is the reader's, `kafka_s` the broker's; `others` is a share of the machine.

    `lines`: in the archive; `different`: without repeats. None for a peer.
    """

    reader: str
    records: int
    seconds: float
    cpu_s: float
    kafka_s: float
    others: float
    rss_mib: float
    lines: int | None = None
    different: int | None = None

    @property
    def per_s(self) -> float:
        """Records a second."""
        return self.records / self.seconds

    @property
    def cpu_us(self) -> float:
        """CPU of a record."""
        return self.cpu_s / self.records * 1e6

    @property
    def kafka_us(self) -> float:
        """The broker's CPU of a record."""
        return self.kafka_s / self.records * 1e6

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
    (pid,) = started.pids
    try:
        started.wait(started.begun, "begins", START_S_MAX)
        watch, begun = Watch(broker_pids(kafka), [pid]), time.monotonic()
        cpu_begun = precise_cpu_s(pid)
        started.wait(started.ended, "ends", START_S_MAX + task.records / RECORDS_PER_S_MIN)
        seconds, cpu_s = time.monotonic() - begun, precise_cpu_s(pid) - cpu_begun
        (kafka_s, _), others = watch.used()
        rss_mib = rss_mib_max([pid])
    except child.NotStarted as fault:
        raise logged(fault, reader.name, task.directory) from fault
    finally:
        started.stop()
    lines, different = archived(archive(task)) if reader.keeps else (None, None)
    return Run(
        reader=reader.name,
        records=task.records,
        seconds=seconds,
        cpu_s=cpu_s,
        kafka_s=kafka_s,
        others=others,
        rss_mib=rss_mib,
        lines=lines,
        different=different,
    )


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
