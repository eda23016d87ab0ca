"""The numbers of the statistics, and of each app's days, compared with the records."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class StatisticReport:
    """
    One number of the statistics, and the bounds that the records give for it.

    `least` counts the callbacks up to the ends of their origins, `most` counts all that a source
    has. They differ while traffic runs.
    """

    shown: int
    least: int
    most: int

    @property
    def missing(self) -> int:
        """The least number of messages, people or callbacks that are not counted."""
        return max(0, self.least - self.shown)

    @property
    def doubled(self) -> int:
        """The least number of messages, people or callbacks that are counted twice."""
        return max(0, self.shown - self.most)


@dataclass(frozen=True, slots=True, kw_only=True)
class DayReport:
    """One day of an app, in the zone of its days: messages, and all callbacks."""

    app: str
    zone: str
    day: str
    messages: StatisticReport
    callbacks: StatisticReport

    @property
    def missing(self) -> int:
        """The least number of callbacks that are not counted in this day; some are messages."""
        return max(self.messages.missing, self.callbacks.missing)

    @property
    def doubled(self) -> int:
        """The least number that are counted in this day and do not belong to it."""
        return max(self.messages.doubled, self.callbacks.doubled)


@dataclass(frozen=True, slots=True, kw_only=True)
class DaysNotJudged:
    """Days of an app, from `first` to `last`, that are not judged, and why."""

    app: str
    first: str
    last: str
    days: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DaysReport:
    """
    The days of all apps in the statistics, compared with the records.

    `different` is the number of days that differ; `listed` has the first LISTED_MAX.
    """

    compared: int
    different: int
    missing: int
    doubled: int
    listed: list[DayReport]
    not_judged: list[DaysNotJudged]
