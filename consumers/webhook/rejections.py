"""
Count what the target accepts, and send what it refuses to the dead-letter topic.

The target's brake limits how many of the last callbacks may be refused.
"""

import asyncio
import time
from collections.abc import Callable

from consumers.runtime.backoff import RepeatedWarning
from consumers.runtime.batch import Partition, Record
from consumers.runtime.brake import Brake
from consumers.runtime.dead_letters import DeadLetters, reject
from consumers.runtime.handler import Rejected, Unavailable
from consumers.runtime.pending_batch import record_sizes
from consumers.runtime.source import KafkaUnavailable
from schemas.telemetry import CONSUMER_BYTES, CONSUMER_RECORDS


class Rejections:
    """One for each target. `brake` counts the callbacks that the target accepted or refused."""

    def __init__(self, dead_letters: DeadLetters, brake: Brake) -> None:
        self._dead_letters = dead_letters
        self.brake = brake
        # One dead letter at a time, so that the limit of the brake is exact.
        self._sending = asyncio.Lock()
        # Why the last dead letter could not be sent, None once one is sent.
        self._failure: KafkaUnavailable | None = None
        self._warning = RepeatedWarning(time.monotonic)

    def note_delivered(self, record: Record) -> None:
        """Count a record that the target has accepted."""
        self.brake.note_applied(1)
        CONSUMER_RECORDS.inc()
        CONSUMER_BYTES.inc(record_sizes((record,)).counted_bytes)

    async def send(
        self,
        partition: Partition,
        record: Record,
        reason: str,
        *,
        attempts: int,
        first_failed_at_ms: int,
        may_begin: Callable[[], bool] = lambda: True,
    ) -> None:
        """
        Return once the record is in the dead-letter topic.

        Raises:
            Braked: the target refuses too many callbacks; nothing was sent.
            KafkaUnavailable: the dead letter may or may not be there, or it was not sent, because
                one that failed before it has taken the time.
            Unavailable: `may_begin` returned False; nothing was sent.
        """
        failure_before = self._failure
        async with self._sending:
            if not may_begin():
                if self._failure not in (None, failure_before):
                    raise KafkaUnavailable(str(self._failure)) from self._failure
                raise Unavailable("there is no time left for the dead letter")
            try:
                await reject(
                    self._dead_letters,
                    self.brake,
                    partition,
                    record,
                    Rejected(record.offset, reason),
                    attempts=attempts,
                    first_failed_at_ms=first_failed_at_ms,
                )
            except KafkaUnavailable as error:
                self._failure = error
                self._warning.log("dead letters are sent again later: %s", error)
                raise
            self._failure = None
