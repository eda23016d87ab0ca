"""Sums of windows, exact in every zone: from minutes, quarter hours, or the app's own days."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from itertools import chain
from operator import add
from typing import NamedTuple, TypeAlias

from consumers.counters import layout
from consumers.stats import answers
from consumers.stats.fields import Fields
from consumers.stats.store import Catalog, CountedApp, StoredCounts
from consumers.stats.stored_windows import (
    Parts,
    WindowedRange,
    day_fields,
    minute_fields,
    quarter_fields,
)
from consumers.stats.windows import DAY, MINUTE, QUARTER, Step, Window, quarter_begin
from schemas.figures import (
    GROUP_MESSAGES,
    NEW_CONVERSATIONS,
    ONE_TO_ONE_MESSAGES,
    SUMS,
    UNDELIVERED,
)

LATEST = datetime.max.replace(tzinfo=UTC)
# Rows of numbers by app: a row for each window, in it a number for each name.
Rows: TypeAlias = dict[str, list[list[int]]]


class WindowSums(NamedTuple):
    """
    Sums of windows, and until when new conversations were counted: LATEST if they still are.

    Windows that end later may lack conversations.
    """

    rows: Rows
    conversations_until: datetime


async def sums(
    store: StoredCounts, catalog: Catalog, windowed: WindowedRange, names: tuple[str, ...]
) -> WindowSums:
    """Return the sums of `names` in each window."""

    def parts(app: CountedApp) -> Iterable[Parts]:
        if windowed.step is Step.MINUTE:
            return minute_fields(app, windowed.windows, names)
        if windowed.is_by_days(app):
            return day_fields(app, windowed.windows, names)
        return quarter_fields(app, windowed.windows, names)

    return await _sums(store, catalog, parts, len(names), len(windowed.windows))


def whole_quarters(windows: Sequence[Window]) -> list[Window]:
    """Return the whole quarter hours of ranges that begin with one."""
    return [Window(begin, max(begin, quarter_begin(end))) for begin, end in windows]


async def sums_to_the_minute(
    store: StoredCounts, catalog: Catalog, windows: Sequence[Window], names: tuple[str, ...]
) -> WindowSums:
    """Return the sums of ranges that begin with a quarter hour and end with any whole minute."""
    quarters = whole_quarters(windows)
    minutes = [Window(whole.end, end) for whole, (_, end) in zip(quarters, windows, strict=True)]

    def parts(app: CountedApp) -> Iterable[Parts]:
        return chain(quarter_fields(app, quarters, names), minute_fields(app, minutes, names))

    return await _sums(store, catalog, parts, len(names), len(windows))


async def _sums(
    store: StoredCounts,
    catalog: Catalog,
    parts: Callable[[CountedApp], Iterable[Parts]],
    width: int,
    count: int,
) -> WindowSums:
    """Return the sums over the parts of each app, for `count` windows with `width` numbers each."""
    rows_by_app: Rows = {}
    reads = {name: tuple(parts(app)) for name, app in catalog.apps.items()}
    field = layout.UNCOUNTED + NEW_CONVERSATIONS
    flags = [
        Fields(layout.totals(app.generation, app.name), (field,)) for app in catalog.apps.values()
    ]
    # The flags come last: so sums of windows that lack conversations are never shown without one.
    numbers = iter(
        await store.hashes([*(fields for of in reads.values() for fields, _ in of), *flags])
    )
    for name, of_app in reads.items():
        rows_by_app[name] = rows = [[0] * width for _ in range(count)]
        for _, targets in of_app:
            values = next(numbers)
            for at, target in enumerate(targets):
                part = values[at * width : (at + 1) * width]
                rows[target] = list(map(add, rows[target], part))
    times = [at_s for (at_s,) in numbers if at_s]
    return WindowSums(rows_by_app, datetime.fromtimestamp(min(times), UTC) if times else LATEST)


def added_up(rows: Rows, count: int, width: int) -> list[list[int]]:
    """Return the sums over all apps, for `count` windows with `width` numbers each."""
    total = [[0] * width for _ in range(count)]
    for of_app in rows.values():
        total = [list(map(add, one, other)) for one, other in zip(total, of_app, strict=True)]
    return total


def figures(row: Sequence[int], *, has_conversations: bool = True) -> answers.Figures:
    """Return the figures of a window from its numbers, in the order of SUMS."""
    named = dict(zip(SUMS, row, strict=True))
    messages = named[ONE_TO_ONE_MESSAGES] + named[GROUP_MESSAGES]
    unknown = {} if has_conversations else {NEW_CONVERSATIONS: None}
    return answers.Figures(
        messages=messages,
        delivered=messages - named[UNDELIVERED],
        **(named | unknown),  # type: ignore[arg-type]  # only NEW_CONVERSATIONS may be None
    )


def values_to_read(catalog: Catalog, windowed: WindowedRange, width: int) -> int:
    """Return how many values `sums` reads, about."""
    length = windowed.windows[-1].end - windowed.windows[0].begin
    parts = 0
    for app in catalog.apps.values():
        if windowed.step is Step.MINUTE:
            parts += length // MINUTE
        else:
            parts += length // (DAY if windowed.is_by_days(app) else QUARTER)
    return parts * width
