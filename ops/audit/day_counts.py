"""
Compare the statistics of each app's days with the records. Does no I/O.

Totals agree if a callback is counted in the wrong day; days do not. A day is counted by the rules
of the counters: by the time of the event, in the app's own zone, each `ce_id` once.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

from consumers.counters.layout import QUARTER_S
from consumers.counters.slots import slots_to_search
from consumers.counters.zones import DEFAULT_ZONE_NAME, date_of
from ops.audit.expected_counts import NO_KEY, NOT_COUNTED, CountKey, DayRecords, ExpectedCounts
from ops.audit.report import LISTED_MAX
from ops.audit.shown_days import Numbers, ShownDays
from ops.audit.sources import ReadAgain
from ops.audit.statistic_report import DayReport, DaysNotJudged, DaysReport, StatisticReport
from schemas.additions import CLOCK_AHEAD_S_MAX, counted_at_s
from schemas.callback_record import CallbackRecord

NOT_KEPT = "the statistics do not have this month any more"
EXPIRED = "callbacks of these days may have expired from Kafka and the archive"
IN_FUTURE = "they are in the future, so they were not asked for"


class DayCounts:
    """Counts the messages and callbacks of the records by app and day, and compares them."""

    def __init__(self) -> None:
        self._shown: Mapping[str, ShownDays] | None = None
        # By app, the zone of its days.
        self._zones: dict[str, str] = {}
        # The keys with their numbers, in order, and the number of callbacks with each.
        self._keys = {NO_KEY: NOT_COUNTED}
        self._counts = [0]
        self._expired_until_s = 0

    def note_shown(self, shown_days: Mapping[str, ShownDays]) -> None:
        """
        Note the days that the statistics show, by app.

        Raises:
            ReadAgain: records were counted by days of another zone than the app has now.
        """
        self._shown = shown_days
        for app, zone in self._zones.items():
            if zone != self._zone(app):
                raise ReadAgain(
                    f"the days of app {app} are those of {self._zone(app)}, not of {zone}"
                )

    def note_expired(self, last_timestamp_ms: int) -> None:
        """Note that records of a partition have expired, up to one with this time of Kafka."""
        # A callback is counted up to CLOCK_AHEAD_S_MAX after its time received, which is before
        # that time.
        until_s = last_timestamp_ms // 1000 + CLOCK_AHEAD_S_MAX
        self._expired_until_s = max(self._expired_until_s, until_s)

    def add(
        self,
        callback: CallbackRecord,
        document: Mapping[str, Any],
        *,
        is_message: bool,
        is_up_to_end: bool,
    ) -> int:
        """Count a callback with a parsed body; return the number of its key, not NOT_COUNTED."""
        received_s = int(callback.received_at.timestamp() // 1)
        app = callback.sdkappid
        zone = self._zones.get(app)
        if zone is None:
            zone = self._zones[app] = self._zone(app)
        key = CountKey(
            app,
            date_of(zone, counted_at_s(document, received_s) // QUARTER_S),
            is_message,
            is_up_to_end,
            not _has_certain_time(callback.command, document, received_s),
        )
        number = self._keys.setdefault(key, len(self._counts))
        if number == len(self._counts):
            self._counts.append(0)
        self._counts[number] += 1
        return number

    def expected_counts(self) -> ExpectedCounts:
        """Return the numbers counted so far; the caller leaves out the repeats."""
        return ExpectedCounts(self._keys, self._counts)

    def compare(
        self,
        expected_counts: ExpectedCounts,
        *,
        expired: int,
        unread: int,
        need_not_be_counted: int,
    ) -> DaysReport | None:
        """
        Return the result for all days, None if no statistics were noted.

        `expired`: the largest number of callbacks that may have expired from Kafka and the archive.
        `unread`: the number of callbacks that may be counted in any day, but are in no record that
        was counted here. `need_not_be_counted`: the number that was counted here and may be in no
        day.
        """
        if self._shown is None:
            return None
        compared = different = 0
        messages = callbacks = StatisticReport(shown=0, least=0, most=0)
        records, unsure_repeats = expected_counts.days(), expected_counts.unsure_repeats()
        listed: list[DayReport] = []
        reasons: dict[tuple[str, str], list[str]] = defaultdict(list)
        for app, day in self._apps_and_days(records):
            if reason := self._not_judged(app, day, has_expired=expired > 0):
                reasons[app, reason].append(day)
                continue
            compared += 1
            report = self._day(
                app,
                day,
                records.get((app, day), DayRecords()),
                unread=unread,
                may_lack=unsure_repeats[app] + need_not_be_counted,
            )
            messages += report.messages
            callbacks += report.callbacks
            if report.missing or report.doubled:
                different += 1
                if len(listed) < LISTED_MAX:
                    listed.append(report)
        return DaysReport(
            compared=compared,
            different=different,
            missing=max(messages.missing, callbacks.missing),
            doubled=max(messages.doubled, callbacks.doubled),
            listed=listed,
            not_judged=[
                DaysNotJudged(app=app, first=days[0], last=days[-1], days=len(days), reason=reason)
                for (app, reason), days in reasons.items()
            ],
        )

    def _apps_and_days(self, records: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        shown = ((app, day) for app, days in (self._shown or {}).items() for day in days.numbers)
        return sorted({*records, *shown})

    def _not_judged(self, app: str, day: str, *, has_expired: bool) -> str:
        """Return why a day is not judged, "" if it is compared."""
        if has_expired and day <= date_of(self._zone(app), self._expired_until_s // QUARTER_S):
            return EXPIRED
        shown_days = (self._shown or {}).get(app)
        if shown_days is None:
            return ""
        # A month expires as a whole; if the app has no month any more, all of them have.
        if not shown_days.first or day[:7] < shown_days.first[:7]:
            return NOT_KEPT
        return IN_FUTURE if day > shown_days.last else ""

    def _day(
        self, app: str, day: str, records: DayRecords, *, unread: int, may_lack: int
    ) -> DayReport:
        of_app = (self._shown or {}).get(app)
        shown_numbers = of_app.numbers.get(day, Numbers(0, 0)) if of_app else Numbers(0, 0)
        return DayReport(
            app=app,
            zone=self._zones.get(app) or self._zone(app),
            day=day,
            messages=StatisticReport(
                shown=shown_numbers.messages,
                least=max(0, records.least_messages - may_lack),
                most=records.most_messages + unread,
            ),
            callbacks=StatisticReport(
                shown=shown_numbers.callbacks,
                least=max(0, records.least_callbacks - may_lack),
                most=records.most_callbacks + unread,
            ),
        )

    def _zone(self, app: str) -> str:
        shown_days = (self._shown or {}).get(app)
        # An app that the statistics do not have (yet) probably has the zone that is the default.
        return shown_days.zone if shown_days else DEFAULT_ZONE_NAME


def _has_certain_time(command: str, document: Mapping[str, Any], received_s: int) -> bool:
    """Return whether all callbacks of this one's `ce_id` have the same plausible time."""
    return len(slots_to_search(command, document, received_s)) == 1
