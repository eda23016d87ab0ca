"""Read the days of every app from the statistics API for an audit."""

from datetime import UTC, date, datetime, timedelta
from urllib.parse import quote

import msgspec

from ops.audit.shown_days import Numbers, ShownDays
from ops.audit.sources import SourceUnavailable
from ops.audit.statistics_api import StatisticsApi
from schemas.additions import CLOCK_AHEAD_S_MAX

# The API answers with at most 400 days.
DAYS_PER_ANSWER = 400
DAY_S = 86400


class _ShownApp(msgspec.Struct, frozen=True):
    app: str
    zone: str
    first_day: date | None


class _Apps(msgspec.Struct, frozen=True):
    apps: list[_ShownApp]


class _Figures(msgspec.Struct, frozen=True):
    callbacks: int
    messages: int


class _Row(msgspec.Struct, frozen=True):
    begin: datetime
    figures: _Figures


class _Series(msgspec.Struct, frozen=True):
    zone: str
    rows: list[_Row]


async def read_days(api: StatisticsApi) -> dict[str, ShownDays]:
    """
    Return the days of every app, up to the last one in which a callback may be counted now.

    Raises:
        SourceUnavailable: the API does not answer, or not with days.
    """
    apps = await api.ask("/v1/apps", _Apps, what="days")
    return {app.app: await _of_app(api, app) for app in apps.apps}


async def _of_app(api: StatisticsApi, app: _ShownApp) -> ShownDays:
    # A day for the zone, which may be ahead of UTC, and one for the clock of an ingress.
    last = datetime.now(UTC).date() + timedelta(days=CLOCK_AHEAD_S_MAX // DAY_S + 2)
    numbers: dict[str, Numbers] = {}
    begin = app.first_day
    while begin is not None and begin <= last:
        end = min(begin + timedelta(days=DAYS_PER_ANSWER), last + timedelta(days=1))
        path = f"/v1/series?step=day&app={quote(app.app)}&from={begin}&to={end}"
        series = await api.ask(path, _Series, what="days")
        if series.zone != app.zone:
            raise SourceUnavailable(
                f"{api}: the days of app {app.app} were those of"
                f" {app.zone}, and are now those of {series.zone}; audit again"
            )
        for row in series.rows:
            if row.figures.callbacks or row.figures.messages:
                day = row.begin.date().isoformat()
                numbers[day] = Numbers(row.figures.messages, row.figures.callbacks)
        begin = end
    first = app.first_day.isoformat() if app.first_day else ""
    return ShownDays(zone=app.zone, first=first, last=last.isoformat(), numbers=numbers)
