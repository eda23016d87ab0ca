"""Check the apps, the zone and the range of a request against what is stored."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from consumers.counters import layout
from consumers.stats.moments import begin_of
from consumers.stats.parameters import DAYS_MAX, ROWS_DEFAULT, ROWS_MAX
from consumers.stats.problems import RequestRefused
from consumers.stats.store import Catalog, CountedApp
from consumers.stats.stored_windows import WindowedRange
from consumers.stats.sums import values_to_read
from consumers.stats.windows import (
    DAY,
    QUARTER,
    Step,
    Window,
    day_begin,
    day_of,
    next_month,
    quarter_begin,
    window_begin,
    windows,
)
from schemas.figures import PEOPLE

# The largest number of values that one request reads: 744 hours of 6 apps. It takes some 0.3 s.
VALUES_MAX = 400_000
# The largest number of sketches of quarter hours that one request merges: 744 hours of 3 apps.
SKETCHES_MAX = 100_000
_SMALLEST = timedelta(microseconds=1)
DAY_SKETCHES_KEPT = timedelta(seconds=layout.DAY_SKETCHES_TTL_S)


@dataclass(frozen=True, slots=True)
class Retention:
    """The age up to which the counters have minutes, quarter hours and days now."""

    minutes: timedelta
    quarters: timedelta
    days: timedelta

    @classmethod
    def of(cls, catalog: Catalog, now: datetime) -> "Retention":
        """Return the ages at a time."""
        keep_times, now_s = catalog.keep_times, int(now.timestamp())
        return cls(
            *(
                timedelta(seconds=keep_time.kept_age_s(now_s))
                for keep_time in (keep_times.minutes, keep_times.quarters, keep_times.days)
            )
        )

    def first_month(self, now: datetime, zone: ZoneInfo) -> date:
        """Return the first month of a zone whose days are all kept: a month expires as a whole."""
        month = day_of(now - self.days - DAY, zone).replace(day=1)
        return month if now - self.days - DAY <= day_begin(month, zone) else next_month(month)


@dataclass(frozen=True, slots=True)
class Scope:
    """
    Whose counts (`app` None: of all apps in `catalog`), in which zone, and what is taken for now.

    `retention` is how far back the counters have counts now.
    """

    catalog: Catalog
    app: str | None
    zone: ZoneInfo
    now: datetime
    retention: Retention


def scope_of(values: Mapping[str, Any], catalog: Catalog, now: datetime) -> Scope:
    """
    Return what the parameters ask for.

    Raises:
        RequestRefused: no app has this name.
    """
    app = values.get("app")
    if app is not None:
        if app not in catalog.apps:
            raise RequestRefused(
                404,
                f"app {app} has no callbacks; /v1/apps lists the apps that have some",
                parameter="app",
                bound="an app of /v1/apps",
            )
        catalog = catalog.only(app)
    return Scope(
        catalog,
        app,
        values.get("tz") or catalog.zone,
        values.get("at") or now,
        Retention.of(catalog, now),
    )


def split_range(values: Mapping[str, Any], scope: Scope, width: int) -> WindowedRange:
    """
    Return the windows of the range that the parameters ask for, each with `width` numbers.

    Raises:
        RequestRefused: the range is empty, too long, or older than what is kept.
    """
    step: Step = values.get("step", Step.DAY)
    zone, now = scope.zone, scope.now
    end = begin_of(values["to"], zone) if "to" in values else now
    begin = begin_of(values["from"], zone) if "from" in values else _default_begin(step, end, scope)
    _check_order(begin, end)
    rows_max = ROWS_MAX[step]
    range_windows = tuple(islice(windows(begin, end, step, zone), rows_max + 1))
    if len(range_windows) > rows_max:
        bound = f"at most {rows_max} {step}s before to"
        raise RequestRefused(
            400,
            f"from must be {bound}; send several requests, or a longer step",
            parameter="from",
            bound=bound,
        )
    windowed = WindowedRange(range_windows, step, zone, now)
    _check_kept(windowed, scope)
    _check_work(windowed, scope, width)
    return windowed


def _default_begin(step: Step, end: datetime, scope: Scope) -> datetime:
    """Return the start of ROWS_DEFAULT windows, or of fewer if not so many are kept."""
    age = {Step.MINUTE: scope.retention.minutes, Step.HOUR: scope.retention.quarters}.get(step)
    first = scope.now - age if age else datetime.min.replace(tzinfo=UTC)
    if step is Step.MONTH:
        first = day_begin(scope.retention.first_month(scope.now, scope.zone), scope.zone)
    begin = window_begin(end - _SMALLEST, step, scope.zone)
    for _ in range(ROWS_DEFAULT[step] - 1):
        earlier = window_begin(begin - _SMALLEST, step, scope.zone)
        if earlier < first:
            break
        begin = earlier
    return begin


def whole_range(values: Mapping[str, Any], scope: Scope) -> Window:
    """
    Return the range that the parameters ask for, widened to whole quarter hours.

    Raises:
        RequestRefused: the range is empty or too long.
    """
    end = begin_of(values["to"], scope.zone) if "to" in values else scope.now
    begin = begin_of(values["from"], scope.zone) if "from" in values else end - 30 * DAY
    _check_order(begin, end)
    if end - begin > DAYS_MAX * DAY:
        bound = f"at most {DAYS_MAX} days before to"
        raise RequestRefused(400, f"from must be {bound}", parameter="from", bound=bound)
    if (quarter_end := quarter_begin(end)) < end:
        quarter_end += QUARTER
    return Window(quarter_begin(begin), quarter_end)


def check_age(begin: datetime, kept: timedelta, now: datetime, what: str) -> None:
    """
    Check that `begin` is not older than what is kept; `what` names that.

    Raises:
        RequestRefused: it is older.
    """
    if begin < now - kept - DAY:
        bound = f"at most {kept // DAY} days ago for {what}"
        raise RequestRefused(
            400,
            f"from must be {bound}: {what} are kept that long. Days and months of the app's own "
            "zone are kept longer: see /v1/apps",
            parameter="from",
            bound=bound,
        )


def _check_order(begin: datetime, end: datetime) -> None:
    if begin >= end:
        raise RequestRefused(
            400,
            f"from ({begin:%Y-%m-%dT%H:%MZ}) must be before to ({end:%Y-%m-%dT%H:%MZ})",
            parameter="from",
            bound="before to",
        )


def _check_kept(windowed: WindowedRange, scope: Scope) -> None:
    begin, retention = windowed.windows[0].begin, scope.retention
    if windowed.step is Step.MINUTE:
        check_age(begin, retention.minutes, scope.now, "minutes")
        return
    for app in scope.catalog.apps.values():
        if windowed.is_by_days(app):
            check_month(begin, app, scope)
        else:
            what = "hours"
            if windowed.step is not Step.HOUR:
                what = f"{windowed.step}s of another zone than the app's"
            check_age(begin, retention.quarters, scope.now, what)


def check_month(begin: datetime, app: CountedApp, scope: Scope) -> None:
    """
    Check that the day or month of an app's zone that `begin` is in is kept.

    Raises:
        RequestRefused: it is not, or not for certain.
    """
    first = scope.retention.first_month(scope.now, app.zone)
    if day_of(begin, app.zone) < first:
        bound = f"{first} or later for days and months"
        raise RequestRefused(
            400,
            f"from must be {bound}: they are kept for {scope.retention.days // DAY} days, "
            "by months",
            parameter="from",
            bound=bound,
        )


def _check_work(windowed: WindowedRange, scope: Scope, width: int) -> None:
    by_quarters = [app for app in scope.catalog.apps.values() if not windowed.is_by_days(app)]
    length = windowed.windows[-1].end - windowed.windows[0].begin
    sketches = 0
    if windowed.step is not Step.MINUTE:
        sketches = length // QUARTER * len(by_quarters) * sum(map(len, PEOPLE.values()))
    values = values_to_read(scope.catalog, windowed, width)
    if values > VALUES_MAX or sketches > SKETCHES_MAX:
        bound = (
            f"a range for which at most {VALUES_MAX} stored numbers and {SKETCHES_MAX} sketches "
            "are read"
        )
        raise RequestRefused(
            400,
            f"from and to must be {bound}, not {values} and {sketches}; ask for a shorter range or "
            "for one app",
            parameter="from",
            bound=bound,
        )
