"""/v1/summary: now, today, and the days with which today is compared."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from consumers.stats import answers
from consumers.stats.distinct import Counts, as_people, people
from consumers.stats.question import Question
from consumers.stats.store import Store
from consumers.stats.stored_windows import Cut
from consumers.stats.sums import (
    Rows,
    added_up,
    conversations_counted_until,
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
WEEK = timedelta(days=7)
_MESSAGES = (ONE_TO_ONE_MESSAGES, GROUP_MESSAGES, UNDELIVERED)
_NOBODY = answers.Count(value=0, error=0.0)


async def summary(store: Store, asked: Question, *, is_live: bool) -> answers.Summary:
    """
    Return the summary at `asked.now`; if `is_live`, today is all that was counted of the day.

    A moment in the past is taken to the minute.
    """
    zone, now = asked.zone, asked.now
    today = day_of(now, zone)
    days = [_day(today - ago * DAY, zone) for ago in (0, 1, 7)]
    parts = [_part(now, today - ago * DAY, zone) for ago in (0, 1, 7)]
    of_days = Cut(days, Step.DAY, zone, now)
    # Windows of quarter hours, whatever the zone.
    of_parts = Cut(whole_quarters(parts), Step.HOUR, zone, now)
    rows_of_days = await sums(store, asked.catalog, of_days, SUMS)
    rows_of_parts = await sums_to_the_minute(store, asked.catalog, parts, SUMS)
    # After the sums: one that may lack conversations is not shown.
    until = await conversations_counted_until(store, asked.catalog)
    whole = await _periods(store, asked, days, rows_of_days, of_days, counted_until=until)
    until_now = await _periods(store, asked, parts, rows_of_parts, of_parts, counted_until=until)
    return answers.Summary(
        app=asked.app,
        zone=zone.key,
        now=await _now(store, asked),
        today=_until(whole[0], now, zone) if is_live else until_now[0],
        yesterday_until_now=until_now[1],
        yesterday=whole[1],
        last_week_until_now=until_now[2],
        last_week=whole[2],
        sparklines=await _sparklines(store, asked),
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


async def _periods(
    store: Store,
    asked: Question,
    ranges: Sequence[Window],
    rows: Rows,
    of_people: Cut,
    *,
    counted_until: datetime,
) -> list[answers.Period]:
    """Return each range with its sums, `rows`, and the people of its window in `of_people`."""
    counts = await people(store, asked.catalog, of_people)
    total = added_up(rows, len(ranges), len(SUMS))
    return [
        answers.Period(
            begin=begin.astimezone(asked.zone),
            end=end.astimezone(asked.zone),
            people_until=people_until.astimezone(asked.zone),
            figures=figures(row, has_conversations=end <= counted_until),
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


async def _now(store: Store, asked: Question) -> answers.Now:
    until = window_begin(asked.now, Step.MINUTE, asked.zone)
    minutes = [
        Window(until - (ago + 1) * MINUTE, until - ago * MINUTE)
        for ago in reversed(range(SHARE_MINUTES))
    ]
    made = Cut(minutes, Step.MINUTE, asked.zone, asked.now)
    rows = added_up(
        await sums(store, asked.catalog, made, _MESSAGES), SHARE_MINUTES, len(_MESSAGES)
    )
    counts = await people(store, asked.catalog, made)
    messages = sum(one_to_one + group for one_to_one, group, _ in rows)
    one_to_one, group, _ = rows[-1]
    return answers.Now(
        messages_per_second=round((one_to_one + group) / 60, 2),
        people=_active(counts[-1]),
        not_delivered_share=sum(row[2] for row in rows) / messages if messages else None,
        until=until.astimezone(asked.zone),
    )


async def _sparklines(store: Store, asked: Question) -> answers.Sparklines:
    end = window_end(window_begin(asked.now, Step.HOUR, asked.zone), Step.HOUR, asked.zone)
    # Hours of 60 minutes, also when clocks change: a line has no room to say more.
    edges = [end - ago * HOUR for ago in reversed(range(SPARKLINE_HOURS + 1))]
    hours = [Window(begin, following) for begin, following in pairwise(edges)]
    made = Cut(hours, Step.HOUR, asked.zone, asked.now)
    rows = await sums(store, asked.catalog, made, _MESSAGES)
    total = added_up(rows, len(hours), len(_MESSAGES))
    counts = await people(store, asked.catalog, made, (ACTIVE,))
    return answers.Sparklines(
        begins=[begin.astimezone(asked.zone) for begin, _ in hours],
        messages=[one_to_one + group for one_to_one, group, _ in total],
        people=[_active(of_hour).value for of_hour in counts],
        undelivered=[undelivered for _, _, undelivered in total],
    )


def _active(counts: Counts) -> answers.Count:
    return counts.get(ACTIVE) or _NOBODY
