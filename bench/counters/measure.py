"""Measure one run of one counter over the whole topic."""

import contextlib
import json
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.cost import Watch, cpu_s, precise_cpu_s, rss_mib_max
from bench.counters.readers import Counter, Counting
from bench.processes import broker_pids, start, until
from bench.readers import RECORDS_PER_S_MIN, START_S_MAX, Started, Task, logged
from bench.scale.cores import Cores, pin
from ops.demo.embedded import child
from ops.demo.embedded.kafka import EmbeddedKafka
from ops.demo.embedded.valkey import EmbeddedValkey


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """
    One run of a counter with `size` members, on a topic with `users` people.

    `cpu_s` is the members' CPU, `valkey_s` Valkey's, `kafka_s` the broker's; `late_us` is the CPU
    of members and Valkey for each record of the last third. `counted` and `repeats` are those of
    our counters, None for a peer. `others` is a share of the machine.
    """

    counter: str
    users: int
    size: int
    round: int
    cores: Cores
    records: int
    seconds: float
    cpu_s: float
    valkey_s: float
    kafka_s: float
    others: float
    rss_mib: float
    late_us: tuple[float, float] | None = None
    counted: int | None = None
    repeats: int | None = None

    @property
    def per_s(self) -> float:
        """Records a second, of all members together."""
        return self.records / self.seconds

    @property
    def cpu_us(self) -> float:
        """The members' CPU of a record."""
        return self.cpu_s / self.records * 1e6

    @property
    def valkey_us(self) -> float:
        """Valkey's CPU of a record."""
        return self.valkey_s / self.records * 1e6

    @property
    def kafka_us(self) -> float:
        """The broker's CPU of a record."""
        return self.kafka_s / self.records * 1e6

    @property
    def wrong(self) -> int:
        """The number of records that were counted never, twice or as repeats; any is a fault."""
        if self.counted is None or self.repeats is None:
            return 0
        return abs(self.records - self.counted) + self.repeats


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """A filled topic: its broker, its records, and the people in them."""

    kafka: EmbeddedKafka
    records: int
    users: int


def measure(counter: Counter, topic: Topic, cores: Cores, *, number: int, directory: Path) -> Run:
    """
    Measure as many members as `cores` has servers, in round `number`, until all is counted.

    Raises:
        NotStarted: a process does not start, or not all is counted.
    """
    directory.mkdir()
    size = len(cores.servers)
    task = Task(kafka=topic.kafka.address, records=topic.records, directory=directory)
    with _valkey(counter, directory) as valkey:
        valkey_pids = [valkey.process.pid] if valkey and valkey.process else []
        url = valkey.url if valkey else ""
        started = counter.start(Counting(task=task, valkey=url, members=size))
        for pid, own in zip(started.pids, cores.servers, strict=True):
            pin(pid, own)
        for pid in valkey_pids:
            pin(pid, cores.valkey)
        pin(broker_pids(topic.kafka)[0], cores.kafka)
        try:
            used = _used(started, task, valkey_pids, topic.kafka)
        except child.NotStarted as fault:
            raise logged(fault, counter.name, directory) from fault
        finally:
            started.stop()
        counted, repeats = (
            counted_in(valkey.url, directory) if valkey and started.applied else (None, None)
        )
    return Run(
        counter=counter.name,
        users=topic.users,
        size=size,
        round=number,
        cores=cores,
        records=topic.records,
        counted=counted,
        repeats=repeats,
        seconds=used.seconds,
        cpu_s=used.cpu_s,
        valkey_s=used.valkey_s,
        kafka_s=used.kafka_s,
        others=used.others,
        rss_mib=used.rss_mib,
        late_us=used.late_us,
    )


@contextlib.contextmanager
def _valkey(counter: Counter, directory: Path) -> Iterator[EmbeddedValkey | None]:
    """Yield an empty Valkey if the counter uses one."""
    if counter.uses_valkey:
        with child.running(EmbeddedValkey(directory / "valkey")) as valkey:
            yield valkey
    else:
        yield None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Used:
    seconds: float
    cpu_s: float
    valkey_s: float
    kafka_s: float
    others: float
    rss_mib: float
    late_us: tuple[float, float] | None


def _used(started: Started, task: Task, valkey_pids: Sequence[int], kafka: EmbeddedKafka) -> _Used:
    """Return what the run takes from its first request to Kafka until all is counted."""
    pids = started.pids
    # The records, and the CPU of members and Valkey, when two thirds were counted.
    late: list[tuple[float, float, float]] = []

    def ended() -> bool:
        if started.applied is None:
            return started.ended()
        applied = started.applied()
        if not late and applied >= task.records * 2 / 3:
            late.append((applied, members_s(), cpu_s(valkey_pids)))
        return applied >= task.records

    def members_s() -> float:
        return sum(map(precise_cpu_s, pids))

    started.wait(started.begun, "begins", START_S_MAX)
    # Valkey's ended children count, too: they rewrite its append-only file.
    watch = Watch(broker_pids(kafka), pids, valkey_pids)
    begun, members_begun_s = time.monotonic(), members_s()
    started.wait(ended, "ends", START_S_MAX + task.records / RECORDS_PER_S_MIN)
    seconds, members_ended_s = time.monotonic() - begun, members_s()
    (kafka_s, _, valkey_s), others = watch.used()
    late_us = None
    for applied, then_s, valkey_then_s in late:
        if left := task.records - applied:
            late_s = (members_ended_s - then_s, cpu_s(valkey_pids) - valkey_then_s)
            late_us = (late_s[0] / left * 1e6, late_s[1] / left * 1e6)
    return _Used(
        seconds=seconds,
        cpu_s=members_ended_s - members_begun_s,
        valkey_s=valkey_s,
        kafka_s=kafka_s,
        others=others,
        rss_mib=rss_mib_max(pids),
        late_us=late_us,
    )


def counted_in(valkey: str, directory: Path) -> tuple[int, int]:
    """Return the number of callbacks that are counted, and of repeats, as the API reports them."""
    with statistics_api(valkey, directory) as port:
        totals = _totals(port)
    return sum(totals["by_command"].values()), totals["repeats"]


def _totals(port: int) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/totals", timeout=10) as response:
        return json.load(response)


@contextlib.contextmanager
def statistics_api(valkey: str, directory: Path) -> Iterator[int]:
    """Yield the port of the statistics API while it runs."""
    port = child.free_port()
    process = start(
        ["consumers.stats"],
        {"STATS_VALKEY": valkey, "STATS_PORT": str(port)},
        directory / "stats.log",
    )
    try:
        until(lambda: child.listens(port), f"the API listens; see {directory}")
        yield port
    finally:
        child.stop(process)
