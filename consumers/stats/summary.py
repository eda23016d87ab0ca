"""/v1/summary: now, today, and the days with which today is compared."""

import asyncio
from collections.abc import Sequence
from datetime import date, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

from consumers.stats import answers
from consumers.stats.distinct import Counts, active, as_people, people
from consumers.stats.scope import Scope
from consumers.stats.store import StoredCounts
from consumers.stats.stored_windows import WindowedRange
from consumers.stats.sums import (
    WindowSums,
    added_up,
    figures,
    sums,
    sums_to_the_minute,
    whole_quarters,
)
from consumers.stats.windows import (
    DAY,
    HOUR,
    MINUTE,
    Step,
    Window,
    day_begin,
    day_of,
    window_begin,
    window_end,
)
from schemas.figures import ACTIVE, GROUP_MESSAGES, ONE_TO_ONE_MESSAGES, SUMS, UNDELIVERED

SPARKLINE_HOURS = 24
SHARE_MINUTES = 15
_MESSAGES = (ONE_TO_ONE_MESSAGES, GROUP_MESSAGES, UNDELIVERED)


async def summary(store: StoredCounts, scope: Scope, *, is_live: bool) -> answers.Summary:
    """
    Return the summary at `scope.now`; if `is_live`, today is all that was counted of the day.

    Otherwise today is a part of a day like those with which it is compared: to the minute, and its
    people to the last whole quarter hour.
    """
    zone, now = scope.zone, scope.now
    today = day_of(now, zone)
    days = [_day(today - ago * DAY, zone) for ago in (0, 1, 7)]
    # A live today is the whole day, so its part until now is not asked for.
    parts = [_part(now, today - ago * DAY, zone) for ago in ((1, 7) if is_live else (1, 7, 0))]
    # At once: each of them waits for a call of the counters in Valkey.
    of_now, whole, until_now, sparklines = await asyncio.gather(
        _now(store, scope),
        _days(store, scope, days),
        _parts(store, scope, parts),
        _sparklines(store, scope),
    )
    return answers.Summary(
        app=scope.app,
        zone=zone.key,
        now=of_now,
        today=_until(whole[0], now, zone) if is_live else until_now[2],
        yesterday_until_now=until_now[0],
        yesterday=whole[1],
        last_week_until_now=until_now[1],
        last_week=whole[2],
        sparklines=sparklines,
        people_exact_max=scope.catalog.keep_times.people_exact_max,
    )


def _day(day: date, zone: ZoneInfo) -> Window:
    return Window(day_begin(day, zone), day_begin(day + DAY, zone))


def _part(now: datetime, day: date, zone: ZoneInfo) -> Window:
    """Return a day until the same time on the clock as now, to the minute, within the day."""
    begin, end = _day(day, zone)
    local = now.astimezone(zone)
    at = window_begin(
        datetime(
            day.year, day.month, day.day, local.hour, local.minute, tzinfo=zone, fold=local.fold
        ),
        Step.MINUTE,
        zone,
    )
    return Window(begin, min(max(at, begin), end))


async def _days(store: StoredCounts, scope: Scope, days: Sequence[Window]) -> list[answers.Period]:
    windowed = WindowedRange(days, Step.DAY, scope.zone, scope.now)
    window_sums, counts = await asyncio.gather(
        sums(store, scope.catalog, windowed, SUMS), people(store, scope.catalog, windowed)
    )
    return _periods(scope, days, window_sums, windowed, counts)


async def _parts(
    store: StoredCounts, scope: Scope, parts: Sequence[Window]
) -> list[answers.Period]:
    """Return ranges that begin with a quarter hour; people are those of its whole quarter hours."""
    # Windows of quarter hours, whatever the zone.
    windowed = WindowedRange(whole_quarters(parts), Step.HOUR, scope.zone, scope.now)
    window_sums, counts = await asyncio.gather(
        sums_to_the_minute(store, scope.catalog, parts, SUMS),
        people(store, scope.catalog, windowed),
    )
    return _periods(scope, parts, window_sums, windowed, counts)


def _periods(
    scope: Scope,
    ranges: Sequence[Window],
    window_sums: WindowSums,
    of_people: WindowedRange,
    counts: Sequence[Counts],
) -> list[answers.Period]:
    """Return each range with its sums, and the people of its window in `of_people`."""
    total = added_up(window_sums.rows, len(ranges), len(SUMS))
    return [
        answers.Period(
            begin=begin.astimezone(scope.zone),
            end=end.astimezone(scope.zone),
            people_until=people_until.astimezone(scope.zone),
            figures=figures(row, has_conversations=end <= window_sums.conversations_until),
            people=as_people(of_range),
        )
        for (begin, end), (_, people_until), row, of_range in zip(
            ranges, of_people.windows, total, counts, strict=True
        )
    ]


def _until(day: answers.Period, now: datetime, zone: ZoneInfo) -> answers.Period:
    at = now.astimezone(zone)
    return answers.Period(
        begin=day.begin, end=at, people_until=at, figures=day.figures, people=day.people
    )


async def _now(store: StoredCounts, scope: Scope) -> answers.Now:
    until = window_begin(scope.now, Step.MINUTE, scope.zone)
    minutes = [
        Window(until - (ago + 1) * MINUTE, until - ago * MINUTE)
        for ago in reversed(range(SHARE_MINUTES))
    ]
    windowed = WindowedRange(minutes, Step.MINUTE, scope.zone, scope.now)
    window_sums, counts = await asyncio.gather(
        sums(store, scope.catalog, windowed, _MESSAGES), people(store, scope.catalog, windowed)
    )
    rows = added_up(window_sums.rows, SHARE_MINUTES, len(_MESSAGES))
    messages = sum(one_to_one + group for one_to_one, group, _ in rows)
    one_to_one, group, _ = rows[-1]
    return answers.Now(
        messages_per_second=round((one_to_one + group) / 60, 2),
        people=active(counts[-1]),
        not_delivered_share=sum(row[2] for row in rows) / messages if messages else None,
        until=until.astimezone(scope.zone),
    )


async def _sparklines(store: StoredCounts, scope: Scope) -> answers.Sparklines:
    end = window_end(window_begin(scope.now, Step.HOUR, scope.zone), Step.HOUR, scope.zone)
    # Hours of 60 minutes, also when clocks change: a line has no room to say more.
    edges = [end - ago * HOUR for ago in reversed(range(SPARKLINE_HOURS + 1))]
    hours = [Window(begin, following) for begin, following in pairwise(edges)]
    windowed = WindowedRange(hours, Step.HOUR, scope.zone, scope.now)
    window_sums, counts = await asyncio.gather(
        sums(store, scope.catalog, windowed, _MESSAGES),
        people(store, scope.catalog, windowed, (ACTIVE,)),
    )
    total = added_up(window_sums.rows, len(hours), len(_MESSAGES))
    return answers.Sparklines(
        begins=[begin.astimezone(scope.zone) for begin, _ in hours],
        messages=[one_to_one + group for one_to_one, group, _ in total],
        people=[active(of_hour).value for of_hour in counts],
        undelivered=[undelivered for _, _, undelivered in total],
    )
