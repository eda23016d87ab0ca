"""Measure one run of load against one server."""

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from bench.cost import Watch, precise_cpu_s, rss_mib_max
from bench.ingress.load import Report
from bench.ingress.servers import Running
from bench.processes import broker_pids
from bench.topic import Tail
from ops.demo.embedded import child
from ops.demo.embedded.kafka import EmbeddedKafka

# Time to start the generator, and to wait for the last answers.
GENERATOR_S = 180.0
RECORDS_PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """
    The load of one run. Without a rate: as fast as answers come.

    It begins at `start_at` of the clock `perf_counter`, which all processes share.
    """

    connections: int
    seconds: float
    rate: float = 0.0
    start_at: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """CPU time per request until all of the run is in Kafka; `others` is a share of the machine."""

    server_us: float
    load_us: float
    kafka_us: float
    others: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """
    One run in one round, in which each server has one.

    `records`: in Kafka; `different`: without repeats. None if nothing is sent to Kafka.
    """

    server: str
    connections: int
    round: int
    report: Report
    cost: Cost
    rss_mib: float
    records: int | None
    different: int | None

    @property
    def missing(self) -> int:
        """The number of OKs that are not in Kafka."""
        return 0 if self.different is None else max(self.report.ok - self.different, 0)


@contextlib.contextmanager
def loading(load: Load, running: Running, report: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Yield the generator's process while it runs; afterwards `report` is written."""
    shape = running.server.shape
    process = child.start(
        [
            *(sys.executable, "-m", "bench.ingress.load"),
            *(f"--port={port}" for port in running.ports),
            *(f"--connections={load.connections}", f"--seconds={load.seconds}"),
            *(f"--rate={load.rate}", f"--start-at={load.start_at}"),
            *(f"--report={report}", f"--method={shape.method}"),
            *(f"--target={shape.target}", f"--ok-status={shape.ok_status}"),
            *(["--ids"] if shape.ids else []),
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


def warm_up(load: Load, running: Running, *, seconds: float) -> None:
    """Send the load for some time; return when all of that is in Kafka."""
    if seconds:
        send(replace(load, seconds=seconds), running)
        running.settle()


def send(load: Load, running: Running) -> Report:
    """Send the load and return the generator's report."""
    path = running.directory / "load.json"
    with loading(load, running, path):
        pass
    return reported(path)


def reported(path: Path) -> Report:
    """Return the report that a generator wrote."""
    return msgspec.json.decode(path.read_bytes(), type=Report)


class Meter:
    """Counts CPU time from its creation to `cost`."""

    def __init__(self, running: Running, kafka: EmbeddedKafka) -> None:
        self._running = running
        # Its ended children do not count, but a run of a second needs more than the kernel's ticks.
        self._begun_s = self._server_s()
        self._watch = Watch(running.pids, broker_pids(kafka))

    def cost(self, report: Report) -> Cost:
        """Return the CPU time per answer; call it after the generator's process has been reaped."""
        # The generator's time is counted with this process, its parent.
        (_, kafka_s), others = self._watch.used()
        server_s = self._server_s() - self._begun_s
        an_answer_us = 1e6 / max(report.answered, 1)
        return Cost(
            server_us=server_s * an_answer_us,
            load_us=report.cpu_s * an_answer_us,
            kafka_us=kafka_s * an_answer_us,
            others=others,
        )

    def _server_s(self) -> float:
        return sum(map(precise_cpu_s, self._running.pids))


def measure(
    load: Load, running: Running, *, number: int, kafka: EmbeddedKafka, tail: Tail
) -> Figures:
    """Measure the run of a server in round `number`, until all of it is in Kafka."""
    if running.server.stores:
        tail.skip()
    meter = Meter(running, kafka)
    report = send(load, running)
    running.settle()
    cost = meter.cost(report)
    records, different = (
        tail.count(report.ok, patience_s=RECORDS_PATIENCE_S)
        if running.server.stores
        else (None, None)
    )
    return Figures(
        server=running.server.name,
        connections=load.connections,
        round=number,
        report=report,
        cost=cost,
        rss_mib=rss_mib_max(running.pids),
        records=records,
        different=different,
    )
