"""Measure one run of one writer over the topic."""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from bench.readers import Task, logged
from bench.reading import Reading, measure_reading
from bench.sync.databases import Databases, receipts, rows
from bench.sync.writers import Writer, Writing
from ops.demo.embedded import child
from ops.demo.embedded.kafka import EmbeddedKafka


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(Reading):
    """
    One run of a writer in one round.

    `server_s` is the CPU of all processes of PostgreSQL. `rows` and `receipts` are in the tables
    afterwards; `receipts` is None if the writer writes none.
    """

    writer: str
    round: int
    server_s: float
    rows: int
    receipts: int | None

    @property
    def server_us(self) -> float:
        """PostgreSQL's CPU of a row."""
        return self.server_s / self.records * 1e6

    @property
    def wrong(self) -> int:
        """The number of rows that are missing or surplus; any is a fault of sync."""
        if self.receipts is None:
            return 0
        return abs(self.records - self.rows) + abs(self.records - self.receipts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """The servers of all runs. `version_1`: the directory of that release's programs."""

    kafka: EmbeddedKafka
    databases: Databases
    version_1: Path


def measure(writer: Writer, task: Task, servers: Servers, *, number: int) -> Run:
    """
    Measure a writer in round `number`, into a database of its own, until all is written.

    Raises:
        NotStarted: the writer does not begin, or does not end.
    """
    task = replace(task, records=task.records // writer.share)
    task.directory.mkdir()
    with servers.databases.fresh(f"{writer.name}_{number}", writer.tables) as postgres:
        started = writer.start(Writing(task=task, postgres=postgres, version_1=servers.version_1))
        try:
            reading, server_s = measure_reading(
                started, task, servers.kafka, started.ended, beside=servers.databases.pids
            )
        except child.NotStarted as fault:
            raise logged(fault, writer.name, task.directory) from fault
        finally:
            started.stop()
        row_count = rows(postgres)
        if not writer.has_receipts:
            # A peer ends with the last record of a fetch.
            reading = replace(reading, records=row_count)
        return Run(
            writer=writer.name,
            round=number,
            server_s=server_s,
            rows=row_count,
            receipts=receipts(postgres) if writer.has_receipts else None,
            **asdict(reading),
        )
