"""The time since which an audit covers callbacks: the beginning of an hour."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Self

from ingress.spool.hours import hour_at
from ops.records.time_range import hour_of

# Kafka and the archive are read from so long before: the clocks of the ingresses, by which a spool
# notes its hours, and of the brokers, by which records are found, may differ by this much.
READ_BEFORE = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Since:
    """The callbacks that a spool has stored at `at` or later, in UTC."""

    at: datetime

    @classmethod
    def the_hour_of(cls, at: datetime) -> Self:
        """Return the beginning of an hour."""
        return cls(hour_of(at))

    @property
    def hour(self) -> int:
        """The hour as spools note it."""
        return hour_at(self.at.timestamp())

    @property
    def read_from(self) -> datetime:
        """The time of Kafka from which records are read."""
        return self.at - READ_BEFORE

    @property
    def read_from_ms(self) -> int:
        """The same in milliseconds since 1970."""
        return int(self.read_from.timestamp() * 1000)

    def __str__(self) -> str:
        """Return the time for people."""
        return f"{self.at:%Y-%m-%dT%H:%M}Z"
