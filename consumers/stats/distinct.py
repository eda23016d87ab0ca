"""
Distinct people of windows: exact where a set was kept, else the union of sketches, with its error.

No person belongs to two apps, so the numbers of several apps are added up.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from functools import partial
from itertools import chain
from typing import NamedTuple

from consumers.counters import layout
from consumers.stats import answers
from consumers.stats.fields import Fields
from consumers.stats.store import Catalog, CountedApp, Sketches, StoredCounts
from consumers.stats.stored_windows import (
    WindowedRange,
    day_sketches,
    days_of,
    minute_fields,
    month_sketches,
    quarter_sketches,
    range_sketches,
    whole_days,
)
from consumers.stats.windows import DAY, Step, Window, day_begin
from schemas.figures import ACTIVE, PEOPLE

# The standard error of a count by Valkey's HyperLogLog, relative.
SKETCH_ERROR = 0.0081

_NOBODY = answers.Count(value=0, error=0.0)

# The count of each figure, None where there is no number.
Counts = dict[str, answers.Count | None]


class _Stored(NamedTuple):
    """The exact number of a day's people; if `is_sketched`, there were more."""

    number: int
    is_sketched: bool


async def people(
    store: StoredCounts,
    catalog: Catalog,
    windowed: WindowedRange,
    figures: Sequence[str] = tuple(PEOPLE),
) -> list[Counts]:
    """Return the people of each window, added up over the apps."""

    async def of(app: CountedApp) -> list[Counts]:
        if windowed.step is Step.MINUTE:
            return await _of_minutes(store, app, windowed)
        if not windowed.is_by_days(app):
            return await _of_quarters(store, app, windowed, figures)
        if windowed.step is Step.DAY:
            return await _of_days(store, app, windowed, figures)
        return await _of_months(store, app, windowed, figures)

    rows: list[Counts] = [{} for _ in windowed.windows]
    for of_app in await asyncio.gather(*map(of, catalog.apps.values())):
        rows = [_both(one, other) for one, other in zip(rows, of_app, strict=True)]
    return rows


async def people_of_range(
    store: StoredCounts, app: CountedApp, window: Window, figure: str, now: datetime
) -> answers.Count | None:
    """
    Return an app's people in one range; exact if it is one day of the app's zone.

    An estimate is never less than the people of a day in the range.
    """
    days = whole_days(window, app.zone)
    if len(days) == 1 and day_begin(days[0], app.zone) == window.begin:
        one_day = WindowedRange([window], Step.DAY, app.zone, now)
        if day_begin(days[0] + DAY, app.zone) == window.end:
            (count,) = await _of_days(store, app, one_day, [figure])
            return count[figure]
    stored = await _stored(store, app, days, [figure])
    keys = partial(range_sketches, app, figure, window)
    (estimate,) = await store.unions([Sketches((app, figure, window), keys, is_over=False)])
    at_least = max((number for ((number, _),) in stored.values()), default=0)
    return _estimated(max(estimate, at_least))


def added_up(counts: Sequence[answers.Count | None]) -> answers.Count | None:
    """Return the number of people over several apps, None if that of one is not known."""
    known = [count for count in counts if count is not None]
    if len(known) < len(counts):
        return None
    return answers.Count(
        value=sum(count.value for count in known),
        error=max((count.error for count in known), default=0.0),
    )


def active(counts: Counts) -> answers.Count:
    """Return the people who were active in a window, nobody if they are not known."""
    return counts.get(ACTIVE) or _NOBODY


def as_people(counts: Counts) -> answers.People:
    """Return the counts of a window as its answer."""
    return answers.People(**{figure: counts.get(figure) for figure in PEOPLE})


async def _of_minutes(
    store: StoredCounts, app: CountedApp, windowed: WindowedRange
) -> list[Counts]:
    reads = list(minute_fields(app, windowed.windows, (ACTIVE,)))
    rows: list[Counts] = [{ACTIVE: _NOBODY} for _ in windowed.windows]
    for (_, targets), numbers in zip(
        reads, await store.hashes([fields for fields, _ in reads]), strict=True
    ):
        for target, number in zip(targets, numbers, strict=True):
            rows[target] = {ACTIVE: answers.Count(value=number, error=0.0)}
    return rows


async def _of_quarters(
    store: StoredCounts, app: CountedApp, windowed: WindowedRange, figures: Sequence[str]
) -> list[Counts]:
    requested = [
        Sketches(
            (app, figure, window),
            partial(quarter_sketches, app, figure, window),
            windowed.is_over(window),
        )
        for window in windowed.windows
        for figure in figures
    ]
    return _rows(map(_estimated, await store.unions(requested)), figures)


async def _of_days(
    store: StoredCounts, app: CountedApp, windowed: WindowedRange, figures: Sequence[str]
) -> list[Counts]:
    """Return the stored numbers of days; estimates where a day has more than the exact bound."""
    days = [next(days_of(window, app.zone)) for window in windowed.windows]
    stored = await _stored(store, app, days, figures)
    requested = [
        Sketches(
            (app, figure, day),
            partial(day_sketches, app, figure, [day]),
            windowed.is_over(window),
        )
        if of_day.is_sketched
        else None
        for window, day in zip(windowed.windows, days, strict=True)
        for figure, of_day in zip(figures, stored[day], strict=True)
    ]
    estimates = await store.unions(requested)
    counts = map(_of_day, chain.from_iterable(stored[day] for day in days), estimates)
    return _rows(counts, figures)


def _of_day(stored: _Stored, estimate: int) -> answers.Count | None:
    if not stored.is_sketched:
        return answers.Count(value=stored.number, error=0.0)
    # Without an estimate, the sketch has expired, and the number is unknown.
    return _estimated(max(stored.number, estimate)) if estimate else None


async def _of_months(
    store: StoredCounts, app: CountedApp, windowed: WindowedRange, figures: Sequence[str]
) -> list[Counts]:
    days = [list(days_of(window, app.zone)) for window in windowed.windows]
    stored = await _stored(store, app, chain.from_iterable(days), figures)
    requested = [
        Sketches(
            (app, figure, "month", listed[0]),
            partial(month_sketches, app, figure, listed[:1]),
            windowed.is_over(window),
        )
        for window, listed in zip(windowed.windows, days, strict=True)
        for figure in figures
    ]
    at_least = (
        max(stored[day][at].number for day in listed)
        for listed in days
        for at in range(len(figures))
    )
    return _rows(map(_estimated, map(max, await store.unions(requested), at_least)), figures)


async def _stored(
    store: StoredCounts, app: CountedApp, days: Iterable[date], figures: Sequence[str]
) -> dict[date, list[_Stored]]:
    """Return what is stored of each figure, for each day."""
    by_month: dict[str, list[date]] = defaultdict(list)
    for day in days:
        by_month[layout.days_of_month(app.generation, app.name, day.isoformat())].append(day)
    width = len(figures)
    names = (*figures, *(layout.SKETCHED + figure for figure in figures))
    reads = [
        Fields(key, names, [layout.day_field(day.isoformat(), "") for day in listed])
        for key, listed in by_month.items()
    ]
    stored_by_day: dict[date, list[_Stored]] = {}
    for listed, numbers in zip(by_month.values(), await store.hashes(reads), strict=True):
        for at, day in enumerate(listed):
            of_day = numbers[at * 2 * width : (at + 1) * 2 * width]
            pairs = zip(of_day[:width], of_day[width:], strict=True)
            stored_by_day[day] = [_Stored(number, bool(flag)) for number, flag in pairs]
    return stored_by_day


def _estimated(number: int) -> answers.Count:
    # An empty sketch is exact.
    return answers.Count(value=number, error=SKETCH_ERROR if number else 0.0)


def _rows(counts: Iterable[answers.Count | None], figures: Sequence[str]) -> list[Counts]:
    each = list(counts)
    width = len(figures)
    return [
        dict(zip(figures, each[at : at + width], strict=True)) for at in range(0, len(each), width)
    ]


def _both(one: Counts, other: Counts) -> Counts:
    return {
        figure: added_up([one[figure], count]) if figure in one else count
        for figure, count in other.items()
    }
