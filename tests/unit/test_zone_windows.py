"""Windows of all zones, around every change of a clock."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.stats.windows import (
    DAY,
    QUARTER,
    Step,
    Window,
    day_begin,
    day_of,
    next_month,
    pieces,
    quarters,
    window_begin,
    windows,
    zone_names,
)

SHANGHAI, BERLIN = ZoneInfo("Asia/Shanghai"), ZoneInfo("Europe/Berlin")
FIRST, LAST = datetime(2009, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC)
# Shorter than the time between two changes: Morocco changes its clocks around Ramadan.
BETWEEN = timedelta(days=20)


@cache
def changes() -> dict[tuple[datetime, timedelta | None, timedelta | None], ZoneInfo]:
    """Return the changes of all zones; zones that change together have one entry."""
    zones = {}
    for name in sorted(zone_names()):
        zone = ZoneInfo(name)
        at, offset = FIRST, FIRST.astimezone(zone).utcoffset()
        while at < LAST:
            before, at = at, at + BETWEEN
            if (after := at.astimezone(zone).utcoffset()) != offset:
                zones[_change(before, at, zone), offset, after] = zone
                offset = after
    return zones


def _change(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """Return the minute in which the offset changes."""
    offset = before.astimezone(zone).utcoffset()
    while after - before > timedelta(minutes=1):
        middle = before + (after - before) // timedelta(minutes=2) * timedelta(minutes=1)
        if middle.astimezone(zone).utcoffset() == offset:
            before = middle
        else:
            after = middle
    return after


def days_of(year: int, month: int, zone: ZoneInfo) -> Iterator[Window]:
    """Yield the days of a month."""
    first = date(year, month, 1)
    return windows(day_begin(first, zone), day_begin(next_month(first), zone), Step.DAY, zone)


def test_every_offset_is_a_multiple_of_a_quarter_hour() -> None:
    """So quarter hours of UTC are enough for the hours and days of every zone."""
    assert len(zone_names()) > 400
    assert len(changes()) > 300
    for _, before, after in changes():
        for offset in (before, after):
            assert offset is not None
            assert offset % QUARTER == timedelta(0)


@pytest.mark.parametrize(
    ("step", "around"), [(Step.HOUR, DAY / 8), (Step.DAY, 2 * DAY), (Step.MONTH, 2 * DAY)]
)
def test_windows_around_every_change_follow_each_other_in_whole_quarter_hours(
    step: Step, around: timedelta
) -> None:
    """No moment is in two of them, and none in no window."""
    for (at, _, _), zone in changes().items():
        covering = list(windows(at - around, at + around, step, zone))
        assert covering[0].begin <= at - around
        assert covering[-1].end >= at + around
        for one, following in pairwise(covering):
            assert one.end == following.begin, (zone, at)
        for begin, end in covering:
            assert begin < end, (zone, at)
            assert (begin.minute % 15, begin.second, begin.tzinfo) == (0, 0, UTC)
            assert window_begin(end - timedelta(seconds=1), step, zone) == begin, (zone, at)
            assert window_begin(begin, step, zone) == begin, (zone, at)


def test_hours_are_hours_of_the_clock() -> None:
    """An hour begins when the clock shows a whole hour, or in the quarter after its change."""
    for (at, _, _), zone in changes().items():
        for begin, end in windows(at - DAY / 8, at + DAY / 8, Step.HOUR, zone):
            assert end - begin <= timedelta(hours=1), (zone, at)
            assert not begin.astimezone(zone).minute or at <= begin < at + QUARTER, (zone, at)


def test_a_day_has_23_to_25_hours_when_clocks_change() -> None:
    """In Berlin one hour; on Lord Howe half an hour."""
    hours = [(end - begin) / timedelta(hours=1) for begin, end in days_of(2026, 3, BERLIN)]
    assert (len(hours), hours.index(23), sum(hours)) == (31, 28, 31 * 24 - 1)
    hours = [(end - begin) / timedelta(hours=1) for begin, end in days_of(2026, 10, BERLIN)]
    assert (hours.index(25), sum(hours)) == (24, 31 * 24 + 1)
    lord_howe = [end - begin for begin, end in days_of(2026, 4, ZoneInfo("Australia/Lord_Howe"))]
    assert max(lord_howe) == timedelta(hours=24.5)


def test_the_hour_that_comes_twice_is_two_windows() -> None:
    """Their begins differ in the offset."""
    night = datetime(2026, 10, 25, tzinfo=UTC)
    begins = [w.begin for w in windows(night, night + timedelta(hours=3), Step.HOUR, BERLIN)]
    shown = [f"{begin.astimezone(BERLIN):%H:%M%z}" for begin in begins]
    assert shown == ["02:00+0200", "02:00+0100", "03:00+0100"]


@pytest.mark.parametrize(
    ("name", "begin"),
    [
        ("Asia/Shanghai", "2026-11-27T16:00"),
        ("Asia/Kolkata", "2026-11-27T18:30"),
        ("Asia/Kathmandu", "2026-11-27T18:15"),
        ("Pacific/Chatham", "2026-11-27T10:15"),
        ("America/St_Johns", "2026-11-28T03:30"),
    ],
)
def test_days_begin_at_the_zones_own_midnight(name: str, begin: str) -> None:
    """Also in zones of half and quarter hours."""
    assert f"{day_begin(date(2026, 11, 28), ZoneInfo(name)):%Y-%m-%dT%H:%M}" == begin


def test_a_day_that_a_zone_skips_is_no_window() -> None:
    """Samoa had no 30 December 2011."""
    apia = ZoneInfo("Pacific/Apia")
    days = [day_of(window.begin, apia).day for window in days_of(2011, 12, apia)]
    assert days == [*range(1, 30), 31]


def test_a_range_is_covered_by_as_few_stored_windows_as_possible() -> None:
    """Whole months, else whole days, else quarter hours."""
    begin = day_begin(date(2026, 8, 30), SHANGHAI) - timedelta(hours=1)
    stored = pieces(begin, day_begin(date(2026, 11, 2), SHANGHAI) + QUARTER, SHANGHAI)
    assert stored.months == (date(2026, 9, 1), date(2026, 10, 1))
    assert stored.days == (date(2026, 8, 30), date(2026, 8, 31), date(2026, 11, 1))
    assert stored.quarters == (
        *(begin + at * QUARTER for at in range(4)),
        day_begin(date(2026, 11, 2), SHANGHAI),
    )


@given(
    st.integers(0, 96 * 400),
    st.integers(1, 96 * 70),
    st.sampled_from(["Asia/Shanghai", "Europe/Berlin", "Pacific/Chatham", "Australia/Lord_Howe"]),
)
def test_pieces_cover_each_quarter_hour_of_a_range_once(first: int, count: int, name: str) -> None:
    """Months, days and quarter hours do not overlap."""
    zone = ZoneInfo(name)
    begin = datetime(2026, 1, 1, tzinfo=UTC) + first * QUARTER
    end = begin + count * QUARTER
    stored = pieces(begin, end, zone)
    covered = list(stored.quarters)
    for day in stored.days:
        covered += quarters(day_begin(day, zone), day_begin(day + DAY, zone))
    for month in stored.months:
        covered += quarters(day_begin(month, zone), day_begin(next_month(month), zone))
    assert sorted(covered) == list(quarters(begin, end))
