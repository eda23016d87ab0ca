"""Measure N processes of the ingress in one spool directory, each on a port of its own."""

from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter

from bench.cost import Watch
from bench.ingress.load import Report
from bench.ingress.measure import Load, loading, reported, warm_up
from bench.ingress.servers import BY_NAME, Running, running
from bench.processes import broker_pids
from bench.scale.cores import Cores, pin
from bench.topic import Tail
from ops.demo.embedded.kafka import EmbeddedKafka

CONNECTIONS = 64
# Generators begin together once all of them are connected.
START_S = 1.0
START_S_EACH = 0.4
PATIENCE_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class IngressRun:
    """
    One run of some processes: OKs in `seconds`, and the largest p99 of the generators.

    `stored`: rows of the spools in this run; `records`: in Kafka; `different`: without repeats.
    """

    size: int
    round: int
    cores: Cores
    ok: int
    failed: int
    seconds: float
    p99_ms: float
    cpu_us: float
    others: float
    stored: int
    records: int
    different: int

    @property
    def per_s(self) -> float:
        """OKs a second of all processes together."""
        return self.ok / self.seconds if self.seconds else 0.0

    @property
    def wrong(self) -> int:
        """OKs that are not in Kafka, and rows that are there never or twice; any is a fault."""
        lost = max(self.ok - self.different, 0)
        return lost + abs(self.stored - self.different) + self.records - self.different


def measure(
    size: int,
    number: int,
    cores: Cores,
    *,
    seconds: float,
    directory: Path,
    kafka: EmbeddedKafka,
    tail: Tail,
) -> IngressRun:
    """Measure `size` processes in round `number`, until everything that they stored is in Kafka."""
    with running(replace(BY_NAME["hookline"], processes=size), kafka.address, directory) as up:
        for pid, own in zip(up.pids, cores.servers, strict=True):
            pin(pid, own)
        pin(broker_pids(kafka)[0], cores.kafka)
        warm_up(Load(connections=CONNECTIONS, seconds=0.5), up, seconds=0.5)
        tail.skip()
        stored_before = _stored(up)
        watch = Watch(up.pids, broker_pids(kafka))
        reports = _send(up, cores, seconds)
        up.settle()
        (server_s, _), others = watch.used()
        stored = _stored(up) - stored_before
        records, different = tail.count(stored, patience_s=PATIENCE_S)
    ok = sum(report.ok for report in reports)
    ended = max(report.began_at + report.seconds for report in reports)
    return IngressRun(
        size=size,
        round=number,
        cores=cores,
        ok=ok,
        failed=sum(report.failed for report in reports),
        seconds=ended - min(report.began_at for report in reports),
        p99_ms=max(report.p99_ms for report in reports),
        cpu_us=server_s / max(ok, 1) * 1e6,
        others=others,
        stored=stored,
        records=records,
        different=different,
    )


def _send(up: Running, cores: Cores, seconds: float) -> list[Report]:
    """Send from all generators at the same time; each has the ports of some of the processes."""
    generators = len(cores.generators)
    start_at = perf_counter() + START_S + START_S_EACH * generators
    paths = [up.directory / f"load-{at}.json" for at in range(generators)]
    with ExitStack() as stack:
        for at, (path, own) in enumerate(zip(paths, cores.generators, strict=True)):
            ports = up.ports[at::generators]
            load = Load(connections=CONNECTIONS * len(ports), seconds=seconds, start_at=start_at)
            generator = stack.enter_context(loading(load, replace(up, ports=ports), path))
            pin(generator.pid, own)
    return [reported(path) for path in paths]


def _stored(up: Running) -> int:
    return sum(status.last_sequence for status in up.statuses())
