"""Measure this ingress while Kafka is down, at half of its maximal load."""

import time
from dataclasses import dataclass
from pathlib import Path

from bench.cost import rss_mib_max
from bench.ingress.load import Report
from bench.ingress.measure import (
    RECORDS_PATIENCE_S,
    Figures,
    Load,
    Meter,
    loading,
    measure,
    reported,
    send,
    warm_up,
)
from bench.ingress.servers import Server, running
from bench.topic import Tail
from ops.demo.embedded.kafka import EmbeddedKafka

# If its oldest row is younger, a spool holds only what arrived during the last transaction.
CAUGHT_UP_S = 0.5
LOOK_S = 0.05
# After the outage the generator sends for at most this time; catching up must end within it.
PATIENCE_S_MIN = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HalfLoad:
    """The same load twice, on the same process: Kafka up, then killed."""

    rate: float
    up: Figures
    down: Figures


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """A process that starts while Kafka is down, under load; `caught_up_s` None: it did not."""

    rate: float
    outage_s: float
    caught_up_s: float | None
    rss_mib: float
    rss_mib_after: float
    report: Report
    records: int
    different: int

    @property
    def missing(self) -> int:
        """The number of OKs that are not in Kafka."""
        return max(self.report.ok - self.different, 0)


def half_load(
    server: Server,
    load: Load,
    directory: Path,
    *,
    number: int,
    kafka: EmbeddedKafka,
    tail: Tail,
    warm_up_s: float,
) -> HalfLoad:
    """Measure with Kafka, then kill Kafka and measure without it; it is up again on return."""
    with running(server, kafka.address, directory) as up:
        warm_up(load, up, seconds=warm_up_s)
        with_kafka = measure(load, up, number=number, kafka=kafka, tail=tail)
        tail.skip()
        kafka.kill()
        try:
            meter = Meter(up, kafka)
            report = send(load, up)
            cost, rss_mib = meter.cost(report), rss_mib_max(up.pids)
        finally:
            kafka.start()
        up.settle()
        records, different = tail.count(report.ok, patience_s=RECORDS_PATIENCE_S)
    without_kafka = Figures(
        server=server.name,
        connections=load.connections,
        round=number,
        report=report,
        cost=cost,
        rss_mib=rss_mib,
        records=records,
        different=different,
    )
    return HalfLoad(rate=load.rate, up=with_kafka, down=without_kafka)


def without_kafka(server: Server, load: Load, directory: Path, *, kafka: EmbeddedKafka) -> Report:
    """Send to a server whose Kafka was killed just before; it is up again on return."""
    with running(server, kafka.address, directory) as up:
        kafka.kill()
        try:
            return send(load, up)
        finally:
            kafka.start()


def outage(
    server: Server, load: Load, directory: Path, *, kafka: EmbeddedKafka, tail: Tail
) -> Outage:
    """Start with Kafka down, send for `load.seconds`, start Kafka, and send on until caught up."""
    tail.skip()
    kafka.kill()
    path = directory / "outage.json"
    patience_s = max(2 * load.seconds, PATIENCE_S_MIN)
    endless = Load(
        connections=load.connections, seconds=2 * load.seconds + patience_s, rate=load.rate
    )
    try:
        with running(server, kafka.address, directory) as up:
            begun = time.monotonic()
            with loading(endless, up, path) as generator:
                time.sleep(load.seconds)
                rss_mib = rss_mib_max(up.pids)
                kafka.start()
                back = time.monotonic()
                while lags := any(not _caught_up(s.oldest_waiting_s) for s in up.statuses()):
                    if time.monotonic() - back > patience_s:
                        break
                    time.sleep(LOOK_S)
                caught_up_s = None if lags else time.monotonic() - back
                generator.terminate()
            up.settle()
            report = reported(path)
            records, different = tail.count(report.ok, patience_s=RECORDS_PATIENCE_S)
            return Outage(
                rate=load.rate,
                outage_s=back - begun,
                caught_up_s=caught_up_s,
                rss_mib=rss_mib,
                rss_mib_after=rss_mib_max(up.pids),
                report=report,
                records=records,
                different=different,
            )
    finally:
        if not kafka.listens():
            kafka.start()


def _caught_up(oldest_waiting_s: float | None) -> bool:
    return oldest_waiting_s is not None and oldest_waiting_s <= CAUGHT_UP_S
