"""One run of load against one server, and what it cost."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from bench.cost import cpu_s, rss_mib_max
from bench.load import Report
from bench.servers import Running
from bench.topic import Tail
from ops.embedded import child

RECORDS_PATIENCE_S = 5.0
# To start the generator, and to wait for the last answers.
GENERATOR_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What to send. Without a rate: as fast as answers come."""

    connections: int
    seconds: float
    rate: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """One run. CPU is that of the whole run until all is in Kafka, over all its answers."""

    server: str
    connections: int
    report: Report
    cpu_us: float
    load_cpu_us: float
    kafka_cpu_us: float
    rss_mib: float
    # Records in Kafka, and different ones among them; None where nothing is stored.
    records: tuple[int, int] | None

    @property
    def ok_per_s(self) -> float:
        """OKs a second, up to the last answer."""
        return self.report.ok / self.report.seconds if self.report.seconds else 0.0


@contextlib.contextmanager
def loading(load: Load, running: Running, report: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Yield the generator's process while it runs; it has written `report` afterwards."""
    ports = [f"--port={port}" for port in running.ports]
    process = child.start(
        [
            *(sys.executable, "-m", "bench.load", *ports, f"--connections={load.connections}"),
            *(f"--seconds={load.seconds}", f"--rate={load.rate}", f"--report={report}"),
        ],
        log=report.with_suffix(".log"),
    )
    try:
        yield process
        if process.wait(load.seconds + GENERATOR_S) != 0:
            raise child.NotStarted(f"the load generator failed; see {report.with_suffix('.log')}")
    finally:
        if process.poll() is None:
            child.kill(process)


def send(load: Load, running: Running, directory: Path) -> Report:
    """Send all of it."""
    path = directory / "load.json"
    with loading(load, running, path):
        pass
    return msgspec.json.decode(path.read_bytes(), type=Report)


def measure(
    load: Load, running: Running, directory: Path, *, tail: Tail, kafka_pid: int, warm_up_s: float
) -> Figures:
    """Warm up, wait until nothing is left of that, then measure one run to its end in Kafka."""
    if warm_up_s:
        send(
            Load(connections=load.connections, seconds=warm_up_s, rate=load.rate),
            running,
            directory,
        )
        running.settle()
    tail.skip()
    begun, kafka_begun = cpu_s(running.pids), cpu_s([kafka_pid])
    report = send(load, running, directory)
    running.settle()
    cost, kafka_cost = cpu_s(running.pids) - begun, cpu_s([kafka_pid]) - kafka_begun
    stores = running.server.stores
    per_answer_us = 1e6 / max(report.answered, 1)
    return Figures(
        server=running.server.name,
        connections=load.connections,
        report=report,
        cpu_us=cost * per_answer_us,
        load_cpu_us=report.cpu_s * per_answer_us,
        kafka_cpu_us=kafka_cost * per_answer_us,
        rss_mib=rss_mib_max(running.pids),
        records=tail.count(report.ok, patience_s=RECORDS_PATIENCE_S) if stores else None,
    )
