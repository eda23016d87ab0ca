"""Measure the CPU time of processes whose children come and go, such as PostgreSQL's."""

import os
from collections.abc import Mapping

from bench.cost import cpu_s, family_cpu_s, machine_s


class CpuWatch:
    """Counts the CPU time of each part from its creation on; process `but` counts as ours."""

    def __init__(self, pids: Mapping[str, int], *, but: int) -> None:
        self._pids = pids
        self._but = but
        self._begun = self._now()

    def used(self) -> tuple[dict[str, float], float]:
        """
        Return the seconds of each part, and the share of the machine that others used.

        Others are all processes but the parts, this process and its ended children.
        """
        used = [after - before for after, before in zip(self._now(), self._begun, strict=True)]
        *parts_s, ours_s, busy_s, whole_s = used
        others = max(busy_s - ours_s - sum(parts_s), 0.0) / whole_s if whole_s else 0.0
        return dict(zip(self._pids, parts_s, strict=True)), others

    def _now(self) -> list[float]:
        parts = [family_cpu_s(pid, but=self._but) for pid in self._pids.values()]
        return [*parts, cpu_s([os.getpid(), self._but]), *machine_s()]
