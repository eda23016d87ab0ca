"""
Cut time into the windows of a time zone, and find the stored windows that cover a range.

Sums are stored for quarter hours of UTC. Since 1973 the offset of every zone is a multiple of a
quarter hour, so each hour, day and month of each zone consists of whole quarter hours.

All times here are in UTC: Python compares two times of one zone by their clocks, so that of two
different moments when clocks go back it takes the later one for the earlier or for the same.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import cache, lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo, available_timezones

MINUTE = timedelta(minutes=1)
QUARTER = timedelta(minutes=15)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
# From 1973 to 2100 zoneinfo knows rules for every zone, and offsets are multiples of a quarter.
# These years are allowed: a window may reach into the year before or after.
YEAR_MIN, YEAR_MAX = 1974, 2099
# The starts of days that are remembered: a series of days asks for each of them several times.
DAY_BEGINS_MAX = 4096


class Step(StrEnum):
    """The length of windows."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


class Window(NamedTuple):
    """The time from `begin` until before `end`, both in UTC."""

    begin: datetime
    end: datetime


class Pieces(NamedTuple):
    """Stored windows that together cover a range, without overlap."""

    months: tuple[date, ...]
    days: tuple[date, ...]
    quarters: tuple[datetime, ...]


@cache
def zone_names() -> frozenset[str]:
    """Return the names of all zones; those of links such as PRC are among them."""
    # Not a zone of IANA: some systems have a copy of their own zone under this name.
    return frozenset(available_timezones()) - {"localtime"}


def windows(begin: datetime, end: datetime, step: Step, zone: ZoneInfo) -> Iterator[Window]:
    """Yield the windows of `zone` that have a part in the range, in order and without gaps."""
    at = window_begin(begin, step, zone)
    while at < end:
        following = window_end(at, step, zone)
        yield Window(at, following)
        at = following


def window_begin(at: datetime, step: Step, zone: ZoneInfo) -> datetime:
    """Return the start of the window that `at` is in."""
    if step is Step.MINUTE:
        return at.astimezone(UTC).replace(second=0, microsecond=0)
    if step is Step.HOUR:
        begin = quarter_begin(at)
        while _hour_of(begin - QUARTER, zone) == _hour_of(begin, zone):
            begin -= QUARTER
        return begin
    day = day_of(at, zone)
    return day_begin(day if step is Step.DAY else day.replace(day=1), zone)


def window_end(begin: datetime, step: Step, zone: ZoneInfo) -> datetime:
    """Return the end of the window that begins at `begin`; the next one begins there."""
    if step is Step.MINUTE:
        return begin + MINUTE
    if step is Step.HOUR:
        end = begin + QUARTER
        while _hour_of(end, zone) == _hour_of(begin, zone):
            end += QUARTER
        return end
    day = day_of(begin, zone)
    if step is Step.MONTH:
        return day_begin(next_month(day), zone)
    # A zone that moves over the date line skips a day: its end is its start, so it is no window.
    while (end := day_begin(day := day + DAY, zone)) <= begin:
        pass
    return end


def window_of(at: datetime, step: Step, zone: ZoneInfo) -> Window:
    """Return the window that `at` is in."""
    begin = window_begin(at, step, zone)
    return Window(begin, window_end(begin, step, zone))


def quarter_begin(at: datetime) -> datetime:
    """Return the start of the quarter hour that `at` is in, in UTC."""
    at = at.astimezone(UTC)
    return at.replace(minute=at.minute - at.minute % 15, second=0, microsecond=0)


def quarters(begin: datetime, end: datetime) -> Iterator[datetime]:
    """Yield the starts, in UTC, of the quarter hours of a range that begins and ends with one."""
    at, end = begin.astimezone(UTC), end.astimezone(UTC)
    while at < end:
        yield at
        at += QUARTER


def day_of(at: datetime, zone: ZoneInfo) -> date:
    """
    Return the day of `zone` that `at` is in.

    It is the date on the zone's clock, except where clocks went back over midnight after a minute
    of the new day (Newfoundland until 2011): days do not overlap, and the new one has begun.
    """
    day = at.astimezone(zone).date()
    return day + DAY if at >= day_begin(day + DAY, zone) else day


@lru_cache(maxsize=DAY_BEGINS_MAX)
def day_begin(day: date, zone: ZoneInfo) -> datetime:
    """Return the first moment of a day: midnight, or the first time that the clock shows."""
    midnight = datetime(day.year, day.month, day.day, tzinfo=zone)
    return midnight.astimezone(UTC)


def next_month(day: date) -> date:
    """Return the first day of the month after the one that `day` is in."""
    return (day.replace(day=28) + 4 * DAY).replace(day=1)


def pieces(begin: datetime, end: datetime, zone: ZoneInfo) -> Pieces:
    """
    Return the months, the days (both of `zone`) and the quarter hours that cover a range.

    The range begins and ends with a quarter hour. As few pieces as possible are used.
    """
    months: list[date] = []
    days: list[date] = []
    first = day_of(begin, zone)
    if day_begin(first, zone) < begin:
        first += DAY
    whole_begin, last = day_begin(first, zone), day_of(end, zone)
    whole_end = day_begin(last, zone)
    if whole_begin >= whole_end:
        return Pieces((), (), tuple(quarters(begin, end)))
    day = first
    while day < last:
        if day.day == 1 and next_month(day) <= last:
            months.append(day)
            day = next_month(day)
        else:
            days.append(day)
            day += DAY
    edges = (*quarters(begin, whole_begin), *quarters(whole_end, end))
    return Pieces(tuple(months), tuple(days), edges)


def _hour_of(at: datetime, zone: ZoneInfo) -> tuple[date, int, timedelta | None]:
    """
    Return what all quarter hours of one hour have in common.

    When clocks go back, an hour comes twice with two offsets: these are two windows. Where they
    move by half an hour (Lord Howe), a window of half an hour is left.
    """
    local = at.astimezone(zone)
    return local.date(), local.hour, local.utcoffset()
