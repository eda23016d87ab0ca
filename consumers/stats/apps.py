"""/v1/apps: the apps, their zones and their first days."""

from datetime import date, datetime

from consumers.counters import layout
from consumers.stats import answers
from consumers.stats.fields import Fields
from consumers.stats.store import App, Catalog, Store
from consumers.stats.windows import DAY, day_of, next_month
from schemas.figures import CALLBACKS

# Months in which the first day is looked for: those that the counters keep at most, and one more.
MONTHS_MAX = 121


async def apps(store: Store, catalog: Catalog, now: datetime) -> answers.Apps:
    """Return the apps in the order of their names."""
    return answers.Apps(
        apps=[
            answers.App(
                app=app.name,
                zone=app.zone.key,
                first_day=await _first_day(store, app, day_of(now, app.zone)),
            )
            for app in catalog.apps.values()
        ]
    )


async def _first_day(store: Store, app: App, today: date) -> date | None:
    # A message may be of tomorrow, if its sender's clock is ahead.
    months = [next_month(today)]
    for _ in range(MONTHS_MAX):
        months.append((months[-1] - DAY).replace(day=1))
    keys = [layout.days(app.generation, app.name, month.isoformat()) for month in months]
    found = await store.exist(keys)
    first = max((at for at, exists in enumerate(found) if exists), default=None)
    if first is None:
        return None
    month = months[first]
    days = [month.replace(day=at) for at in range(1, (next_month(month) - month).days + 1)]
    parts = [layout.day_field(day.isoformat(), "") for day in days]
    (numbers,) = await store.hashes([Fields(keys[first], (CALLBACKS,), parts)])
    return next((day for day, number in zip(days, numbers, strict=True) if number), None)
