"""Measure one run: callbacks at a rate, until all of them are in every place."""

import asyncio
import gc
import time
from collections.abc import Iterator
from dataclasses import dataclass

from bench.ingress.load import Report
from bench.ingress.measure import Load, loading, reported
from bench.ingress.servers import COMPARED_AT
from bench.latency.cpu import CpuWatch
from bench.latency.observer import Observer, observing
from bench.latency.steps import Quantiles, quantiles
from bench.latency.system import System
from ops.demo.embedded.child import NotStarted

LOOK_S = 0.02
# After the load, and after the last progress in any place.
PATIENCE_S = 180.0
# A rate is carried if this share of it was answered OK in its time, and at the end a callback was
# readable everywhere within the time.
ANSWERED_MIN = 0.98
LATE_MS_MAX = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """
    One run at `rate` callbacks a second. `latencies` by place.

    `blind_ms` is the largest time for which a sink was not looked at, so by which its latencies may
    be too large. `cpu_s` by part of the system, until all is in every place; `others` is the share
    of the machine that unrelated processes took.
    """

    rate: int
    round: int
    report: Report
    latencies: dict[str, Quantiles]
    blind_ms: float
    blind_p99_ms: float
    cpu_s: dict[str, float]
    others: float
    # (origin, sequence) of each record that was read in Kafka.
    records: list[tuple[str, int]]

    @property
    def cpu_us(self) -> dict[str, float]:
        """The CPU time of each part for each callback."""
        return {part: used_s / len(self.records) * 1e6 for part, used_s in self.cpu_s.items()}

    @property
    def not_carried(self) -> list[str]:
        """The reasons for which the machine did not carry the rate; none if it did."""
        return list(self._shortfalls())

    def _shortfalls(self) -> Iterator[str]:
        if self.report.ok_per_s < ANSWERED_MIN * self.rate:
            yield f"{self.report.ok_per_s:,.0f}/s answered OK"
        if self.report.failed:
            yield f"{self.report.failed:,} not answered OK"
        for place, latency in self.latencies.items():
            if latency.late_ms > LATE_MS_MAX:
                yield f"{place} {latency.late_ms / 1000:.1f} s late at the end"


def measure(system: System, *, rate: int, seconds: float, number: int) -> Run:
    """
    Send callbacks at `rate` for `seconds`, and return when all are in every place.

    Raises:
        NotStarted: a place does not get them, or the load generator failed.
    """
    return asyncio.run(_measure(system, rate, seconds, number))


async def _measure(system: System, rate: int, seconds: float, number: int) -> Run:
    stored_before = system.spool_end().last_sequence
    load = Load(connections=COMPARED_AT, seconds=seconds, rate=rate)
    path = system.directory / "load.json"
    # A garbage collection of this process would delay what it sees.
    gc.collect()
    gc.disable()
    try:
        async with observing(system) as observer:
            watch = CpuWatch(system.pids, but=observer.postgres_pid)
            with loading(load, system.ingress, path) as generator:
                while generator.poll() is None:  # noqa: ASYNC110 - the process sets no event
                    await asyncio.sleep(LOOK_S)
            stored = system.spool_end().last_sequence - stored_before
            await _arrived(observer, stored)
            cpu_s, others = watch.used()
    finally:
        gc.enable()
    blind_s = sorted(observer.blind_s)
    return Run(
        rate=rate,
        round=number,
        report=reported(path),
        latencies={
            place: quantiles(seconds_list) for place, seconds_list in observer.latencies_s().items()
        },
        blind_ms=blind_s[-1] * 1000,
        blind_p99_ms=blind_s[len(blind_s) * 99 // 100] * 1000,
        cpu_s=cpu_s,
        others=others,
        records=[
            (seen.origin, seen.sequence)
            for records in observer.records.values()
            for seen in records
        ],
    )


async def _arrived(observer: Observer, stored: int) -> None:
    """Return when all of the run is seen in every place."""
    deadline = time.monotonic() + PATIENCE_S
    while lacking := observer.lacks(stored):
        if time.monotonic() > deadline:
            raise NotStarted(
                f"not all {stored:,} callbacks are in {', '.join(lacking)} after {PATIENCE_S:g} s"
            )
        await asyncio.sleep(LOOK_S)
