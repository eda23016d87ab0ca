"""Read the counts since the last update, for each app."""

from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import islice
from typing import NamedTuple

from consumers.counters import layout
from consumers.stats.fields import Fields
from consumers.stats.store import Catalog, StoredCounts
from consumers.stats.stored_windows import minute_number
from schemas.figures import ACTIVE, GROUP_MESSAGES, ONE_TO_ONE_MESSAGES, UNDELIVERED

_TOTALS = (ONE_TO_ONE_MESSAGES, GROUP_MESSAGES, UNDELIVERED)


# The largest number of apps that have live updates of their own: those of 15 minutes are kept. The
# sum is always of all.
APPS_MAX = 100


class AppCounts(NamedTuple):
    """The messages since the last update, and the people of this minute or the one before."""

    messages: int = 0
    undelivered: int = 0
    people: int = 0

    @staticmethod
    def total(counts: Iterable["AppCounts"]) -> "AppCounts":
        """Return the sums over several apps."""
        rows = list(counts)
        return AppCounts(*map(sum, zip(*rows, strict=True))) if rows else AppCounts()


class LiveAdditions(NamedTuple):
    """What was counted in some seconds: in total, and of each of up to APPS_MAX apps."""

    seconds: float
    total: AppCounts
    apps: Mapping[str, AppCounts]


class LiveCounts:
    """Remembers the last totals. The first update of a generation has nothing to compare with."""

    def __init__(self, store: StoredCounts) -> None:
        self._store = store
        self._totals: dict[str, list[int]] = {}
        self._read_at: datetime | None = None
        self._catalog: Catalog | None = None

    def has_app(self, app: str) -> bool:
        """Return whether the app was there at the last update."""
        return self._catalog is not None and app in list(self._catalog.apps)[:APPS_MAX]

    async def added(self, now: datetime) -> LiveAdditions | None:
        """
        Return what was added since the last update; None at the first one.

        Raises:
            Unavailable: Valkey does not answer.
        """
        catalog = await self._store.catalog()
        minute = minute_number(now)
        reads: list[Fields] = []
        for app in catalog.apps.values():
            reads.append(Fields(layout.totals(app.generation, app.name), _TOTALS))
            reads += [
                Fields(
                    layout.minutes_of_hour(app.generation, app.name, at),
                    (layout.minute_field(at, ACTIVE),),
                )
                for at in (minute, minute - 1)
            ]
        numbers = await self._store.hashes(reads)
        totals = dict(zip(catalog.apps, numbers[::3], strict=True))
        people = {
            app: max(numbers[at * 3 + 1] + numbers[at * 3 + 2])
            for at, app in enumerate(catalog.apps)
        }
        before, self._totals = self._totals, totals
        last, self._read_at = self._read_at, now
        known, self._catalog = self._catalog, catalog
        if last is None or known is None or known.generation != catalog.generation:
            return None
        counts = {
            app: _since(before.get(app, [0, 0, 0]), total, people[app])
            for app, total in totals.items()
        }
        return LiveAdditions(
            (now - last).total_seconds(),
            AppCounts.total(counts.values()),
            dict(islice(counts.items(), APPS_MAX)),
        )


def _since(before: list[int], total: list[int], people: int) -> AppCounts:
    # Never below 0: Valkey may lose the last second in a crash.
    one_to_one, group, undelivered = (max(0, b - a) for a, b in zip(before, total, strict=True))
    return AppCounts(one_to_one + group, undelivered, people)
