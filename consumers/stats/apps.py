"""/v1/apps: the apps, their zones and their first days."""

from datetime import date

from consumers.counters import layout
from consumers.stats import answers
from consumers.stats.fields import Fields
from consumers.stats.scope import Scope
from consumers.stats.store import CountedApp, StoredCounts
from consumers.stats.windows import DAY, day_of, next_month
from schemas.figures import ALL_CALLBACKS

# Months in which the first day is looked for: those that the counters keep at most, and one more.
MONTHS_MAX = 121


async def apps(store: StoredCounts, scope: Scope) -> answers.Apps:
    """Return the apps in the order of their names, with their first days that are kept."""
    return answers.Apps(
        apps=[
            answers.App(
                app=app.name,
                zone=app.zone.key,
                first_day=await _first_day(store, app, scope),
            )
            for app in scope.catalog.apps.values()
        ]
    )


async def _first_day(store: StoredCounts, app: CountedApp, scope: Scope) -> date | None:
    # A message may be of tomorrow, if its sender's clock is ahead.
    months = [next_month(day_of(scope.now, app.zone))]
    first_month = scope.retention.first_month(scope.now, app.zone)
    while len(months) <= MONTHS_MAX and months[-1] > first_month:
        months.append((months[-1] - DAY).replace(day=1))
    keys = [layout.days_of_month(app.generation, app.name, month.isoformat()) for month in months]
    is_stored = await store.exist(keys)
    first = max((at for at, exists in enumerate(is_stored) if exists), default=None)
    if first is None:
        return None
    month = months[first]
    days = [month.replace(day=at) for at in range(1, (next_month(month) - month).days + 1)]
    parts = [layout.day_field(day.isoformat(), "") for day in days]
    (numbers,) = await store.hashes([Fields(keys[first], (ALL_CALLBACKS,), parts)])
    return next((day for day, number in zip(days, numbers, strict=True) if number), None)
