"""What it costs processes to read the whole preloaded topic, whatever they do with it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.cost import Watch, precise_cpu_s, rss_mib_max
from bench.processes import broker_pids
from bench.readers import RECORDS_PER_S_MIN, START_S_MAX, Started, Task
from ops.demo.embedded.kafka import EmbeddedKafka


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """`cpu_s` is the readers', `kafka_s` the broker's; `others` is a share of the machine."""

    records: int
    seconds: float
    cpu_s: float
    kafka_s: float
    others: float
    rss_mib: float

    @property
    def per_s(self) -> float:
        """Records a second, of all readers together."""
        return self.records / self.seconds

    @property
    def cpu_us(self) -> float:
        """The readers' CPU of a record."""
        return self.cpu_s / self.records * 1e6

    @property
    def kafka_us(self) -> float:
        """The broker's CPU of a record."""
        return self.kafka_s / self.records * 1e6


def measure_reading(
    started: Started,
    task: Task,
    kafka: EmbeddedKafka,
    ended: Callable[[], bool],
    *,
    beside: Sequence[int] = (),
) -> tuple[Reading, float]:
    """
    Measure from the first request to Kafka until the reading has `ended`.

    Return also the CPU seconds of the processes `beside` the readers and the broker, with their
    ended children.

    Raises:
        NotStarted: the reading does not begin, or does not end.
    """
    started.wait(started.begun, "begins", START_S_MAX)
    watch = Watch(broker_pids(kafka), started.pids, beside)
    begun, begun_s = time.monotonic(), members_s(started)
    started.wait(ended, "ends", START_S_MAX + task.records / RECORDS_PER_S_MIN)
    seconds, cpu_s = time.monotonic() - begun, members_s(started) - begun_s
    (kafka_s, _, beside_s), others = watch.used()
    reading = Reading(
        records=task.records,
        seconds=seconds,
        cpu_s=cpu_s,
        kafka_s=kafka_s,
        others=others,
        rss_mib=rss_mib_max(started.pids),
    )
    return reading, beside_s


def members_s(started: Started) -> float:
    """Return the CPU seconds of the readers so far, without their ended children."""
    return sum(map(precise_cpu_s, started.pids))
