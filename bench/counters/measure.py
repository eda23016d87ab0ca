"""Measure one run of one counter over the whole topic."""

import contextlib
import json
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.cost import cpu_s
from bench.counters.readers import Counter, Counting
from bench.processes import broker_pids, start, until
from bench.readers import Started, Task, logged
from bench.reading import Reading, measure_reading, members_s
from bench.scale.cores import Cores, pin
from ops.demo.embedded import child
from ops.demo.embedded.kafka import EmbeddedKafka
from ops.demo.embedded.valkey import EmbeddedValkey


@dataclass(frozen=True, slots=True, kw_only=True)
class Run(Reading):
    """
    One run of a counter with `size` members, on a topic with `users` people.

    `valkey_s` is Valkey's CPU; `late_us` is the CPU of members and Valkey for each record of the
    last third. `counted` and `repeats` are those of our counters, None for a peer.
    """

    counter: str
    users: int
    size: int
    round: int
    cores: Cores
    valkey_s: float
    late_us: tuple[float, float] | None = None
    counted: int | None = None
    repeats: int | None = None

    @property
    def valkey_us(self) -> float:
        """Valkey's CPU of a record."""
        return self.valkey_s / self.records * 1e6

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
            late = Late(started, task.records, valkey_pids)
            # Valkey's ended children count, too: they rewrite its append-only file.
            reading, valkey_s = measure_reading(
                started, task, topic.kafka, late.note_progress, beside=valkey_pids
            )
            late_us = late.cpu_us()
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
        counted=counted,
        repeats=repeats,
        valkey_s=valkey_s,
        late_us=late_us,
        **asdict(reading),
    )


@contextlib.contextmanager
def _valkey(counter: Counter, directory: Path) -> Iterator[EmbeddedValkey | None]:
    """Yield an empty Valkey if the counter uses one."""
    if counter.uses_valkey:
        with child.running(EmbeddedValkey(directory / "valkey")) as valkey:
            yield valkey
    else:
        yield None


class Late:
    """The CPU of members and Valkey for the last third of the records."""

    def __init__(self, started: Started, records: int, valkey_pids: Sequence[int]) -> None:
        self._started = started
        self._records = records
        self._valkey_pids = valkey_pids
        # The records that were counted at that moment, and the CPU seconds until then.
        self._begun: tuple[float, float, float] | None = None

    def note_progress(self) -> bool:
        """Return whether all records are counted; note when two thirds are."""
        if self._started.applied is None:
            return self._started.ended()
        applied = self._started.applied()
        if self._begun is None and applied >= self._records * 2 / 3:
            self._begun = (applied, members_s(self._started), cpu_s(self._valkey_pids))
        return applied >= self._records

    def cpu_us(self) -> tuple[float, float] | None:
        """Return the CPU of members and of Valkey for each record since; call this at the end."""
        if self._begun is None or self._begun[0] >= self._records:
            return None
        applied, members_begun_s, valkey_begun_s = self._begun
        left = self._records - applied
        return (
            (members_s(self._started) - members_begun_s) / left * 1e6,
            (cpu_s(self._valkey_pids) - valkey_begun_s) / left * 1e6,
        )


def counted_in(valkey: str, directory: Path) -> tuple[int, int]:
    """Return the number of callbacks that are counted, and of repeats, as the API reports them."""
    with statistics_api(valkey, directory) as port:
        totals = _totals(port)
    return sum(totals["by_command"].values()), totals["repeats"]


def _totals(port: int) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/totals", timeout=60) as response:
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
