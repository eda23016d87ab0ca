"""
Answers of the statistics API for tests of the page: a day of three apps, made up but consistent.

They are made of the API's own types, so an answer that the API could not give is refused here, too.
The moment is fixed: 28 November 2026, 14:07:02 in Shanghai.
"""

import math
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from consumers.stats import answers
from consumers.stats.answers import Count, Figures, People, Period, Row, RowBy, Words

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
    """All answers of one moment. `error` is the error of numbers of people."""

    def __init__(self, *, health: str = "ok", is_empty: bool = False, error: float = 0.0) -> None:
        self.health_state = health
        self.is_empty = is_empty
        self.error = error

    def apps(self) -> answers.Apps:
        """Return the answer of /v1/apps."""
        named = [] if self.is_empty else list(APPS)
        day = NOW.date() - timedelta(days=60)
        return answers.Apps(
            apps=[answers.App(app=app, zone="Asia/Shanghai", first_day=day) for app in named]
        )

    def summary(self, app: str | None, zone: str) -> answers.Summary:
        """Return the answer of /v1/summary."""
        now = NOW.astimezone(ZoneInfo(zone))
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
            today=self._period(now, 0, now, app),
            yesterday_until_now=self._period(now, 1, now, app),
            yesterday=self._period(now, 1, None, app),
            last_week_until_now=self._period(now, 7, now, app),
            last_week=self._period(now, 7, None, app),
            sparklines=answers.Sparklines(
                begins=[hour.astimezone(ZoneInfo(zone)) for hour in hours],
                messages=by_hour,
                people=[round(9 * number**0.5) for number in by_hour],
                undelivered=[round(n * LOST * (1 + (i % 5) / 9)) for i, n in enumerate(by_hour)],
            ),
        )

    def series(self, app: str | None, zone: str, **asked: str) -> answers.Series | answers.SeriesBy:
        """Return the answer of /v1/series to `step`, `from`, `to` and `by`."""
        tz, step, by = ZoneInfo(zone), asked["step"], asked.get("by")
        begin, end = _moment(asked.get("from"), tz), _moment(asked.get("to"), tz)
        windows = list(_windows(step, begin, end or NOW.astimezone(tz), tz))
        head: dict[str, Any] = {"app": app, "zone": zone, "step": step}
        head |= {"begin": windows[0][0], "end": windows[-1][1]}
        if by is None:
            rows = [self._row(*window, app, step) for window in windows]
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

    def health(self) -> answers.Health:
        """Return the answer of /v1/health: `ok`, `warning`, `wrong` or `unknown`."""
        return answers.Health(
            state="ok" if self.health_state == "unknown" else self.health_state,  # type: ignore[arg-type]  # as given
            stages=list(_stages(self.health_state)),
        )

    def _messages(self, begin: datetime, end: datetime, app: str | None) -> int:
        return 0 if self.is_empty else messages_between(begin, end, app)

    def _period(self, now: datetime, days: int, until: datetime | None, app: str | None) -> Period:
        begin = now.replace(hour=0, minute=0, second=0, microsecond=0) - days * DAY
        end = until - days * DAY if until else begin + DAY
        sum_ = self._messages(begin.astimezone(UTC), end.astimezone(UTC), app)
        return Period(
            begin=begin,
            end=end,
            people_until=end,
            figures=figures(sum_),
            people=people(sum_, self.error),
        )

    def _row(self, begin: datetime, end: datetime, app: str | None, step: str) -> Row:
        sum_ = self._messages(begin.astimezone(UTC), end.astimezone(UTC), app)
        everyone = people(sum_, self.error)
        if step == "minute":
            rest = dict.fromkeys(People.__struct_fields__)
            everyone = People(**rest | {"active": everyone.active})
        return Row(begin=begin, end=end, figures=figures(sum_), people=everyone)

    def _row_by(self, begin: datetime, end: datetime, app: str | None, by: str) -> RowBy:
        sum_ = self._messages(begin.astimezone(UTC), end.astimezone(UTC), app)
        shares = {app: 1.0} if by == "app" and app else BY[by]
        parts = {name: round(sum_ * share) for name, share in shares.items()}
        return RowBy(begin=begin, end=end, by={name: n for name, n in parts.items() if n})


def _moment(text: str | None, zone: ZoneInfo) -> datetime | None:
    if text is None:
        return None
    at = datetime.fromisoformat(text)
    return at.replace(tzinfo=zone) if at.tzinfo is None else at.astimezone(zone)


def _windows(
    step: str, begin: datetime | None, end: datetime, zone: ZoneInfo
) -> Iterator[tuple[datetime, datetime]]:
    lengths = {"minute": (MINUTE, 60), "hour": (HOUR, 24), "day": (DAY, 30)}
    length, number = lengths[step]
    if begin is None:
        begin = end - (number - 1) * length
    at = begin.replace(second=0, microsecond=0)
    at = at if step == "minute" else at.replace(minute=0)
    at = at.replace(hour=0) if step == "day" else at
    while at < end:
        # Wall-clock days, but hours and minutes that pass.
        after = at + length if step == "day" else (at.astimezone(UTC) + length).astimezone(zone)
        yield at, after
        at = after


WELL = Words(en="Nothing to do.", zh="无需处理。")
STAGES: dict[str, tuple[str | None, str | None, str, str]] = {
    "receiving": ("3/3", "replicas", "All replicas accept callbacks.", "所有副本都在接收回调。"),
    "on_disk": ("0", "callbacks", "No callback waits on disk.", "磁盘上没有等待的回调。"),
    "kafka": ("0.1", "s", "Callbacks reach Kafka.", "回调正常进入 Kafka。"),
    "archive": ("12", "s", "The archive is up to date.", "归档是最新的。"),
    "database": ("0.3", "s", "The database is up to date.", "数据库是最新的。"),
    "counts": ("0.4", "s", "The counts are up to date.", "统计是最新的。"),
    "webhook": (None, None, "No webhook is set up.", "没有配置推送。"),
}


def _stages(state: str) -> Iterator[answers.Stage]:
    for name, (number, unit, en, zh) in STAGES.items():
        own = "unknown" if number is None or state == "unknown" else "ok"
        stage: dict[str, Any] = {
            "stage": name,
            "state": own,
            "number": number,
            "unit": unit,
            "since": None,
            "what": Words(en=en, zh=zh),
            "what_to_do": WELL,
            "runbook": "docs/runbook.md",
        }
        if name == "database" and state in {"warning", "wrong"}:
            stage |= {
                "state": state,
                "number": "41",
                "since": NOW - 5 * MINUTE,
                "what": Words(
                    en="PostgreSQL does not answer since 14:02. Nothing is lost: callbacks wait in"
                    " Kafka (room for 6 days).",
                    zh="PostgreSQL 自 14:02 起没有响应。"
                    "没有丢失：回调在 Kafka 中等待（可保留 6 天）。",
                ),
                "what_to_do": Words(
                    en="Check the server; then nothing else is needed.",
                    zh="检查服务器，恢复后无需其他操作。",
                ),
                "runbook": "docs/runbook.md#a-sink-is-down",
            }
        if name == "on_disk" and state == "wrong":
            stage |= {
                "state": "wrong",
                "number": "48112",
                "unit": "callbacks",
                "since": NOW - 4 * MINUTE,
                "what": Words(
                    en="The spool of ingress-2 is nearly full (96 %) since 14:03. Nothing is lost"
                    " yet; when it is full, callbacks are answered 503.",
                    zh="自 14:03 起，ingress-2 的落盘空间即将用满（96 %）。"
                    "目前没有丢失；用满后回调将返回 503。",
                ),
                "what_to_do": Words(
                    en="Free disk space, or raise INGRESS_SPOOL_BYTES_MAX.",
                    zh="释放磁盘空间，或调大 INGRESS_SPOOL_BYTES_MAX。",
                ),
                "runbook": "docs/runbook.md#the-disk-is-full-or-the-spool-is-at-its-bound",
            }
        yield answers.Stage(**stage)
