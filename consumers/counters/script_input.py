"""
Write the sums of a batch as the input of apply.lua: every key, field and number that it needs.

Each function returns or yields one part of the input; apply.lua unpacks its tuples by their order.
A time to live (TTL) is in seconds; 0: the key never expires.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from consumers.counters import layout
from consumers.counters.batch_ids import BatchIds, BySlot
from consumers.counters.batch_windows import BatchWindows, Minute
from consumers.counters.bounds import Bounds
from consumers.counters.hashes import Hashes
from consumers.counters.layout import HOUR_S
from consumers.counters.new_conversations import new_conversations
from schemas.figures import ACTIVE, COMMAND, OTHER

# The people of a day are counted exactly for the time that ids are remembered, after a day of up to
# 25 hours; two more hours for callbacks that are counted late.
_DAY_SET_EXTRA_S = 27 * HOUR_S
# Number of names of commands that an app's totals have besides those of schemas/commands.py.
COMMAND_NAMES_MAX = 1000
_COMMAND_NAMES = "command_names"
_UNBOUNDED = 1 << 52


def script_input(  # noqa: PLR0917 - all that the input is made of
    generation: int,
    bounds: Bounds,
    hashes: Hashes,
    origins: Sequence[tuple[str, int, int]],
    ids: BatchIds,
    windows: BatchWindows,
) -> Mapping[str, Any]:
    """Return the input; `origins` are those of the batch, with number and sum of sequences."""
    fields_of_minutes, conversations = new_conversations(generation, bounds, hashes, windows)
    return {
        "origins": origins,
        "zones": [(app, app_additions.zone) for app, app_additions in windows.apps.items()],
        "to_remember": _by_slot(generation, ids.to_remember),
        "ids_ttl_s": bounds.remember_s + HOUR_S,
        "to_search": _by_slot(generation, ids.to_search),
        "people": [
            *_people_of_minutes(generation, bounds, windows),
            *_people_of_days(generation, bounds, windows),
            *_people_of_apps(generation, bounds, windows),
        ],
        "flags": list(_flags(generation, windows)),
        "fields_of_minutes": fields_of_minutes,
        "conversations": conversations,
        "sums": list(_sums(generation, bounds, windows)),
        "commands": list(_unknown_commands(generation, windows)),
        "sketches": list(_sketches(generation, bounds, windows)),
    }


def _by_slot(generation: int, ids: BySlot) -> list[tuple[str, list[str], list[int]]]:
    """Return name, hashes of ids, and numbers of their callbacks, for each slot."""
    return [
        (layout.ids(generation, app, slot), list(numbers), list(numbers.values()))
        for (app, slot), numbers in ids.items()
        if numbers
    ]


def _people_of_minutes(
    generation: int, bounds: Bounds, windows: BatchWindows
) -> Iterator[tuple[Any, ...]]:
    """
    Yield the hash sets of minutes: name, members, bound, TTL, and where their number is kept.

    The last three values are a key, the field of the number, and the field that marks it as
    estimated; "" if it is always exact.
    """
    for (app, _), minute in windows.minutes.items():
        if minute.active:
            yield (
                layout.minute_people(generation, app, minute.number),
                list(minute.active),
                _UNBOUNDED,
                bounds.remember_s + HOUR_S,
                layout.minutes_of_hour(generation, app, minute.number),
                layout.minute_field(minute.number, ACTIVE),
                "",
            )


def _people_of_days(
    generation: int, bounds: Bounds, windows: BatchWindows
) -> Iterator[tuple[Any, ...]]:
    """Yield the hash sets of days, with the values of `_people_of_minutes`."""
    for (app, date), day in windows.days.items():
        for figure, people in day.exact.items():
            yield (
                layout.day_people(generation, figure, app, date),
                list(people),
                bounds.people_exact_max,
                bounds.remember_s + _DAY_SET_EXTRA_S,
                layout.days_of_month(generation, app, date),
                layout.day_field(date, figure),
                layout.day_field(date, layout.SKETCHED + figure),
            )


def _people_of_apps(
    generation: int, bounds: Bounds, windows: BatchWindows
) -> Iterator[tuple[Any, ...]]:
    """Yield the hash sets of all time, with the values of `_people_of_minutes`."""
    for app, app_additions in windows.apps.items():
        if app_additions.exact:
            yield (
                layout.people(generation, app),
                list(app_additions.exact),
                bounds.people_exact_max,
                0,
                layout.totals(generation, app),
                ACTIVE,
                layout.SKETCHED + ACTIVE,
            )


def _flags(generation: int, windows: BatchWindows) -> Iterator[tuple[str, str]]:
    """Yield key and field of each figure of a day that is estimated from now on."""
    for (app, date), day in windows.days.items():
        for figure in day.late:
            key = layout.days_of_month(generation, app, date)
            yield key, layout.day_field(date, layout.SKETCHED + figure)


def _sums(
    generation: int, bounds: Bounds, windows: BatchWindows
) -> Iterator[tuple[str, int, dict[str, int]]]:
    """Yield the hashes of sums: key, TTL, and numbers by field."""
    # A quarter hour consists of minutes, a day of quarter hours, all time of days.
    of_quarters: defaultdict[tuple[str, int], Counter[str]] = defaultdict(Counter)
    of_days: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    of_apps: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for (app, number), minute in windows.minutes.items():
        sums = _sums_of_minute(minute)
        of_quarters[app, minute.quarter.number].update(sums)
        yield (
            layout.minutes_of_hour(generation, app, number),
            bounds.keep_minutes_s,
            {
                layout.minute_field(number, figure): number_to_add
                for figure, number_to_add in sums.items()
                if not figure.startswith(COMMAND)
            },
        )
    for (app, number), sums in of_quarters.items():
        of_days[app, windows.quarters[app, number].day.date].update(sums)
        fields = {
            layout.quarter_field(number, figure): number_to_add
            for figure, number_to_add in sums.items()
        }
        yield layout.quarters_of_day(generation, app, number), bounds.keep_quarters_s, fields
    for (app, date), sums in of_days.items():
        of_apps[app].update(sums)
        fields = {
            layout.day_field(date, figure): number_to_add for figure, number_to_add in sums.items()
        }
        yield layout.days_of_month(generation, app, date), bounds.keep_days_s, fields
    for app, sums in of_apps.items():
        # Totals have commands that are not known by their names: see `_unknown_commands`.
        sums.pop(COMMAND + OTHER, None)
        if repeats := windows.apps[app].repeats:
            sums[layout.REPEATS] = repeats
        yield layout.totals(generation, app), 0, sums


def _sums_of_minute(minute: Minute) -> Counter[str]:
    numbers: Counter[str] = Counter()
    for sums, times in minute.counts.items():
        for figure, number in sums.numbers.items():
            numbers[figure] += number * times
    return numbers


def _unknown_commands(generation: int, windows: BatchWindows) -> Iterator[tuple[Any, ...]]:
    """
    Yield the commands that schemas/commands.py does not have; only totals have their names.

    Key, field, number, then the field that has the number of such names, its bound, and the field
    to add the number to when there are as many names.
    """
    numbers: Counter[tuple[str, str]] = Counter()
    for (app, _), minute in windows.minutes.items():
        for sums, times in minute.counts.items():
            if sums.unknown_command:
                numbers[app, sums.unknown_command] += times
    for (app, command), times in numbers.items():
        yield (
            layout.totals(generation, app),
            COMMAND + command,
            times,
            _COMMAND_NAMES,
            COMMAND_NAMES_MAX,
            COMMAND + OTHER,
        )


def _sketches(
    generation: int, bounds: Bounds, windows: BatchWindows
) -> Iterator[tuple[str, int, list[str]]]:
    """Yield the sketches: key, TTL, and members."""
    for (app, number), quarter in windows.quarters.items():
        for role, people in quarter.people.new.items():
            key = layout.quarter_sketch(generation, role, app, number)
            yield key, bounds.keep_quarters_s, list(people)
    for (app, date), day in windows.days.items():
        for role, people in day.people.new.items():
            key = layout.day_sketch(generation, role, app, date)
            yield key, min(layout.DAY_SKETCHES_TTL_S, bounds.keep_days_s), list(people)
    for (app, month), month_people in windows.months.items():
        for role, people in month_people.new.items():
            key = layout.month_sketch(generation, role, app, month)
            yield key, bounds.keep_days_s, list(people)
    for app, app_additions in windows.apps.items():
        for role, people in app_additions.total.new.items():
            yield layout.total_sketch(generation, role, app), 0, list(people)
