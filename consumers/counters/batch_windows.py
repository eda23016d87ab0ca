"""
The windows of time in which a batch's callbacks count: minute, quarter hour, day, month, all time.

Each window has the people who are new in it. A person who is known to be counted in a window is
counted in all windows that contain it, too, so the search goes from the minute outwards and stops
at the first window that has the person.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from consumers.counters import layout
from consumers.counters.already_counted import MINUTE, AlreadyCounted, ByRole, WindowName
from consumers.counters.zones import Zones, date_of, day_end_s
from schemas.additions import FigureSums
from schemas.figures import ACTIVE, FIGURES_OF_ROLE, PEOPLE

# What a window costs besides its people, as a number of values (see COST_MAX in batch_sums.py):
# each of its sums is a command.
_WINDOW_COST = 40
# A person in one of the other roles is active already, so Valkey need not be asked.
_OTHER_ACTIVE_ROLES = {
    role: tuple(other for other in PEOPLE[ACTIVE] if other != role) for role in PEOPLE[ACTIVE]
}


class WindowPeople:
    """The people of one window by role: `known` are counted already, `new` are to be counted."""

    __slots__ = ("known", "new", "window")

    def __init__(self, window: WindowName, already_counted: AlreadyCounted) -> None:
        self.window = window
        self.known = already_counted.people(window)
        self.new: ByRole = defaultdict(set)

    def add(self, role: str, person: str) -> bool:
        """Add a person to `new`; return False if the person is in `known` or `new` already."""
        if person in self.known[role] or person in self.new[role]:
            return False
        self.new[role].add(person)
        return True

    def has(self, roles: Sequence[str], person: str) -> bool:
        """Return whether a person is in `known` or `new` in one of some roles."""
        for role in roles:
            if person in self.known.get(role, ()) or person in self.new.get(role, ()):
                return True
        return False


@dataclass(slots=True)
class Day:
    """A day in the app's zone, and the month and all time, which contain it."""

    date: str
    # In seconds since 1970.
    end_s: int
    people: WindowPeople
    month: WindowPeople
    total: WindowPeople
    # By figure: the people to add to its exact set.
    exact: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    # Figures with people who came too late to be counted exactly.
    late: set[str] = field(default_factory=set)


@dataclass(slots=True)
class Quarter:
    """A quarter hour. `number` counts from 1970 on, in UTC."""

    number: int
    day: Day
    people: WindowPeople


@dataclass(slots=True)
class Minute:
    """A minute, and what the callbacks in it add. `number` counts from 1970 on, in UTC."""

    app: str
    number: int
    quarter: Quarter
    people: WindowPeople
    known_conversations: set[tuple[str, ...]]
    # How often each object of sums occurs.
    counts: dict[FigureSums, int] = field(default_factory=dict)
    active: set[str] = field(default_factory=set)
    new_conversations: list[tuple[str, ...]] = field(default_factory=list)


@dataclass(slots=True)
class AppAdditions:
    """The additions to an app over all time, besides the sums of its minutes."""

    zone: str
    total: WindowPeople
    # The people to add to the exact set of those who were ever active.
    exact: set[str] = field(default_factory=set)
    repeats: int = 0
    conversations: set[tuple[str, ...]] = field(default_factory=set)


class BatchWindows:
    """All windows of a batch's callbacks. `cost` is the cost of all that is in them."""

    def __init__(self, remember_s: int, zones: Zones, already_counted: AlreadyCounted) -> None:
        self._remember_s = remember_s
        self._zones = zones
        self._already_counted = already_counted
        self.cost = 0
        self.apps: dict[str, AppAdditions] = {}
        # By app and date.
        self.days: dict[tuple[str, str], Day] = {}
        # By app and number.
        self.quarters: dict[tuple[str, int], Quarter] = {}
        self.minutes: dict[tuple[str, int], Minute] = {}
        # By app and a text like 2026-01.
        self.months: dict[tuple[str, str], WindowPeople] = {}

    def add_minute(self, app: str, number: int) -> Minute:
        """Add a minute, and the windows that contain it if they are not there yet."""
        app_additions = self.apps.get(app)
        if app_additions is None:
            app_additions = AppAdditions(
                self._zones.of(app), WindowPeople(("total", app, ""), self._already_counted)
            )
            self.apps[app] = app_additions
            self.cost += _WINDOW_COST
        quarter = self._quarter(app, app_additions, number * layout.MINUTE_S // layout.QUARTER_S)
        people = WindowPeople((MINUTE, app, number), self._already_counted)
        minute = Minute(app, number, quarter, people, self._already_counted.conversations(app))
        self.minutes[app, number] = minute
        self.cost += _WINDOW_COST
        return minute

    def add_person(self, minute: Minute, role: str, person: str, received_s: int) -> None:
        """Add a person who is new in `minute` to all windows in which the person is new."""
        minute.people.new[role].add(person)
        other_roles = _OTHER_ACTIVE_ROLES.get(role)
        if other_roles and not minute.people.has(other_roles, person):
            minute.active.add(person)
            self.cost += 1
        people = minute.quarter.people
        # `WindowPeople.add`, without a call for the many who are in the quarter hour already.
        if person in people.known[role] or person in people.new[role]:
            return
        people.new[role].add(person)
        self.cost += 1
        day = minute.quarter.day
        if not day.people.add(role, person):
            return
        figures = FIGURES_OF_ROLE[role]
        # Later, the exact sets of the day may have expired.
        if received_s <= day.end_s + self._remember_s:
            for figure in figures:
                day.exact[figure].add(person)
        else:
            day.late.update(figures)
        self.cost += 1 + len(figures)
        if not day.month.add(role, person):
            return
        self.cost += 1
        if not day.total.add(role, person):
            return
        self.cost += 2
        if other_roles and not day.total.has(other_roles, person):
            self.apps[minute.app].exact.add(person)

    def add_conversation(self, minute: Minute, conversation: tuple[str, ...]) -> None:
        """Add a conversation that is not known to be counted, unless a minute has it already."""
        app_conversations = self.apps[minute.app].conversations
        if conversation not in app_conversations:
            app_conversations.add(conversation)
            minute.new_conversations.append(conversation)
            self.cost += 2

    def people(self) -> Iterator[WindowPeople]:
        """Yield the people of every window."""
        for windows in (self.minutes, self.quarters, self.days):
            for window in windows.values():
                yield window.people
        yield from self.months.values()
        for app_additions in self.apps.values():
            yield app_additions.total

    def _quarter(self, app: str, app_additions: AppAdditions, number: int) -> Quarter:
        quarter = self.quarters.get((app, number))
        if quarter is None:
            day = self._day(app, app_additions, date_of(app_additions.zone, number))
            people = WindowPeople(("quarter", app, number), self._already_counted)
            quarter = self.quarters[app, number] = Quarter(number, day, people)
            self.cost += _WINDOW_COST
        return quarter

    def _day(self, app: str, app_additions: AppAdditions, date: str) -> Day:
        day = self.days.get((app, date))
        if day is None:
            month = self.months.get((app, date[:7]))
            if month is None:
                month = WindowPeople(("month", app, date[:7]), self._already_counted)
                self.months[app, date[:7]] = month
            people = WindowPeople(("day", app, date), self._already_counted)
            end_s = day_end_s(app_additions.zone, date)
            day = self.days[app, date] = Day(date, end_s, people, month, app_additions.total)
            self.cost += _WINDOW_COST
        return day
