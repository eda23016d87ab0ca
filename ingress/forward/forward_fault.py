"""The fault that stops forwarding a spool, and its duration: for `/status` and for the log."""

import logging
import time
from collections.abc import Callable

from aiokafka.errors import KafkaError

from ingress.spool.disk import DiskFailed, LimitReached
from schemas.ingress_status import NOT_CONNECTED

log = logging.getLogger(__name__)


class ForwardFault:
    """
    `text` is why rows cannot be sent now, "" if they can be sent.

    `failing_since` is the time of the first failure, None if all is well. A fault lasts from the
    first failure until rows were sent, or until Kafka has answered an idle forwarder: a connection
    that fails again at the first transaction does not end it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.text = NOT_CONNECTED
        self.failing_since: float | None = None

    @property
    def for_s(self) -> float | None:
        """For how many seconds the fault has lasted, None if there is none, or no failure yet."""
        if not self.text or self.failing_since is None:
            return None
        return self._clock() - self.failing_since

    def note_failure(self, error: Exception, origin: str, sequence: int) -> None:
        """Note why forwarding from `origin` has stopped after `sequence`, and log another fault."""
        if self.failing_since is None:
            self.failing_since = self._clock()
        is_expected = isinstance(
            error, KafkaError | TimeoutError | OSError | LimitReached | DiskFailed
        )
        before, self.text = self.text, _text(error)
        if self.text != before or not is_expected:
            log.warning(
                "forwarding from origin %s stopped after sequence %d: %s; callbacks wait on disk",
                origin,
                sequence,
                self.text,
                exc_info=None if is_expected else error,
            )

    def note_connected(self) -> None:
        """Note that rows can be sent, as far as is known."""
        self.text = ""

    def note_not_failing(self) -> None:
        """
        Note that rows were sent, or that Kafka has answered an idle forwarder.

        The fault itself ends at `note_connected`.
        """
        self.failing_since = None


def _text(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "Kafka does not answer in time"
    return str(error) or type(error).__name__
