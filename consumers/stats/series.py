"""/v1/series and /v1/people: the windows of a range, and the people of all of it."""

import asyncio
from collections.abc import Mapping
from typing import Any

from consumers.stats import answers
from consumers.stats.distinct import added_up as added_people
from consumers.stats.distinct import as_people, people, people_of_range
from consumers.stats.problems import refused_parameter
from consumers.stats.scope import (
    DAY_SKETCHES_KEPT,
    Scope,
    check_age,
    check_month,
    split_range,
    whole_range,
)
from consumers.stats.store import StoredCounts
from consumers.stats.stored_windows import WindowedRange
from consumers.stats.sums import Rows, added_up, figures, sums
from consumers.stats.windows import Step, day_begin, pieces
from schemas.commands import COMMANDS
from schemas.figures import (
    ACTIVE,
    COMMAND,
    GROUP_MESSAGES,
    ONE_TO_ONE_MESSAGES,
    OTHER,
    PLATFORM,
    PLATFORMS,
    SUMS,
    TYPE,
    TYPES,
)

# The names that are counted, by the parameter `by`.
NAMES: Mapping[str, tuple[str, ...]] = {
    "type": tuple(TYPE + name for name in (*TYPES, OTHER)),
    "platform": tuple(PLATFORM + name for name in (*PLATFORMS, OTHER)),
    "command": tuple(COMMAND + name for name in (*sorted(COMMANDS), OTHER)),
    "app": (ONE_TO_ONE_MESSAGES, GROUP_MESSAGES),
}


async def series(
    store: StoredCounts, values: Mapping[str, Any], scope: Scope
) -> answers.Series | answers.SeriesBy:
    """
    Return a row for each window of the range.

    Raises:
        RequestRefused: the parameters do not go together, or ask for more than is stored or
            allowed.
    """
    by = values.get("by")
    if by == "command" and values.get("step") is Step.MINUTE:
        raise refused_parameter("by", by, "one of app, platform, type with step=minute")
    names = SUMS if by is None else NAMES[by]
    windowed = split_range(values, scope, len(names))
    begin, end = windowed.windows[0].begin, windowed.windows[-1].end
    if by is not None:
        window_sums = await sums(store, scope.catalog, windowed, names)
        return answers.SeriesBy(
            app=scope.app,
            zone=scope.zone.key,
            step=windowed.step.value,
            begin=begin.astimezone(scope.zone),
            end=end.astimezone(scope.zone),
            by=by,
            rows=_rows_by(windowed, window_sums.rows, names, by),
        )
    return answers.Series(
        app=scope.app,
        zone=scope.zone.key,
        step=windowed.step.value,
        begin=begin.astimezone(scope.zone),
        end=end.astimezone(scope.zone),
        rows=await _rows(store, scope, windowed),
    )


async def distinct_people(
    store: StoredCounts, values: Mapping[str, Any], scope: Scope
) -> answers.DistinctPeople:
    """
    Return the distinct people of the range.

    Raises:
        RequestRefused: the range is empty, too long, or older than what is kept.
    """
    window = whole_range(values, scope)
    figure = values.get("figure", ACTIVE)
    counts = []
    for app in scope.catalog.apps.values():
        stored_windows = pieces(window.begin, window.end, app.zone)
        if stored_windows.quarters:
            what = "ranges that are not whole days of the app's zone"
            check_age(stored_windows.quarters[0], scope.retention.quarters, scope.now, what)
        if whole := [*stored_windows.months, *stored_windows.days]:
            check_month(day_begin(min(whole), app.zone), app, scope)
        if stored_windows.days:
            check_age(window.begin, DAY_SKETCHES_KEPT, scope.now, "ranges of other than months")
        counts.append(await people_of_range(store, app, window, figure, scope.now))
    total = added_people(counts)
    if total is None:
        raise refused_parameter("from", str(window.begin), "of at most 400 days ago")
    return answers.DistinctPeople(
        app=scope.app,
        zone=scope.zone.key,
        begin=window.begin.astimezone(scope.zone),
        end=window.end.astimezone(scope.zone),
        figure=figure,
        value=total.value,
        error=total.error,
        is_exact=total.error == 0,
    )


async def _rows(
    store: StoredCounts, scope: Scope, windowed: WindowedRange
) -> list[answers.SeriesRow]:
    # At once: each of them waits for a call of the counters in Valkey.
    window_sums, counts = await asyncio.gather(
        sums(store, scope.catalog, windowed, SUMS), people(store, scope.catalog, windowed)
    )
    total = added_up(window_sums.rows, len(windowed.windows), len(SUMS))
    return [
        answers.SeriesRow(
            begin=window.begin.astimezone(windowed.zone),
            end=window.end.astimezone(windowed.zone),
            figures=figures(row, has_conversations=window.end <= window_sums.conversations_until),
            people=as_people(of_window),
        )
        for window, row, of_window in zip(windowed.windows, total, counts, strict=True)
    ]


def _rows_by(
    windowed: WindowedRange, rows: Rows, names: tuple[str, ...], by: answers.By
) -> list[answers.SeriesByRow]:
    if by == "app":
        numbers = [
            {app: sum(of_app[at]) for app, of_app in rows.items()}
            for at in range(len(windowed.windows))
        ]
    else:
        shown = [name.partition(":")[2] for name in names]
        numbers = [
            dict(zip(shown, row, strict=True))
            for row in added_up(rows, len(windowed.windows), len(names))
        ]
    return [
        answers.SeriesByRow(
            begin=window.begin.astimezone(windowed.zone),
            end=window.end.astimezone(windowed.zone),
            by={name: number for name, number in named.items() if number},
        )
        for window, named in zip(windowed.windows, numbers, strict=True)
    ]
