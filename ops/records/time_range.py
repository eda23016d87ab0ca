"""A range of time, in which records are read."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

# Clocks differ: those of two brokers that lead a partition one after the other, so that the times
# of its records are not in order; and those of the sender and of the brokers.
CLOCK_SLACK = timedelta(minutes=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeRange:
    """The time from `since` until before `until`, both in UTC."""

    since: datetime
    until: datetime

    def __contains__(self, at: datetime) -> bool:
        """Return whether a time is in the range."""
        return self.since <= at < self.until

    def widened(self) -> "TimeRange":
        """Return the range with CLOCK_SLACK on both sides."""
        return TimeRange(since=self.since - CLOCK_SLACK, until=self.until + CLOCK_SLACK)

    @property
    def length(self) -> timedelta:
        """The time from its beginning to its end."""
        return self.until - self.since

    @property
    def first_hour(self) -> str:
        """The hour in which the range begins, as names of segments have it."""
        return f"{self.since:%Y-%m-%dT%H}"

    @property
    def last_hour(self) -> str:
        """The hour of the last moment of the range."""
        return f"{self.until - timedelta(microseconds=1):%Y-%m-%dT%H}"

    def __str__(self) -> str:
        """Return both ends for people; the day of the end only if it is another one."""
        end = "%H:%M" if self.until.date() == self.since.date() else "%Y-%m-%d %H:%M"
        return f"{self.since:%Y-%m-%d %H:%M} and {self.until:{end}} UTC"


def hour_of(at: datetime) -> datetime:
    """Return the beginning of the hour of a time, in UTC."""
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
