"""Compute when each record became visible, from progress that was seen at intervals. No I/O."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Steps:
    """
    The progress of one partition in one place: `reached[i]` was first seen at `seen_at[i]`.

    Both grow. Times are in seconds since 1970.
    """

    reached: list[int] = field(default_factory=list)
    seen_at: list[float] = field(default_factory=list)

    @property
    def last(self) -> int:
        """The progress that was seen last, 0 before the first."""
        return self.reached[-1] if self.reached else 0

    def note(self, reached: int, seen_at: float) -> None:
        """Add the progress that was just seen, unless it is the same as before."""
        if not self.reached or reached != self.reached[-1]:
            self.reached.append(reached)
            self.seen_at.append(seen_at)

    def time_of(self, place: int) -> float:
        """
        Return the time at which the progress was first seen to be at `place` or after it.

        Raises:
            IndexError: it was not.
        """
        return self.seen_at[bisect_left(self.reached, place)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Quantiles:
    """Milliseconds; `late_ms` is the median of the last tenth, by the time of receipt."""

    p50_ms: float
    p99_ms: float
    max_ms: float
    late_ms: float


def quantiles(latencies_s: Sequence[float]) -> Quantiles:
    """Return the quantiles of latencies, at least one, that are in order of receipt."""
    late = sorted(latencies_s[-max(len(latencies_s) // 10, 1) :])
    ordered = sorted(latencies_s)
    return Quantiles(
        p50_ms=ordered[len(ordered) // 2] * 1000,
        p99_ms=ordered[len(ordered) * 99 // 100] * 1000,
        max_ms=ordered[-1] * 1000,
        late_ms=late[len(late) // 2] * 1000,
    )
