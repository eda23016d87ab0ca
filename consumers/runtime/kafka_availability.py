"""Whether Kafka answers, and the log of its outages: the first error, then at a bounded rate."""

import asyncio
import logging
import time
from collections.abc import Callable

from aiokafka.errors import KafkaError

from consumers.runtime.ongoing_failure import REPEAT_LOG_S, OngoingFailure
from schemas.kafka_outage import ExplainedFailure

log = logging.getLogger(__name__)

# Kafka is asked each 5 s and has 10 s to answer. An older answer says nothing about now.
ANSWER_AGE_S_MAX = 20.0


class KafkaAvailability:
    """Knows whether Kafka answers a process, and logs the beginning and the end of outages."""

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._clock = clock
        self._since: float | None = None
        self._error: Exception | None = None
        self._logged_at = 0.0
        # When Kafka answered last, None before its first answer.
        self._answered_at: float | None = None
        self._kinds: set[tuple[type, type, str]] = set()

    def note_failure(self, error: Exception) -> None:
        """Log the first error of an outage, each new kind or cause, and one every REPEAT_LOG_S."""
        now = self._clock()
        self._error = error
        explanation = str(error) if isinstance(error, ExplainedFailure) else ""
        kind = type(error), type(error.__cause__), explanation
        if self._since is None:
            self._since = now
        elif kind in self._kinds and now - self._logged_at < REPEAT_LOG_S:
            return
        self._logged_at = now
        self._kinds.add(kind)
        log.warning(
            "%s waits for Kafka and continues when the cause is gone: %r%s",
            self._name,
            error,
            f", for {now - self._since:.0f} s so far" if now > self._since else "",
            # An error that no outage explains is worth its traceback.
            exc_info=None if _is_usual(error) else error,
        )

    def note_answer(self) -> None:
        """Log the end of an outage, if there was one."""
        if self._since is not None:
            outage_s = self._clock() - self._since
            log.warning("%s: Kafka answers again after %.0f s", self._name, outage_s)
        self._since = self._error = None
        self._answered_at = self._clock()
        self._kinds.clear()

    @property
    def answers(self) -> bool | None:
        """Whether Kafka answers, None if it said nothing within ANSWER_AGE_S_MAX."""
        if self._since is not None:
            return False
        if self._answered_at is None or self._clock() - self._answered_at > ANSWER_AGE_S_MAX:
            return None
        return True

    @property
    def failure(self) -> OngoingFailure | None:
        """The last error of the outage that lasts, None while Kafka answers."""
        if self._since is None or self._error is None:
            return None
        return OngoingFailure(self._error, self._since)


def _is_usual(error: Exception) -> bool:
    usual = KafkaError | OSError | asyncio.CancelledError | None
    return isinstance(error, KafkaError | TimeoutError) and isinstance(error.__cause__, usual)
