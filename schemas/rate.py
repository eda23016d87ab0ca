"""How fast a number grows, from samples of it."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

SAMPLE_INTERVAL_S = 2.0
# A rate is measured over this time.
RATE_WINDOW_S = 60.0


@dataclass(slots=True)
class Rates:
    """The rates at which numbers grow, each with a name; 0 for a number that became smaller."""

    window_s: float = RATE_WINDOW_S
    _samples: deque[tuple[float, Mapping[str, float]]] = field(default_factory=deque)

    def note(self, now_s: float, numbers: Mapping[str, float]) -> None:
        """Note the numbers at a time, by a clock that never goes back."""
        self._samples.append((now_s, dict(numbers)))
        while len(self._samples) > 1 and now_s - self._samples[0][0] > self.window_s:
            self._samples.popleft()

    def per_s(self, name: str) -> float | None:
        """Return the growth of a number in a second, None until there are two samples."""
        if len(self._samples) < 2:
            return None
        (began_s, began), (now_s, now) = self._samples[0], self._samples[-1]
        if now_s <= began_s:
            return None
        return round(max(0.0, now[name] - began[name]) / (now_s - began_s), 1)

    async def watch(self, numbers: Callable[[], Mapping[str, float]]) -> None:
        """Take a sample every SAMPLE_INTERVAL_S until cancelled."""
        while True:
            self.note(time.monotonic(), numbers())
            await asyncio.sleep(SAMPLE_INTERVAL_S)
