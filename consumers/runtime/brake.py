"""What stops a consumer that sets too much aside. Pure."""

from collections import deque

from consumers.runtime.handler import Stopped

WINDOW_RECORDS = 1000


class Braked(Stopped):
    """Too many records were rejected. The consumer waits for a person, restarts do not help."""


class Brake:
    """Remembers of the last WINDOW_RECORDS records whether they were rejected."""

    def __init__(self, rejected_max: int) -> None:
        self._rejected_max = rejected_max
        self._rejected: deque[bool] = deque(maxlen=WINDOW_RECORDS)

    def applied(self, records: int) -> None:
        """Note that so many records are in the sink."""
        self._rejected.extend([False] * min(records, WINDOW_RECORDS))

    def rejected(self, reason: str) -> None:
        """
        Note that a record was rejected; call it before the record is set aside.

        Raises:
            Braked: that is more than may be; this one is not to be set aside.
        """
        if self._rejected.count(True) >= self._rejected_max:
            raise Braked(
                f"{self._rejected_max} of the last {len(self._rejected)} records were set aside, "
                f"and another one was rejected: {reason}. That is more likely a fault of the sink "
                "or of this consumer than of so many records. Mend it, then start the process "
                "again. What was set aside so far is in the dead-letter topic. The bound is "
                "CONSUMER_SET_ASIDE_MAX."
            )
        self._rejected.append(True)
