"""What stops a consumer that sets too much aside. Pure."""

from collections import deque

from consumers.runtime.handler import Stopped

WINDOW_RECORDS = 1000


class Braked(Stopped):
    """Too many records were rejected. The consumer waits for a person, restarts do not help."""


class Brake:
    """Remembers of the last WINDOW_RECORDS records whether they were set aside."""

    def __init__(self, set_aside_max: int) -> None:
        self._set_aside_max = set_aside_max
        self._set_aside: deque[bool] = deque(maxlen=WINDOW_RECORDS)

    def applied(self, records: int) -> None:
        """Note that so many records are in the sink."""
        self._set_aside.extend([False] * min(records, WINDOW_RECORDS))

    def set_aside(self) -> None:
        """Note that a record was set aside."""
        self._set_aside.append(True)

    def check(self, reason: str) -> None:
        """
        Return if a record that is rejected may be set aside; it may be asked for one again.

        Raises:
            Braked: that would be more than may be.
        """
        if self._set_aside.count(True) >= self._set_aside_max:
            raise Braked(
                f"{self._set_aside_max} of the last {len(self._set_aside)} records were set aside, "
                f"and another one was rejected: {reason}. That is more likely a fault of the sink "
                "or of this consumer than of so many records. Mend it, then start the process "
                "again. What was set aside so far is in the dead-letter topic. The bound is "
                "CONSUMER_SET_ASIDE_MAX."
            )
