"""What a request asks for, checked against what is stored: the apps, the zone and the range."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from consumers.counters import layout
from consumers.stats.moments import begin_of
from consumers.stats.parameters import DAYS_MAX, ROWS_DEFAULT, ROWS_MAX
from consumers.stats.problems import Refused
from consumers.stats.store import Catalog
from consumers.stats.stored_windows import Cut
from consumers.stats.sums import values_to_read
from consumers.stats.windows import (
    DAY,
    QUARTER,
    Step,
    Window,
    quarter_begin,
    window_begin,
    windows,
)
from schemas.figures import PEOPLE

# The largest number of values that one request reads: 744 hours of 6 apps. It takes some 0.3 s.
VALUES_MAX = 400_000
# The largest number of sketches of quarter hours that one request merges: 744 hours of 3 apps.
SKETCHES_MAX = 100_000
_MOMENT = timedelta(microseconds=1)
DAY_SKETCHES_KEPT = timedelta(seconds=layout.DAY_SKETCHES_TTL_S)


@dataclass(frozen=True, slots=True)
class Kept:
    """For how long the counters keep minutes and quarter hours."""

    minutes: timedelta
    quarters: timedelta


@dataclass(frozen=True, slots=True)
class Question:
    """Whose counts (`app` None: of all apps in `catalog`), in which zone, and what is now."""

    catalog: Catalog
    app: str | None
    zone: ZoneInfo
    now: datetime


def question(values: Mapping[str, Any], catalog: Catalog, now: datetime) -> Question:
    """
    Return what the parameters ask for.

    Raises:
        Refused: no app has this name.
    """
    app = values.get("app")
    if app is not None:
        if app not in catalog.apps:
            raise Refused(
                404,
                f"app {app} has no callbacks; /v1/apps lists the apps that have some",
                parameter="app",
                bound="an app of /v1/apps",
            )
        catalog = catalog.only(app)
    return Question(catalog, app, values.get("tz") or catalog.zone, values.get("at") or now)


def cut(values: Mapping[str, Any], asked: Question, kept: Kept, width: int) -> Cut:
    """
    Return the windows of the range that the parameters ask for, each with `width` numbers.

    Raises:
        Refused: the range is empty, too long, or older than what is kept.
    """
    step: Step = values.get("step", Step.DAY)
    zone, now = asked.zone, asked.now
    end = begin_of(values["to"], zone) if "to" in values else now
    if "from" in values:
        begin = begin_of(values["from"], zone)
    else:
        begin = window_begin(end - _MOMENT, step, zone)
        for _ in range(ROWS_DEFAULT[step] - 1):
            begin = window_begin(begin - _MOMENT, step, zone)
    _check_order(begin, end)
    rows_max = ROWS_MAX[step]
    found = tuple(islice(windows(begin, end, step, zone), rows_max + 1))
    if len(found) > rows_max:
        bound = f"at most {rows_max} {step}s before to"
        raise Refused(
            400,
            f"from must be {bound}; send several requests, or a longer step",
            parameter="from",
            bound=bound,
        )
    made = Cut(found, step, zone, now)
    _check_kept(made, asked, kept)
    _check_work(made, asked, width)
    return made


def whole_range(values: Mapping[str, Any], asked: Question) -> Window:
    """
    Return the range that the parameters ask for, widened to whole quarter hours.

    Raises:
        Refused: the range is empty or too long.
    """
    end = begin_of(values["to"], asked.zone) if "to" in values else asked.now
    begin = begin_of(values["from"], asked.zone) if "from" in values else end - 30 * DAY
    _check_order(begin, end)
    if end - begin > DAYS_MAX * DAY:
        bound = f"at most {DAYS_MAX} days before to"
        raise Refused(400, f"from must be {bound}", parameter="from", bound=bound)
    if (quarter_end := quarter_begin(end)) < end:
        quarter_end += QUARTER
    return Window(quarter_begin(begin), quarter_end)


def check_age(begin: datetime, kept: timedelta, now: datetime, what: str) -> None:
    """
    Check that `begin` is not older than what is kept; `what` names that.

    Raises:
        Refused: it is older.
    """
    if begin < now - kept - DAY:
        bound = f"at most {kept // DAY} days ago for {what}"
        raise Refused(
            400,
            f"from must be {bound}: {what} are kept that long. Days and months of the app's own "
            "zone are kept longer: see /v1/apps",
            parameter="from",
            bound=bound,
        )


def _check_order(begin: datetime, end: datetime) -> None:
    if begin >= end:
        raise Refused(
            400,
            f"from ({begin:%Y-%m-%dT%H:%MZ}) must be before to ({end:%Y-%m-%dT%H:%MZ})",
            parameter="from",
            bound="before to",
        )


def _check_kept(made: Cut, asked: Question, kept: Kept) -> None:
    begin = made.windows[0].begin
    if made.step is Step.MINUTE:
        check_age(begin, kept.minutes, asked.now, "minutes")
    elif not all(map(made.is_by_days, asked.catalog.apps.values())):
        what = "hours" if made.step is Step.HOUR else f"{made.step}s of another zone than the app's"
        check_age(begin, kept.quarters, asked.now, what)


def _check_work(made: Cut, asked: Question, width: int) -> None:
    by_quarters = [app for app in asked.catalog.apps.values() if not made.is_by_days(app)]
    length = made.windows[-1].end - made.windows[0].begin
    sketches = 0
    if made.step is not Step.MINUTE:
        sketches = length // QUARTER * len(by_quarters) * sum(map(len, PEOPLE.values()))
    values = values_to_read(asked.catalog, made, width)
    if values > VALUES_MAX or sketches > SKETCHES_MAX:
        bound = (
            f"a range for which at most {VALUES_MAX} stored numbers and {SKETCHES_MAX} sketches "
            "are read"
        )
        raise Refused(
            400,
            f"from and to must be {bound}, not {values} and {sketches}; ask for a shorter range or "
            "for one app",
            parameter="from",
            bound=bound,
        )
