"""The numbers of the statistics, and of each app's days, compared with the records."""

from collections.abc import Mapping
from dataclasses import dataclass

# The names of the numbers of the statistics, and how many of each a callback adds at most.
MESSAGES, PEOPLE = "messages", "people"
ADDED_MAX = {MESSAGES: 1, PEOPLE: 2}


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

    def __add__(self, other: "StatisticReport") -> "StatisticReport":
        """Return the number of two days together."""
        return StatisticReport(
            shown=self.shown + other.shown,
            least=self.least + other.least,
            most=self.most + other.most,
        )


def missing_by(statistics: Mapping[str, StatisticReport]) -> int:
    """Return the least number of callbacks that are not counted, by numbers of the statistics."""
    return max((_callbacks(name, each.missing) for name, each in statistics.items()), default=0)


def doubled_by(statistics: Mapping[str, StatisticReport]) -> int:
    """Return the least number of callbacks that are counted and must not be."""
    return max((_callbacks(name, each.doubled) for name, each in statistics.items()), default=0)


def _callbacks(name: str, number: int) -> int:
    """Return the least number of callbacks that add `number` to a number of the statistics."""
    return -(-number // ADDED_MAX[name])


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

    `different` is the number of days that differ; `listed` has the first LISTED_MAX. `missing` and
    `doubled` are of all compared days together: a callback that is counted in another one of these
    days than its own is neither.
    """

    compared: int
    different: int
    missing: int
    doubled: int
    listed: list[DayReport]
    not_judged: list[DaysNotJudged]
