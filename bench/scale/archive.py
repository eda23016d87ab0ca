"""Measure M members of the archive's group, which share the partitions of one topic."""

import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.archive.reading import archived
from bench.cost import Watch
from bench.processes import broker_pids, consumed, start, until
from bench.scale.cores import Cores, pin
from ops.demo.embedded import child
from ops.demo.embedded.kafka import EmbeddedKafka

# The last segments are written at this age; the settings' default is 60 s.
SEGMENT_AGE_S = 1
LOOK_S = 0.1
RECORDS_PER_S_MIN = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveRun:
    """
    One run of some members over the whole topic, from when the first one listens.

    `lines`: in the archive; `different`: without repeats.
    """

    size: int
    round: int
    cores: Cores
    expected: int
    seconds: float
    cpu_us: float
    others: float
    lines: int
    different: int

    @property
    def per_s(self) -> float:
        """Records a second of all members together."""
        return self.expected / self.seconds

    @property
    def wrong(self) -> int:
        """The number of missing records and surplus lines; any is a fault."""
        return abs(self.expected - self.different) + self.lines - self.different


def measure(
    size: int,
    number: int,
    cores: Cores,
    *,
    expected: int,
    directory: Path,
    kafka: EmbeddedKafka,
) -> ArchiveRun:
    """Measure `size` members in round `number`, until all of the topic is in a new archive."""
    archive = directory / "archive"
    ports = [child.free_port() for _ in range(size)]
    with ExitStack() as stack:
        pids = []
        for port, own in zip(ports, cores.servers, strict=True):
            process = start(
                ["consumers", "archive"],
                {
                    "HOOKLINE_BOOTSTRAP_SERVERS": kafka.address,
                    "ARCHIVE_URL": str(archive),
                    "ARCHIVE_SEGMENT_AGE_S": str(SEGMENT_AGE_S),
                    "CONSUMER_ADMIN_PORT": str(port),
                    # The group has offsets of the run before, whose archive is elsewhere.
                    "CONSUMER_REBUILD": "true",
                },
                directory / f"member-{port}.log",
            )
            stack.callback(child.stop, process)
            pin(process.pid, own)
            pids.append(process.pid)
        pin(broker_pids(kafka)[0], cores.kafka)
        until(lambda: any(map(child.listens, ports)), f"the archive listens; see {directory}")
        watch, begun = Watch(pids, broker_pids(kafka)), time.monotonic()
        until(
            lambda: sum(map(consumed, ports)) >= expected,
            f"{expected:,} records are archived",
            60 + expected / RECORDS_PER_S_MIN,
            look_s=LOOK_S,
        )
        seconds = time.monotonic() - begun
        (cpu_s, _), others = watch.used()
    lines, different = archived(archive)
    return ArchiveRun(
        size=size,
        round=number,
        cores=cores,
        expected=expected,
        seconds=seconds,
        cpu_us=cpu_s / expected * 1e6,
        others=others,
        lines=lines,
        different=different,
    )
