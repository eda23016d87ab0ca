"""Add up a batch's callbacks to what one call of apply.lua counts."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from consumers.counters import layout
from consumers.counters.counted import Counted
from consumers.counters.hashes import Hashes
from consumers.counters.known import MINUTE, ByRole, Known, Window
from consumers.counters.layout import HOUR_S
from consumers.counters.zones import Zones, date_of, day_end_s
from schemas.figures import (
    ACTIVE,
    COMMAND,
    FIGURES_OF_ROLE,
    NEW_CONVERSATIONS,
    OTHER,
    PEOPLE,
    Sums,
)

# The bound of one call of the script, in values: some 1 µs each of the one thread of Valkey. The
# rest of the batch goes into further calls, each of which moves the position.
VALUES_MAX = 30_000
# What a window of time costs besides its people: its sums are as many commands.
_WINDOW_VALUES = 40
_SLOT_VALUES = 10
# The people of a day are counted exactly for the time that ids are remembered, after a day of up to
# 25 hours; two more hours for callbacks that are counted late.
_DAY_S = 27 * HOUR_S
DAY_SKETCHES_LIVE_S = 400 * 24 * 3600
# Number of names of commands that an app's totals have besides those of schemas/commands.py.
COMMAND_NAMES_MAX = 1000
_COMMAND_NAMES = "command_names"
_UNBOUNDED = 1 << 52
_ACTIVE_ROLES = frozenset(PEOPLE[ACTIVE])


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """How long counts are kept, in seconds, and how much is counted exactly: see COUNTERS_*."""

    remember_s: int
    keep_minutes_s: int
    keep_quarters_s: int
    keep_days_s: int
    people_exact_max: int
    conversations_max: int


class _People:
    """People of one window by role: those known to be counted, and those that are to be counted."""

    __slots__ = ("known", "new", "window")

    def __init__(self, window: Window, known: Known) -> None:
        self.window = window
        self.known = known.people(window)
        self.new: ByRole = defaultdict(set)

    def add(self, role: str, person: str) -> bool:
        """Return whether a person is to be counted in the window, and was not yet."""
        if person in self.known[role] or person in self.new[role]:
            return False
        self.new[role].add(person)
        return True


@dataclass(slots=True)
class _Day:
    date: str
    end_s: int
    people: _People
    month: _People
    total: _People
    sums: Counter[str] = field(default_factory=Counter)
    # By figure, those whom the exact sets are to have, and the figures that late people are in.
    exact: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    late: set[str] = field(default_factory=set)


@dataclass(slots=True)
class _Quarter:
    number: int
    day: _Day
    people: _People
    sums: Counter[str] = field(default_factory=Counter)


@dataclass(slots=True)
class _Minute:
    app: str
    number: int
    quarter: _Quarter
    people: _People
    # How often each object of sums occurs.
    known_conversations: set[tuple[str, ...]]
    counts: dict[Sums, int] = field(default_factory=dict)
    active: set[str] = field(default_factory=set)
    new_conversations: list[tuple[str, ...]] = field(default_factory=list)


@dataclass(slots=True)
class _App:
    zone: str
    total: _People
    # Those whom the exact set of all time is to have.
    exact: set[str] = field(default_factory=set)
    sums: Counter[str] = field(default_factory=Counter)
    unknown_commands: Counter[str] = field(default_factory=Counter)
    repeats: int = 0
    conversations: set[tuple[str, ...]] = field(default_factory=set)


class BatchSums:
    """What some callbacks of one partition add, without those that `known` says are counted."""

    def __init__(
        self, generation: int, bounds: Bounds, zones: Zones, hashes: Hashes, known: Known
    ) -> None:
        self._generation = generation
        self._bounds = bounds
        self._zones = zones
        self._hashes = hashes
        self._known = known
        self._began = known.forgotten
        self._values = 0
        # By origin, the number of its sequences and their sum.
        self._applied: dict[str, int] = {}
        self._sequences: dict[str, int] = {}
        self._apps: dict[str, _App] = {}
        self._days: dict[tuple[str, str], _Day] = {}
        self._quarters: dict[tuple[str, int], _Quarter] = {}
        self._minutes: dict[tuple[str, int], _Minute] = {}
        self._months: dict[tuple[str, str], _People] = {}
        # By app and slot: the hashes of ids that are remembered there, and their callbacks.
        self._ids: defaultdict[tuple[str, int | str], dict[str, int]] = defaultdict(dict)
        # Likewise, ids that are only looked up.
        self._lookups: defaultdict[tuple[str, int | str], dict[str, int]] = defaultdict(dict)

    def add(self, counted: Sequence[Counted], first: int, repeats: Collection[int]) -> int:
        """
        Add up callbacks from number `first` on, as many as one call may have; return the next one.

        `repeats` are the numbers of those that are known to be repeats.
        """
        minutes = self._minutes
        hash_of = self._hashes.of_account
        applied, totals = self._applied, self._sequences
        number = first - 1
        for number, callback in enumerate(islice(counted, first, None), start=first):
            app, at_minute, adds = callback.app, callback.at_s // layout.MINUTE_S, callback.added
            minute = minutes.get((app, at_minute)) or self._minute(callback)
            origin, sequence = callback.origin, callback.sequence
            applied[origin] = applied.get(origin, 0) + 1
            totals[origin] = totals.get(origin, 0) + sequence
            if callback.slots and (number in repeats or self._is_repeat(number, callback)):
                self._apps[app].repeats += 1
                continue
            sums = adds.sums
            minute.counts[sums] = minute.counts.get(sums, 0) + 1
            people = minute.people
            for role, account in adds.people:
                person = hash_of(account)
                if person not in people.known[role] and person not in people.new[role]:
                    self._add_person(minute, role, person, callback.received_s)
            conversation = adds.conversation
            if conversation and conversation not in minute.known_conversations:
                self._add_conversation(minute, conversation)
            if self._values >= VALUES_MAX:
                break
        return number + 1

    def learn(self) -> None:
        """Have `known` know what was added; call this after it was counted."""
        if self._began != self._known.forgotten:
            return
        for people in self._all_people():
            if people.new:
                self._known.add_people(people.window, people.new)
        for app, of_app in self._apps.items():
            self._known.add_conversations(app, of_app.conversations)

    def script_input(self) -> Mapping[str, Any]:
        """Return the input of apply.lua."""
        windows, conversations = self._conversations()
        return {
            "origins": [
                (origin, number, self._sequences[origin] % layout.SUM_MODULUS)
                for origin, number in self._applied.items()
            ],
            "zones": [(app, of_app.zone) for app, of_app in self._apps.items()],
            "ids": self._by_slot(self._ids),
            "ids_live_s": self._bounds.remember_s + HOUR_S,
            "lookups": self._by_slot(self._lookups),
            "people": list(self._exact_people()),
            "flags": list(self._flags()),
            "windows": windows,
            "conversations": conversations,
            "sums": list(self._sums()),
            "commands": list(self._unknown_commands()),
            "sketches": list(self._sketches()),
        }

    def _is_repeat(self, number: int, callback: Counted) -> bool:
        """Return whether this batch has the callback's id already; else have it remembered."""
        app, (slot, *others) = callback.app, callback.slots
        identity = self._hashes.of(callback.id)
        ids = self._ids.get((app, slot))
        if ids is None:
            ids = self._ids[app, slot]
            self._values += _SLOT_VALUES
        if identity in ids:
            return True
        if others:
            if any(identity in self._ids.get((app, other), ()) for other in others):
                return True
            for other in others:
                self._lookups[app, other][identity] = number
            self._values += len(others) * _SLOT_VALUES
        ids[identity] = number
        self._values += 1
        return False

    def _add_person(self, minute: _Minute, role: str, person: str, received_s: int) -> None:
        """Add a person who is new in the minute to all windows in which it is new."""
        minute.people.new[role].add(person)
        is_active = role in _ACTIVE_ROLES
        if is_active:
            minute.active.add(person)
            self._values += 1
        if not minute.quarter.people.add(role, person):
            return
        self._values += 1
        day = minute.quarter.day
        if not day.people.add(role, person):
            return
        figures = FIGURES_OF_ROLE[role]
        if received_s <= day.end_s + self._bounds.remember_s:
            for figure in figures:
                day.exact[figure].add(person)
        else:
            day.late.update(figures)
        self._values += 1 + len(figures)
        if not day.month.add(role, person):
            return
        self._values += 1
        if not day.total.add(role, person):
            return
        self._values += 2
        if is_active:
            self._apps[minute.app].exact.add(person)

    def _add_conversation(self, minute: _Minute, conversation: tuple[str, ...]) -> None:
        of_app = self._apps[minute.app].conversations
        if conversation not in of_app:
            of_app.add(conversation)
            minute.new_conversations.append(conversation)
            self._values += 2

    def _minute(self, callback: Counted) -> _Minute:
        app, number = callback.app, callback.at_s // layout.MINUTE_S
        of_app = self._apps.get(app)
        if of_app is None:
            of_app = _App(self._zones.of(app), _People(("total", app, ""), self._known))
            self._apps[app] = of_app
            self._values += _WINDOW_VALUES
        quarter = self._quarter(app, of_app, number * layout.MINUTE_S // layout.QUARTER_S)
        people = _People((MINUTE, app, number), self._known)
        minute = self._minutes[app, number] = _Minute(
            app, number, quarter, people, self._known.conversations(app)
        )
        self._values += _WINDOW_VALUES
        return minute

    def _quarter(self, app: str, of_app: _App, number: int) -> _Quarter:
        quarter = self._quarters.get((app, number))
        if quarter is None:
            date = date_of(of_app.zone, number)
            day = self._days.get((app, date))
            if day is None:
                month = self._months.get((app, date[:7]))
                if month is None:
                    month = _People(("month", app, date[:7]), self._known)
                    self._months[app, date[:7]] = month
                people = _People(("day", app, date), self._known)
                end_s = day_end_s(of_app.zone, date)
                day = self._days[app, date] = _Day(date, end_s, people, month, of_app.total)
                self._values += _WINDOW_VALUES
            people = _People(("quarter", app, number), self._known)
            quarter = self._quarters[app, number] = _Quarter(number, day, people)
            self._values += _WINDOW_VALUES
        return quarter

    def _all_people(self) -> Iterator[_People]:
        for windows in (self._minutes, self._quarters, self._days):
            for window in windows.values():
                yield window.people
        yield from self._months.values()
        for of_app in self._apps.values():
            yield of_app.total

    def _by_slot(
        self, ids: Mapping[tuple[str, int | str], Mapping[str, int]]
    ) -> list[tuple[str, list[str], list[int]]]:
        return [
            (layout.ids(self._generation, app, slot), list(numbers), list(numbers.values()))
            for (app, slot), numbers in ids.items()
            if numbers
        ]

    def _exact_people(self) -> Iterator[tuple[Any, ...]]:
        """Yield the hash sets: name, members, bound, life, and where their number is kept."""
        generation, bounds = self._generation, self._bounds
        for (app, _), minute in self._minutes.items():
            if minute.active:
                yield (
                    layout.minute_people(generation, app, minute.number),
                    list(minute.active),
                    _UNBOUNDED,
                    bounds.remember_s + HOUR_S,
                    layout.minutes(generation, app, minute.number),
                    layout.minute_field(minute.number, ACTIVE),
                    "",
                )
        for (app, date), day in self._days.items():
            for figure, people in day.exact.items():
                yield (
                    layout.day_people(generation, figure, app, date),
                    list(people),
                    bounds.people_exact_max,
                    bounds.remember_s + _DAY_S,
                    layout.days(generation, app, date),
                    layout.day_field(date, figure),
                    layout.day_field(date, layout.SKETCHED + figure),
                )
        for app, of_app in self._apps.items():
            if of_app.exact:
                yield (
                    layout.people(generation, app),
                    list(of_app.exact),
                    bounds.people_exact_max,
                    0,
                    layout.totals(generation, app),
                    ACTIVE,
                    layout.SKETCHED + ACTIVE,
                )

    def _flags(self) -> Iterator[tuple[str, str]]:
        for (app, date), day in self._days.items():
            for figure in day.late:
                key = layout.days(self._generation, app, date)
                yield key, layout.day_field(date, layout.SKETCHED + figure)

    def _conversations(self) -> tuple[list[list[tuple[str, str]]], list[tuple[Any, ...]]]:
        """Return the windows of new conversations, and these by app, each with its window."""
        generation = self._generation
        windows: list[list[tuple[str, str]]] = []
        by_app: dict[str, tuple[list[str], list[int], int]] = {}
        for (app, number), minute in self._minutes.items():
            if not minute.new_conversations:
                continue
            quarter, date = minute.quarter.number, minute.quarter.day.date
            windows.append(
                [
                    (
                        layout.minutes(generation, app, number),
                        layout.minute_field(number, NEW_CONVERSATIONS),
                    ),
                    (
                        layout.quarters(generation, app, quarter),
                        layout.quarter_field(quarter, NEW_CONVERSATIONS),
                    ),
                    (
                        layout.days(generation, app, date),
                        layout.day_field(date, NEW_CONVERSATIONS),
                    ),
                    (layout.totals(generation, app), NEW_CONVERSATIONS),
                ]
            )
            hashes, places, at_s = by_app.get(app, ([], [], number * layout.MINUTE_S))
            for conversation in minute.new_conversations:
                hashes.append(self._hashes.of(_conversation_text(conversation)))
                places.append(len(windows))
            by_app[app] = (hashes, places, min(at_s, number * layout.MINUTE_S))
        return windows, [
            (
                layout.conversations(generation, app),
                hashes,
                places,
                self._bounds.conversations_max,
                layout.totals(generation, app),
                layout.UNCOUNTED + NEW_CONVERSATIONS,
                at_s,
            )
            for app, (hashes, places, at_s) in by_app.items()
        ]

    def _sums(self) -> Iterator[tuple[str, int, dict[str, int]]]:
        """Yield the hashes of sums: key, life, and numbers by field. Call this once."""
        generation, bounds = self._generation, self._bounds
        # A quarter hour consists of minutes, a day of quarter hours, all time of days.
        for (app, number), minute in self._minutes.items():
            of_minute = self._sums_of_minute(minute)
            minute.quarter.sums.update(of_minute)
            yield (
                layout.minutes(generation, app, number),
                bounds.keep_minutes_s,
                {
                    layout.minute_field(number, figure): by
                    for figure, by in of_minute.items()
                    if not figure.startswith(COMMAND)
                },
            )
        for (app, number), quarter in self._quarters.items():
            quarter.day.sums.update(quarter.sums)
            fields = {layout.quarter_field(number, name): by for name, by in quarter.sums.items()}
            yield layout.quarters(generation, app, number), bounds.keep_quarters_s, fields
        for (app, date), day in self._days.items():
            self._apps[app].sums.update(day.sums)
            fields = {layout.day_field(date, name): by for name, by in day.sums.items()}
            yield layout.days(generation, app, date), bounds.keep_days_s, fields
        for app, of_app in self._apps.items():
            # Totals have commands that are not known by their names.
            of_app.sums.pop(COMMAND + OTHER, None)
            if of_app.repeats:
                of_app.sums[layout.REPEATS] = of_app.repeats
            yield layout.totals(generation, app), 0, of_app.sums

    def _sums_of_minute(self, minute: _Minute) -> Counter[str]:
        """Return the numbers by figure, and note commands that are not known."""
        found: Counter[str] = Counter()
        for sums, times in minute.counts.items():
            for figure, by in sums.numbers.items():
                found[figure] += by * times
            if sums.unknown_command:
                self._apps[minute.app].unknown_commands[sums.unknown_command] += times
        return found

    def _unknown_commands(self) -> Iterator[tuple[Any, ...]]:
        """Yield commands that only totals have by name; `_sums` has found them."""
        for app, of_app in self._apps.items():
            for command, times in of_app.unknown_commands.items():
                yield (
                    layout.totals(self._generation, app),
                    COMMAND + command,
                    times,
                    _COMMAND_NAMES,
                    COMMAND_NAMES_MAX,
                    COMMAND + OTHER,
                )

    def _sketches(self) -> Iterator[tuple[str, int, list[str]]]:
        """Yield the sketches: key, life, and members."""
        generation, bounds = self._generation, self._bounds
        for (app, number), quarter in self._quarters.items():
            for role, people in quarter.people.new.items():
                key = layout.quarter_sketch(generation, role, app, number)
                yield key, bounds.keep_quarters_s, list(people)
        for (app, date), day in self._days.items():
            for role, people in day.people.new.items():
                key = layout.day_sketch(generation, role, app, date)
                yield key, min(DAY_SKETCHES_LIVE_S, bounds.keep_days_s), list(people)
        for (app, month), month_people in self._months.items():
            for role, people in month_people.new.items():
                key = layout.month_sketch(generation, role, app, month)
                yield key, bounds.keep_days_s, list(people)
        for app, of_app in self._apps.items():
            for role, people in of_app.total.new.items():
                yield layout.total_sketch(generation, role, app), 0, list(people)


def _conversation_text(conversation: tuple[str, ...]) -> bytes:
    # The length keeps ("a/b", "c") and ("a", "b/c") apart, the number of names pairs and groups.
    return f"{len(conversation)}/{len(conversation[0])}/{'/'.join(conversation)}".encode()
