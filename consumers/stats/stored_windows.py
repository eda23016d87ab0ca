"""Which keys in Valkey hold the sums and the people of a window, in any zone."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import TypeAlias
from zoneinfo import ZoneInfo

from consumers.counters import layout
from consumers.stats.fields import Fields
from consumers.stats.store import CountedApp
from consumers.stats.windows import (
    DAY,
    MINUTE,
    QUARTER,
    Step,
    Window,
    day_of,
    next_month,
    pieces,
    quarters,
    window_of,
)
from schemas.figures import PEOPLE

# Fields, and for each of their parts the number of the window that it belongs to.
Parts: TypeAlias = tuple[Fields, Sequence[int]]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class WindowedRange:
    """A range that is cut into windows of `step` in `zone`; at `now` some of them are over."""

    windows: Sequence[Window]
    step: Step
    zone: ZoneInfo
    now: datetime
    _by_days: dict[str, bool] = field(default_factory=dict, compare=False)

    def is_by_days(self, app: CountedApp) -> bool:
        """
        Return whether the windows are days or months of the app's own zone.

        They are under any name of that zone, such as PRC for Asia/Shanghai, and in every zone whose
        days begin at the same moments.
        """
        if self.step not in (Step.DAY, Step.MONTH) or self.zone.key == app.zone.key:
            return self.step in (Step.DAY, Step.MONTH)
        if app.zone.key not in self._by_days:
            self._by_days[app.zone.key] = all(
                window == window_of(window.begin, self.step, app.zone) for window in self.windows
            )
        return self._by_days[app.zone.key]

    def is_over(self, window: Window) -> bool:
        """Return whether a window ended so long ago that only late callbacks change it."""
        return window.end + QUARTER <= self.now


def minute_number(at: datetime) -> int:
    """Return the number of a minute since 1970."""
    return int((at - EPOCH) // MINUTE)


def quarter_number(at: datetime) -> int:
    """Return the number of a quarter hour since 1970."""
    return int((at - EPOCH) // QUARTER)


def minute_fields(
    app: CountedApp, windows: Sequence[Window], names: tuple[str, ...]
) -> Iterator[Parts]:
    """Yield what to read of the minutes of each window: `names` of each minute."""
    parts = (
        (
            layout.minutes_of_hour(app.generation, app.name, number),
            layout.minute_field(number, ""),
            target,
        )
        for target, (begin, end) in enumerate(windows)
        for number in range(minute_number(begin), minute_number(end))
    )
    return _by_key(parts, names)


def quarter_fields(
    app: CountedApp, windows: Sequence[Window], names: tuple[str, ...]
) -> Iterator[Parts]:
    """Yield what to read of the quarter hours of each window, which consists of whole ones."""
    parts = (
        (
            layout.quarters_of_day(app.generation, app.name, number),
            layout.quarter_field(number, ""),
            target,
        )
        for target, (begin, end) in enumerate(windows)
        for number in range(quarter_number(begin), quarter_number(end))
    )
    return _by_key(parts, names)


def day_fields(
    app: CountedApp, windows: Sequence[Window], names: tuple[str, ...]
) -> Iterator[Parts]:
    """Yield what to read of the days of each window, which consists of whole days of the app."""
    parts = (
        (layout.days_of_month(app.generation, app.name, day), layout.day_field(day, ""), target)
        for target, window in enumerate(windows)
        for day in map(date.isoformat, days_of(window, app.zone))
    )
    return _by_key(parts, names)


def days_of(window: Window, zone: ZoneInfo) -> Iterator[date]:
    """Yield the days of a window that consists of whole days of `zone`."""
    day, end = day_of(window.begin, zone), day_of(window.end, zone)
    while day < end:
        yield day
        day += DAY


def quarter_sketches(app: CountedApp, figure: str, window: Window) -> tuple[str, ...]:
    """Return the sketches of the quarter hours of a window."""
    return tuple(_quarters(app, figure, quarters(window.begin, window.end)))


def day_sketches(app: CountedApp, figure: str, days: Iterable[date]) -> tuple[str, ...]:
    """Return the sketches of days of the app's zone."""
    return tuple(
        layout.day_sketch(app.generation, role, app.name, day.isoformat())
        for day in days
        for role in PEOPLE[figure]
    )


def month_sketches(app: CountedApp, figure: str, months: Iterable[date]) -> tuple[str, ...]:
    """Return the sketches of months of the app's zone."""
    return tuple(
        layout.month_sketch(app.generation, role, app.name, month.isoformat())
        for month in months
        for role in PEOPLE[figure]
    )


def range_sketches(app: CountedApp, figure: str, window: Window) -> tuple[str, ...]:
    """Return as few sketches as possible that together have the people of a range."""
    stored_windows = pieces(window.begin, window.end, app.zone)
    return (
        *month_sketches(app, figure, stored_windows.months),
        *day_sketches(app, figure, stored_windows.days),
        *_quarters(app, figure, stored_windows.quarters),
    )


def _quarters(app: CountedApp, figure: str, begins: Iterable[datetime]) -> Iterator[str]:
    for begin in begins:
        for role in PEOPLE[figure]:
            yield layout.quarter_sketch(app.generation, role, app.name, quarter_number(begin))


def whole_days(window: Window, zone: ZoneInfo) -> list[date]:
    """Return the days of `zone` that are wholly in a range."""
    stored_windows = pieces(window.begin, window.end, zone)
    days = list(stored_windows.days)
    for month in stored_windows.months:
        day = month
        while day < next_month(month):
            days.append(day)
            day += DAY
    return days


def _by_key(parts: Iterable[tuple[str, str, int]], names: tuple[str, ...]) -> Iterator[Parts]:
    of_keys: dict[str, tuple[list[str], list[int]]] = defaultdict(lambda: ([], []))
    for key, part, target in parts:
        parts_of_key, targets = of_keys[key]
        parts_of_key.append(part)
        targets.append(target)
    for key, (parts_of_key, targets) in of_keys.items():
        yield Fields(key, names, parts_of_key), targets
