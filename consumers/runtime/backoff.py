"""Wait after failures of a partition, longer each time; log them at intervals."""

import logging
from collections.abc import Callable

from consumers.runtime.ongoing_failure import REPEAT_LOG_S, OngoingFailure
from consumers.runtime.round_signal import RoundSignal
from consumers.runtime.source import KafkaUnavailable
from schemas.telemetry import CONSUMER_RETRIES

log = logging.getLogger(__name__)

# The first wait of a `Backoff`, and the longest.
WAIT_S = 1.0
WAIT_S_MAX = 30.0


class Backoff:
    """Waits of 1 s, then 2, 4, … up to 30 s, until something succeeds."""

    def __init__(self, rounds: RoundSignal) -> None:
        self._rounds = rounds
        self._wait_count = 0
        # From the first wait until a success, the partition fetches nothing.
        self.is_paused = False
        # What failed and has not succeeded since; also while nothing has to wait for it.
        self.failure: OngoingFailure | None = None
        # When something succeeded last, None before that.
        self.succeeded_at: float | None = None

    @property
    def waits_for_kafka(self) -> bool:
        """True if it was Kafka that failed last, for example the dead-letter topic."""
        return self.failure is not None and isinstance(self.failure.error, KafkaUnavailable)

    def note(self, error: Exception) -> None:
        """Note a failure; one after an error of the same type is the same failure."""
        before = self.failure
        if before is not None and type(before.error) is type(error):
            self.failure = OngoingFailure(error, before.since)
        else:
            self.failure = OngoingFailure(error, self._rounds.clock())

    async def wait(self, error: Exception) -> None:
        """Note `error`, and wait: longer each time, up to WAIT_S_MAX."""
        self.note(error)
        CONSUMER_RETRIES.inc()
        self.is_paused = True
        seconds = min(WAIT_S * 2 ** min(self._wait_count, 10), WAIT_S_MAX)
        self._wait_count += 1
        await self._rounds.wait_at_least(seconds)

    def note_success(self) -> None:
        """Note the time of a success, after which the next wait is the shortest one."""
        self.reset()
        self.succeeded_at = self._rounds.clock()

    def reset(self) -> None:
        """Forget the failure; the next wait is the shortest one."""
        self._wait_count = 0
        self.is_paused = False
        self.failure = None


class RepeatedWarning:
    """Logs the warnings of one kind, at most one each REPEAT_LOG_S."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._logged_at = clock() - REPEAT_LOG_S

    def log(self, text: str, *values: object) -> None:
        """Log the warning, or drop it if the last one is too recent."""
        now = self._clock()
        if now - self._logged_at >= REPEAT_LOG_S:
            self._logged_at = now
            log.warning(text, *values)
