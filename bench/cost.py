"""What processes cost, as the kernel counts it."""

import os
from collections.abc import Iterable
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def cpu_s(pids: Iterable[int]) -> float:
    """Return user and system time of the processes, all their threads and their ended children."""
    return sum(map(_ticks, pids)) / _TICKS_PER_S


def machine_s() -> tuple[float, float]:
    """Return the time that all cores were busy or taken away, and their whole time."""
    # user nice system idle iowait irq softirq steal; guests are in user already.
    ticks = [int(field) for field in Path("/proc/stat").read_text().split()[1:9]]
    idle = ticks[3] + ticks[4]
    return (sum(ticks) - idle) / _TICKS_PER_S, sum(ticks) / _TICKS_PER_S


def rss_mib_max(pids: Iterable[int]) -> float:
    """Return the largest resident set that a process had so far; of several, their sum."""
    return sum(map(_peak_kib, pids)) / 1024


def _ticks(pid: int) -> int:
    # The command in parentheses may hold spaces; utime is the twelfth field behind it.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15]))


def _peak_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    raise ProcessLookupError(f"process {pid} has no memory any more")
