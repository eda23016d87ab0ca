"""
Answers of the statistics API for tests of the page: a day of three apps, made up but consistent.

They are made of the API's own types, for the windows that the API cuts. The state of the pipeline
is made by the API's own functions from made-up answers of the processes. So an answer that the API
could not give is refused here, too. The moment is fixed: 28 November 2026, 14:07:02 in Shanghai.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from multidict import MultiDict
from support import pipeline_states

from consumers.counters.keep_times import keep_times_of
from consumers.stats import answers, health_answers
from consumers.stats.answers import Count, Figures, People, Period, SeriesByRow, SeriesRow
from consumers.stats.health import Timeline, find, health
from consumers.stats.process_statuses import ProcessStatuses
from consumers.stats.query import read
from consumers.stats.routes import SERIES
from consumers.stats.scope import scope_of, split_range
from consumers.stats.series import NAMES
from consumers.stats.store import DEFAULT_ZONE, Catalog, CountedApp
from consumers.stats.windows import Step, quarter_begin
from schemas.figures import SUMS

NOW = datetime(2026, 11, 28, 6, 7, 2, tzinfo=UTC)
APPS = {"1400000001": 0.7, "1400000002": 0.25, "1400000003": 0.05}
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
LOST = 0.0021
TYPES = {
    "TIMTextElem": 0.58,
    "TIMImageElem": 0.17,
    "TIMSoundElem": 0.09,
    "TIMCustomElem": 0.07,
    "TIMFaceElem": 0.04,
    "TIMVideoFileElem": 0.025,
    "TIMFileElem": 0.012,
    "TIMLocationElem": 0.007,
    "TIMRelayElem": 0.004,
    "other": 0.002,
}
PLATFORMS = {
    "iOS": 0.47,
    "Android": 0.39,
    "RESTAPI": 0.055,
    "Windows": 0.04,
    "Web": 0.03,
    "Mac": 0.009,
    "iPad": 0.003,
    "Unknown": 0.002,
    "other": 0.001,
}
COMMANDS = {
    "C2C.CallbackAfterSendMsg": 0.62,
    "Group.CallbackAfterSendMsg": 0.38,
    "State.StateChange": 0.094,
    "Group.CallbackAfterNewMemberJoin": 0.0033,
    "Group.CallbackAfterMemberExit": 0.002,
    "Sns.CallbackFriendAdd": 0.0012,
    "Sns.CallbackFriendDelete": 0.0004,
    "Group.CallbackAfterCreateGroup": 0.0002,
    "Profile.CallbackPortraitSet": 0.0001,
    "C2C.CallbackAfterMsgReport": 0.00008,
    "other": 0.00001,
}
BY = {"type": TYPES, "platform": PLATFORMS, "command": COMMANDS, "app": APPS}


def rate(at: datetime) -> float:
    """Return the messages per second of all apps at a time: few at night, less on Sundays."""
    local = at.astimezone(ZoneInfo("Asia/Shanghai"))
    hour = local.hour + local.minute / 60
    day = 0.5 + 0.5 * math.sin((hour - 9.2) / 24 * 2 * math.pi)
    lunch = 0.35 * math.exp(-((hour - 12.6) ** 2) / 2)
    evening = 0.8 * math.exp(-((hour - 20.7) ** 2) / 3)
    growth = 1 + 0.004 * (at - NOW).total_seconds() / 86_400
    weekly = (1.0, 1.01, 1.03, 1.02, 1.06, 0.97, 0.86)[local.weekday()]
    wobble = 1 + 0.05 * math.sin(at.timestamp() / 97) * math.sin(at.timestamp() / 31)
    return 32 * (0.25 + day + lunch + evening) * growth * weekly * wobble


def messages_between(begin: datetime, end: datetime, app: str | None) -> int:
    """Return the messages of a range, by quarter hours or finer; none after NOW."""
    end = min(end, NOW)
    step = min(15 * MINUTE, max(end - begin, timedelta(seconds=1)))
    total, at = 0.0, begin
    while at < end:
        piece = min(step, end - at)
        total += rate(at + piece / 2) * piece.total_seconds()
        at += piece
    return round(total * (APPS[app] if app else 1))


def count(value: float, error: float = 0.0) -> Count:
    """Return a number of people."""
    return Count(value=round(value), error=error)


def figures(messages: int) -> Figures:
    """Return all figures of a window with so many messages."""
    one_to_one = round(messages * 0.62)
    lost = round(messages * LOST)
    return Figures(
        callbacks=round(messages * 1.31),
        messages=messages,
        one_to_one_messages=one_to_one,
        group_messages=messages - one_to_one,
        delivered=messages - lost,
        undelivered=lost,
        one_to_one_undelivered=round(lost * 0.66),
        online_only=round(messages * 0.11),
        by_app=round(messages * 0.02),
        by_robots=round(messages * 0.0125),
        log_ins=round(messages * 0.05),
        log_outs=round(messages * 0.0476),
        registrations=round(messages * 0.0011),
        group_joins=round(messages * 0.0033),
        group_leaves=round(messages * 0.002),
        groups_created=round(messages * 0.00025),
        groups_dissolved=round(messages * 0.0001),
        contacts_added=round(messages * 0.0012),
        contacts_removed=round(messages * 0.0004),
        new_conversations=round(messages * 0.0067),
    )


def people(messages: int, error: float = 0.0) -> People:
    """Return the people of a window with so many messages."""
    active = 41 * messages**0.5
    return People(
        active=count(active, error),
        senders=count(active * 0.7, error),
        recipients=count(active * 0.9, error),
        one_to_one_senders=count(active * 0.5, error),
        group_senders=count(active * 0.35, error),
        groups_with_messages=count(active / 30, error),
        logged_in=count(active * 1.2, error),
    )


class Answers:
    """
    All answers of one moment. `error` is the error of numbers of people.

    `measured` is what the processes of the pipeline answer since four minutes ago; before, all was
    well. With `is_empty`, no message has been counted: of the `apps`, or because there are none.
    """

    def __init__(
        self,
        *,
        measured: ProcessStatuses = pipeline_states.WELL,
        apps: Sequence[str] | None = None,
        is_empty: bool = False,
        error: float = 0.0,
    ) -> None:
        self.measured = measured
        self.names = apps if apps is not None else () if is_empty else tuple(APPS)
        self.is_empty = is_empty
        self.error = error

    def apps(self) -> answers.Apps:
        """Return the answer of /v1/apps."""
        day = NOW.date() - timedelta(days=60)
        return answers.Apps(
            apps=[answers.App(app=app, zone="Asia/Shanghai", first_day=day) for app in self.names]
        )

    def catalog(self) -> Catalog:
        """Return the apps, as the API reads them from Valkey."""
        return Catalog(
            1,
            {name: CountedApp(1, name, DEFAULT_ZONE) for name in self.names},
            keep_times_of({}, "default"),
        )

    def summary(self, app: str | None, zone: str, at: datetime | None = None) -> answers.Summary:
        """Return the answer of /v1/summary, with `at` that of a moment."""
        now = (at or NOW).astimezone(ZoneInfo(zone))
        until = now.replace(second=0, microsecond=0)
        hours = [
            until.replace(minute=0).astimezone(UTC) - number * HOUR for number in range(23, -1, -1)
        ]
        by_hour = [self._messages(hour, hour + HOUR, app) for hour in hours]
        minute = self._messages(until - MINUTE, until, app)
        return answers.Summary(
            app=app,
            zone=zone,
            now=answers.Now(
                messages_per_second=minute / 60,
                people=count(minute * 0.35, self.error),
                not_delivered_share=None if self.is_empty else LOST,
                until=until,
            ),
            today=self._period(now, 0, now, app, is_live=at is None),
            yesterday_until_now=self._period(now, 1, now, app),
            yesterday=self._period(now, 1, None, app),
            last_week_until_now=self._period(now, 7, now, app),
            last_week=self._period(now, 7, None, app),
            sparklines=answers.Sparklines(
                begins=[hour.astimezone(ZoneInfo(zone)) for hour in hours],
                messages=by_hour,
                people=[round(9 * number**0.5) for number in by_hour],
                undelivered=[
                    round(n * LOST * (1 + 0.3 * math.sin(0.7 * at))) for at, n in enumerate(by_hour)
                ],
            ),
            people_exact_max=self.catalog().keep_times.people_exact_max,
        )

    def series(self, app: str | None, zone: str, **asked: str) -> answers.Series | answers.SeriesBy:
        """Return the answer of /v1/series to `step`, `from`, `to` and `by`."""
        query = MultiDict({"tz": zone, **asked})
        if app:
            query["app"] = app
        values = read(query, SERIES.parameters, SERIES.path)
        by = values.get("by")
        names = SUMS if by is None else NAMES[by]
        windowed = split_range(values, scope_of(values, self.catalog(), NOW), len(names))
        windows = [
            (begin.astimezone(windowed.zone), end.astimezone(windowed.zone))
            for begin, end in windowed.windows
        ]
        head: dict[str, Any] = {"app": app, "zone": zone, "step": windowed.step.value}
        head |= {"begin": windows[0][0], "end": windows[-1][1]}
        if by is None:
            rows = [self._row(*window, app, windowed.step) for window in windows]
            return answers.Series(rows=rows, **head)
        head |= {"by": by, "rows": [self._row_by(*window, app, by) for window in windows]}
        return answers.SeriesBy(**head)

    def live(self, app: str | None, at: datetime, seconds: float = 2.0) -> answers.LiveNow:
        """Return the update of /v1/live at a time."""
        messages = 0 if self.is_empty else round(rate(at) * seconds * (APPS[app] if app else 1))
        return answers.LiveNow(
            updated_at=at,
            seconds=seconds,
            messages=messages,
            messages_per_second=messages / seconds,
            undelivered=0,
            people=count(messages * 10, self.error),
        )

    def health(self, zone: str = "Asia/Shanghai") -> health_answers.Health:
        """Return the answer of /v1/health."""
        timeline = Timeline()
        well = find(replace(pipeline_states.WELL, now=NOW))
        findings = find(replace(self.measured, now=NOW))
        for finding in [*well, *findings]:
            timeline.note(finding, NOW - 4 * MINUTE)
        return health(findings, timeline, NOW, ZoneInfo(zone))

    def _messages(self, begin: datetime, end: datetime, app: str | None) -> int:
        return 0 if self.is_empty else messages_between(begin, end, app)

    def _period(
        self,
        now: datetime,
        days: int,
        until: datetime | None,
        app: str | None,
        *,
        is_live: bool = False,
    ) -> Period:
        begin = now.replace(hour=0, minute=0, second=0, microsecond=0) - days * DAY
        end = until - days * DAY if until else begin + DAY
        people_until = end
        if until and not is_live:
            end = end.replace(second=0)
            people_until = quarter_begin(end).astimezone(end.tzinfo)
        sum_ = self._messages(begin.astimezone(UTC), end.astimezone(UTC), app)
        of_people = self._messages(begin.astimezone(UTC), people_until.astimezone(UTC), app)
        return Period(
            begin=begin,
            end=end,
            people_until=people_until,
            figures=figures(sum_),
            people=people(of_people, self.error),
        )

    def _row(self, begin: datetime, end: datetime, app: str | None, step: Step) -> SeriesRow:
        sum_ = self._messages(begin.astimezone(UTC), end.astimezone(UTC), app)
        everyone = people(sum_, self.error)
        if step is Step.MINUTE:
            rest = dict.fromkeys(People.__struct_fields__)
            everyone = People(**rest | {"active": everyone.active})
        return SeriesRow(begin=begin, end=end, figures=figures(sum_), people=everyone)

    def _row_by(self, begin: datetime, end: datetime, app: str | None, by: str) -> SeriesByRow:
        sum_ = self._messages(begin.astimezone(UTC), end.astimezone(UTC), app)
        shares = {app: 1.0} if by == "app" and app else BY[by]
        parts = {name: round(sum_ * share) for name, share in shares.items()}
        return SeriesByRow(begin=begin, end=end, by={name: n for name, n in parts.items() if n})
