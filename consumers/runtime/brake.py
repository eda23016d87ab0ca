"""The limit of rejected records, above which a consumer stops. No I/O."""

from collections import deque

from consumers.runtime.handler import Stopped

WINDOW_RECORDS = 1000


class Braked(Stopped):
    """Too many records were rejected. The consumer waits for a person; a restart does not help."""


class Brake:
    """Counts the rejected records among the last WINDOW_RECORDS records."""

    def __init__(self, rejected_max: int) -> None:
        self._rejected_max = rejected_max
        self._rejected: deque[bool] = deque(maxlen=WINDOW_RECORDS)

    def note_applied(self, records: int) -> None:
        """Note that `records` records are in the sink."""
        self._rejected.extend([False] * min(records, WINDOW_RECORDS))

    def note_rejected(self) -> None:
        """Note that a record was rejected and is in the dead-letter topic."""
        self._rejected.append(True)

    @property
    def rejected_lately(self) -> int:
        """The number of rejected records among the last WINDOW_RECORDS."""
        return self._rejected.count(True)

    def check(self, reason: str) -> None:
        """
        Check that another record may be sent to the dead-letter topic.

        `reason`: why the record was rejected.

        Raises:
            Braked: the limit is reached.
        """
        if self.rejected_lately >= self._rejected_max:
            raise Braked(
                f"{self._rejected_max} of the last {len(self._rejected)} records were rejected and "
                f"sent to the dead-letter topic, and another one was rejected: {reason}. This many "
                "rejections usually mean that the sink or this consumer is broken. Fix the cause, "
                "then restart the process. The limit is CONSUMER_DEAD_LETTERS_MAX."
            )
