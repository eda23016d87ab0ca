"""Describe the machine of the measurements, without its name and without paths."""

import os
import platform
from dataclasses import dataclass
from pathlib import Path

from ops.demo.embedded.jars import KAFKA


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The properties of a machine that a reader of results needs."""

    cpu: str
    cores: int
    memory_gib: float
    file_system: str
    kernel: str
    python: str
    kafka: str

    def __str__(self) -> str:
        return (
            f"{self.cpu}, {self.cores} cores, "
            f"{self.memory_gib:.0f} GiB of memory, all files on {self.file_system}, "
            f"Linux {self.kernel}, "
            f"Python {self.python}, Kafka {self.kafka}"
        )


def this_machine(directory: Path) -> Machine:
    """Return the machine, with the file system of `directory`."""
    return Machine(
        cpu=_field("/proc/cpuinfo", "model name") or platform.machine(),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=int(_field("/proc/meminfo", "MemTotal").split()[0]) / (1 << 20),
        file_system=_file_system(directory),
        kernel=platform.release().split("-")[0],
        python=platform.python_version(),
        kafka=KAFKA.read_text().partition("kafka_2.13:")[2].partition(" ")[0],
    )


def _field(path: str, name: str) -> str:
    for line in Path(path).read_text().splitlines():
        field, _, value = line.partition(":")
        if field.strip() == name:
            return value.strip()
    return ""


def _file_system(directory: Path) -> str:
    device = directory.stat().st_dev
    wanted = f"{os.major(device)}:{os.minor(device)}"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        before, _, after = line.partition(" - ")
        if before.split()[2] == wanted:
            return after.split()[0]
    return "a file system without a name"
