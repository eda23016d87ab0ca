"""/v1/totals and /v1/minutes: all that was counted, and the minutes of at most a day."""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from consumers.counters import layout
from consumers.stats.distinct import SKETCH_ERROR, active, people
from consumers.stats.parameters import ROWS_DEFAULT, ROWS_MAX
from consumers.stats.problems import RequestRefused
from consumers.stats.scope import Scope
from consumers.stats.store import Catalog, CountedApp, StoredCounts
from consumers.stats.stored_windows import WindowedRange
from consumers.stats.sums import added_up, sums
from consumers.stats.total_answers import Applied, AppTotals, MinuteCounts, Minutes, Totals
from consumers.stats.windows import MINUTE, Step, window_begin, windows
from schemas.figures import ACTIVE, COMMAND, KINDS, PEOPLE

MINUTES_MAX, MINUTES_DEFAULT = ROWS_MAX[Step.MINUTE], ROWS_DEFAULT[Step.MINUTE]


async def totals(store: StoredCounts, catalog: Catalog) -> Totals:
    """Return the counts of all time, and what was counted of every origin."""
    # Origins first: every callback that they report as counted is in the totals, read later.
    origins = await _origins(store, catalog.generation)
    apps = {name: await _of_app(store, app) for name, app in catalog.apps.items()}
    commands: dict[str, int] = defaultdict(int)
    for of_app in apps.values():
        for command, number in of_app.by_command.items():
            commands[command] += number
    numbers: dict[str, int] = {
        name: sum(getattr(of_app, name) for of_app in apps.values())
        for name in (*KINDS, "people", "repeats")
    }
    return Totals(
        people_error=max((of_app.people_error for of_app in apps.values()), default=0.0),
        by_command=commands,
        apps=apps,
        origins=origins,
        **numbers,
    )


async def minutes(store: StoredCounts, values: Mapping[str, Any], scope: Scope) -> Minutes:
    """
    Return every minute from `from` (by default, an hour before `to`) until before `to`.

    Raises:
        RequestRefused: the range is empty or too long.
    """
    end = values.get("to") or scope.now + MINUTE - timedelta(microseconds=1)
    end = window_begin(end, Step.MINUTE, scope.zone)
    begin = values.get("from") or end - MINUTES_DEFAULT * MINUTE
    begin = window_begin(begin, Step.MINUTE, scope.zone)
    if not MINUTE <= end - begin <= MINUTES_MAX * MINUTE:
        bound = f"1 to {MINUTES_MAX} minutes before to"
        raise RequestRefused(
            400,
            f"from ({begin:%Y-%m-%dT%H:%MZ}) must be {bound} ({end:%Y-%m-%dT%H:%MZ}); send several "
            "requests for more",
            parameter="from",
            bound=bound,
        )
    range_windows = tuple(windows(begin, end, Step.MINUTE, scope.zone))
    windowed = WindowedRange(range_windows, Step.MINUTE, scope.zone, scope.now)
    of_apps, counts = await asyncio.gather(
        sums(store, scope.catalog, windowed, KINDS), people(store, scope.catalog, windowed)
    )
    rows = added_up(of_apps.rows, len(range_windows), len(KINDS))
    return Minutes(
        begin=begin,
        end=end,
        minutes=[
            MinuteCounts(
                minute=window.begin,
                people=active(of_minute).value,
                **dict(zip(KINDS, row, strict=True)),
            )
            for window, row, of_minute in zip(range_windows, rows, counts, strict=True)
        ],
    )


async def _of_app(store: StoredCounts, app: CountedApp) -> AppTotals:
    sketches = [layout.total_sketch(app.generation, r, app.name) for r in PEOPLE[ACTIVE]]
    counts, estimate = await store.totals(layout.totals(app.generation, app.name), sketches)
    is_exact = layout.SKETCHED + ACTIVE not in counts
    exact = counts.get(ACTIVE, 0)
    return AppTotals(
        # Never less than the people of a day: the exact number stays when the bound is reached.
        people=exact if is_exact else max(exact, estimate),
        people_error=0.0 if is_exact else SKETCH_ERROR,
        repeats=counts.get(layout.REPEATS, 0),
        by_command={
            name.removeprefix(COMMAND): number
            for name, number in counts.items()
            if name.startswith(COMMAND)
        },
        **{kind: counts.get(kind, 0) for kind in KINDS},
    )


async def _origins(store: StoredCounts, generation: int) -> dict[str, dict[str, Applied]]:
    """Return the counted sequences of every origin, by partition (`TOPIC/NUMBER`)."""
    counts, of_sums = await store.both_hashes(
        layout.applied(generation), layout.sequence_sums(generation)
    )
    origins: dict[str, dict[str, Applied]] = defaultdict(dict)
    for origin_and_partition, count in counts.items():
        origin, _, partition = origin_and_partition.partition("/")
        origins[origin][partition] = Applied(
            applied=count, sequence_sum=of_sums[origin_and_partition]
        )
    return origins
