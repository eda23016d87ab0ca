"""What the counters must have, computed from the callbacks alone: plain sets and sums."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from consumers.runtime.batch import Record
from schemas.additions import additions_of, counted_at_s
from schemas.body import parse
from schemas.callback_record import parse_callback_record
from schemas.figures import FIGURES_OF_ROLE

DAY_S = 24 * 3600
MINUTE, QUARTER = timedelta(minutes=1), timedelta(minutes=15)


@dataclass
class Window:
    """Sums, and people by figure; `exact` has those that an exact count is to have."""

    sums: Counter[str] = field(default_factory=Counter)
    people: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    exact: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    is_late: set[str] = field(default_factory=set)


class Model:
    """Counts each callback once, in the order of its partition."""

    def __init__(self, zones: dict[str, str], remember_s: int) -> None:
        self._zones = zones
        self._remember_s = remember_s
        self.minutes: defaultdict[tuple[str, datetime], Window] = defaultdict(Window)
        self.quarters: defaultdict[tuple[str, datetime], Window] = defaultdict(Window)
        self.days: defaultdict[tuple[str, str], Window] = defaultdict(Window)
        self.months: defaultdict[tuple[str, str], Window] = defaultdict(Window)
        self.totals: defaultdict[str, Window] = defaultdict(Window)
        self._ids: set[tuple[str, str]] = set()
        self._conversations: set[tuple[str, ...]] = set()

    def count(self, records: Iterable[Record]) -> None:
        """Count the callbacks of a partition."""
        for record in records:
            self._count(record)

    def _count(self, record: Record) -> None:
        callback = parse_callback_record(record.value, record.headers)
        app = callback.sdkappid
        if (app, callback.id) in self._ids:
            self.totals[app].sums["repeats"] += 1
            return
        self._ids.add((app, callback.id))
        document = parse(callback.body)
        received_s = int(callback.received_at.timestamp())
        at = datetime.fromtimestamp(counted_at_s(document, received_s), UTC)
        adds = additions_of(callback.command, callback.opt_platform, document)
        local = at.astimezone(ZoneInfo(self._zones[app]))
        midnight = local.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
        is_late = received_s - midnight.timestamp() > self._remember_s
        date = f"{local:%Y-%m-%d}"
        minute = at.replace(second=0, microsecond=0)
        quarter = minute - timedelta(minutes=minute.minute % 15)
        windows = (
            self.minutes[app, minute],
            self.quarters[app, quarter],
            self.days[app, date],
            self.months[app, date[:7]],
            self.totals[app],
        )
        sums = Counter(adds.sums.numbers)
        conversation = (app, *adds.conversation)
        if adds.conversation and conversation not in self._conversations:
            self._conversations.add(conversation)
            sums["new_conversations"] += 1
        for window in windows:
            window.sums.update(sums)
            for role, account in adds.members:
                for figure in FIGURES_OF_ROLE[role]:
                    window.people[figure].add(account)
                    if is_late:
                        window.is_late.add(figure)
                    else:
                        window.exact[figure].add(account)
        if adds.sums.unknown_command:
            totals = self.totals[app].sums
            totals["command:other"] -= 1
            totals["command:" + adds.sums.unknown_command] += 1
