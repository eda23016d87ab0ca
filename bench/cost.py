"""Measure the CPU time and memory of processes, as the kernel counts them."""

import os
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# Children of PostgreSQL come and go; a list of them that was outdated is made again.
ATTEMPTS = 20


class Watch:
    """
    Counts the CPU time of groups of processes from its creation on, and that of all others.

    The children of a process count as the process.
    """

    def __init__(self, *groups: Iterable[int]) -> None:
        self._groups = [list(group) for group in groups]
        self._begun = self._now()

    def used(self) -> tuple[list[float], float]:
        """
        Return the seconds of each group, and the share of the machine that others used.

        Others are all processes but the groups, this process and its ended children.
        """
        *groups_s, busy_s, whole_s = (
            after - before for after, before in zip(self._now(), self._begun, strict=True)
        )
        others = max(busy_s - sum(groups_s), 0.0) / whole_s if whole_s else 0.0
        return groups_s[:-1], others

    def _now(self) -> list[float]:
        groups_s = [sum(map(family_cpu_s, group)) for group in self._groups]
        # All processes that are measured are children of this one.
        return [*groups_s, cpu_s([os.getpid()]), *machine_s()]


def cpu_s(pids: Iterable[int]) -> float:
    """Return user and system time of the processes, all their threads and their ended children."""
    return sum(map(_ticks, pids)) / _TICKS_PER_S


def family_cpu_s(pid: int, *, but: int = 0) -> float:
    """Return the CPU time of a process and of its children, ended or not, without `but`."""
    for _ in range(ATTEMPTS):
        try:
            return cpu_s([pid, *(child for child in _children(pid) if child != but)])
        except (FileNotFoundError, ProcessLookupError):
            # A child or a thread has ended since it was listed; the process has its time now.
            continue
    raise ProcessLookupError(f"the children of process {pid} change too fast, or it has ended")


def precise_cpu_s(pid: int) -> float:
    """Return the CPU time of one process without its ended children, more precise than a tick."""
    # The id of another process's CPU clock, computed as clock_getcpuclockid(3) does on Linux.
    return time.clock_gettime(~pid << 3 | 2)


def machine_s() -> tuple[float, float]:
    """Return the time that all cores were busy or stolen, and their total time."""
    # user nice system idle iowait irq softirq steal; guests are in user already.
    ticks = [int(field) for field in Path("/proc/stat").read_text().split()[1:9]]
    idle = ticks[3] + ticks[4]
    return (sum(ticks) - idle) / _TICKS_PER_S, sum(ticks) / _TICKS_PER_S


def rss_mib_max(pids: Iterable[int]) -> float:
    """Return the sum of the largest resident sets that the processes had so far."""
    return sum(map(_peak_kib, pids)) / 1024


def _children(pid: int) -> Iterator[int]:
    for task in Path(f"/proc/{pid}/task").iterdir():
        yield from map(int, (task / "children").read_text().split())


def _ticks(pid: int) -> int:
    # The command in parentheses may hold spaces; utime is the twelfth field after it.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15]))


def _peak_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise ProcessLookupError(f"process {pid} has ended: its memory cannot be read")
