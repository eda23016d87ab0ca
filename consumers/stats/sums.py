"""Sums of windows, exact in every zone: from minutes, quarter hours, or the app's own days."""

from collections.abc import Sequence
from datetime import UTC, datetime

from consumers.counters import layout
from consumers.stats import answers
from consumers.stats.store import Catalog, Store
from consumers.stats.stored_windows import Cut, day_fields, minute_fields, quarter_fields
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
Rows = dict[str, list[list[int]]]


async def sums(store: Store, catalog: Catalog, cut: Cut, names: Sequence[str]) -> Rows:
    """Return the sums of `names` in each window."""
    found: Rows = {}
    for app in catalog.apps.values():
        if cut.step is Step.MINUTE:
            reads = minute_fields(app, cut.windows)
        elif cut.is_by_days(app):
            reads = day_fields(app, cut.windows)
        else:
            reads = quarter_fields(app, cut.windows)
        found[app.name] = await store.windows(reads, names, len(cut.windows))
    return found


def whole_quarters(windows: Sequence[Window]) -> list[Window]:
    """Return the whole quarter hours of ranges that begin with one."""
    return [Window(begin, max(begin, quarter_begin(end))) for begin, end in windows]


async def sums_to_the_minute(
    store: Store, catalog: Catalog, windows: Sequence[Window], names: Sequence[str]
) -> Rows:
    """Return the sums of ranges that begin with a quarter hour and end with any whole minute."""
    quarters = whole_quarters(windows)
    minutes = [Window(whole.end, end) for whole, (_, end) in zip(quarters, windows, strict=True)]
    found: Rows = {}
    for app in catalog.apps.values():
        reads = (*quarter_fields(app, quarters), *minute_fields(app, minutes))
        found[app.name] = await store.windows(reads, names, len(windows))
    return found


def added_up(rows: Rows, count: int, width: int) -> list[list[int]]:
    """Return the sums over all apps, for `count` windows with `width` numbers each."""
    total = [[0] * width for _ in range(count)]
    for of_app in rows.values():
        total = [
            [a + b for a, b in zip(one, other, strict=True)]
            for one, other in zip(total, of_app, strict=True)
        ]
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


def values_to_read(catalog: Catalog, cut: Cut, width: int) -> int:
    """Return how many values `sums` reads, about."""
    length = cut.windows[-1].end - cut.windows[0].begin
    parts = 0
    for app in catalog.apps.values():
        if cut.step is Step.MINUTE:
            parts += length // MINUTE
        else:
            parts += length // (DAY if cut.is_by_days(app) else QUARTER)
    return parts * width


async def conversations_counted_until(store: Store, catalog: Catalog) -> datetime:
    """Return when an app had too many conversations to count new ones; LATEST if none has."""
    field = layout.UNCOUNTED + NEW_CONVERSATIONS
    reads = [(layout.totals(app.generation, app.name), (field,)) for app in catalog.apps.values()]
    times = [at_s for (at_s,) in await store.hashes(reads) if at_s]
    return datetime.fromtimestamp(min(times), UTC) if times else LATEST
