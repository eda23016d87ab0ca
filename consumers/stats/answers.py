"""
Every answer of the statistics API, as a type: JSON, CSV and /openapi.json are made from them.

A time has the offset of the zone that was asked for. A number that is not known is null, never 0.
"""

from datetime import date, datetime
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Time = Annotated[datetime, Meta(tz=True)]
Number = Annotated[int, Meta(ge=0)]
AppName = Annotated[str, Meta(pattern="^[0-9]{1,20}$", description="SdkAppid.")]
StepName = Literal["minute", "hour", "day", "month"]
By = Literal["type", "platform", "command", "app"]
PeopleFigure = Literal[
    "active",
    "senders",
    "recipients",
    "one_to_one_senders",
    "group_senders",
    "groups_with_messages",
    "logged_in",
]


class Count(msgspec.Struct, frozen=True, kw_only=True):
    """A number of distinct people. `error` is the relative standard error, 0.0 if it is exact."""

    value: Number
    error: Annotated[float, Meta(ge=0, le=1)]


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """
    Sums over the callbacks of a window, exact.

    A message is a C2C.CallbackAfterSendMsg or Group.CallbackAfterSendMsg that is not online-only.
    `new_conversations` is null where they were not counted, because an app has too many.
    """

    callbacks: Number
    messages: Number
    one_to_one_messages: Number
    group_messages: Number
    delivered: Number
    undelivered: Number
    one_to_one_undelivered: Number
    online_only: Number
    by_app: Number
    by_robots: Number
    log_ins: Number
    log_outs: Number
    registrations: Number
    group_joins: Number
    group_leaves: Number
    groups_created: Number
    groups_dissolved: Number
    contacts_added: Number
    contacts_removed: Number
    new_conversations: Number | None


class People(msgspec.Struct, frozen=True, kw_only=True):
    """
    Distinct people of a window (`groups_with_messages`: groups), each with its error.

    A number is null where the window has none: of minutes only `active` is counted.
    """

    active: Count | None
    senders: Count | None
    recipients: Count | None
    one_to_one_senders: Count | None
    group_senders: Count | None
    groups_with_messages: Count | None
    logged_in: Count | None


class App(msgspec.Struct, frozen=True, kw_only=True):
    """An app with callbacks. Its days are those of `zone`; `first_day` is null until it has one."""

    app: AppName
    zone: str
    first_day: date | None


class Apps(msgspec.Struct, frozen=True, kw_only=True):
    """/v1/apps."""

    apps: list[App]


class SeriesRow(msgspec.Struct, frozen=True, kw_only=True):
    """One window: until `end`, not included."""

    begin: Time
    end: Time
    figures: Figures
    people: People


class SeriesByRow(msgspec.Struct, frozen=True, kw_only=True):
    """One window: numbers by name. Names without a number are absent."""

    begin: Time
    end: Time
    by: dict[str, Number]


class Series(msgspec.Struct, frozen=True, kw_only=True):
    """/v1/series: the windows that have a part in the range, in order, also empty ones."""

    app: AppName | None
    zone: str
    step: StepName
    begin: Time = msgspec.field(name="from")
    end: Time = msgspec.field(name="to")
    rows: list[SeriesRow]


class SeriesBy(msgspec.Struct, frozen=True, kw_only=True):
    """/v1/series with `by`: messages by type, platform or app, callbacks by command."""

    app: AppName | None
    zone: str
    step: StepName
    begin: Time = msgspec.field(name="from")
    end: Time = msgspec.field(name="to")
    by: By
    rows: list[SeriesByRow]


class DistinctPeople(msgspec.Struct, frozen=True, kw_only=True):
    """/v1/people: the distinct people of a whole range, each counted once."""

    app: AppName | None
    zone: str
    begin: Time = msgspec.field(name="from")
    end: Time = msgspec.field(name="to")
    figure: PeopleFigure
    value: Number
    error: Annotated[float, Meta(ge=0, le=1)]
    is_exact: bool


class Now(msgspec.Struct, frozen=True, kw_only=True):
    """
    The last whole minute before `until`.

    `people` are the people active in it. `not_delivered_share` is that of the last 15 minutes, from
    0 to 1; null without a message.
    """

    messages_per_second: Annotated[float, Meta(ge=0)]
    people: Count
    not_delivered_share: Annotated[float, Meta(ge=0, le=1)] | None
    until: Time


class Period(msgspec.Struct, frozen=True, kw_only=True):
    """
    A day, or the part of it until the same time of day as now, to the minute.

    The people of a part of a day are those until `people_until`, the last whole quarter hour.
    """

    begin: Time
    end: Time
    people_until: Time
    figures: Figures
    people: People


class Sparklines(msgspec.Struct, frozen=True, kw_only=True):
    """Numbers of the last 24 hours: the hour that is not over yet is the last one."""

    begins: list[Time]
    messages: list[Number]
    people: list[Number]
    undelivered: list[Number]


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """
    /v1/summary. `last_week` is the same day of the week, seven days ago.

    Up to `people_exact_max` people, the numbers of people of an app on a day of its zone are exact.
    """

    app: AppName | None
    zone: str
    now: Now
    today: Period
    yesterday_until_now: Period
    yesterday: Period
    last_week_until_now: Period
    last_week: Period
    sparklines: Sparklines
    people_exact_max: Number


class LiveNow(msgspec.Struct, frozen=True, kw_only=True):
    """
    The data of the event `now` of /v1/live, every second.

    `messages_per_second` and `undelivered` are those counted since the update before it. `people`
    were active in this minute or in the one before, whichever is more.
    """

    updated_at: Time
    seconds: Annotated[float, Meta(ge=0)]
    messages: Number
    messages_per_second: Annotated[float, Meta(ge=0)]
    undelivered: Number
    people: Count


StageName = Literal[
    "gateway",
    "receiving",
    "on_disk",
    "kafka",
    "archive",
    "database",
    "counts",
    "webhook",
    "dead_letters",
    "statistics",
]
State = Literal["ok", "warning", "wrong", "unknown"]
Unit = Literal["replicas", "callbacks", "seconds", "records"]


class Words(msgspec.Struct, frozen=True, kw_only=True):
    """A text in both languages of the page."""

    en: str
    zh: str


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """
    One stage of the pipeline. `since` is when its state began, null if that is not known.

    `number` is that of the `replicas` that accept callbacks (of `of`, all of them), of the
    `callbacks` that wait on disk, the age of the oldest callback that waits, in `seconds`, or that
    of the dead letters in Kafka, `records`. It and its unit are null if no process reports it; `of`
    is null for all other units.
    """

    stage: StageName
    state: State
    number: Annotated[float, Meta(ge=0)] | None
    of: Number | None
    unit: Unit | None
    since: Time | None
    what: Words
    what_to_do: Words
    runbook: str


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """/v1/health, and the data of the event `health` of /v1/live."""

    state: Literal["ok", "warning", "wrong"]
    stages: list[Stage]


class Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """
    Why a request was refused (RFC 9457).

    `parameter` is the one to change, and `bound` what it must be.
    """

    type: str
    title: str
    status: Annotated[int, Meta(ge=400, le=599)]
    detail: str
    parameter: str | None = None
    bound: str | None = None


class MinuteCounts(msgspec.Struct, frozen=True, kw_only=True):
    """The counts of one minute (UTC), as /v1/minutes has them."""

    minute: Time
    one_to_one_messages: Number
    group_messages: Number
    online_only: Number
    undelivered: Number
    by_app: Number
    by_robots: Number
    people: Number


class Minutes(msgspec.Struct, frozen=True, kw_only=True):
    """/v1/minutes."""

    begin: Time = msgspec.field(name="from")
    end: Time = msgspec.field(name="to")
    minutes: list[MinuteCounts]


class Applied(msgspec.Struct, frozen=True, kw_only=True):
    """
    The number of sequences of an origin that were counted in a partition: proof for the audit.

    `sequence_sum` is their sum modulo 2^52.
    """

    applied: Number
    sequence_sum: Number


class AppTotals(msgspec.Struct, frozen=True, kw_only=True):
    """All counts of one app. `people_error` is 0.0 if the number of people is exact."""

    one_to_one_messages: Number = 0
    group_messages: Number = 0
    online_only: Number = 0
    undelivered: Number = 0
    by_app: Number = 0
    by_robots: Number = 0
    people: Number = 0
    people_error: Annotated[float, Meta(ge=0, le=1)] = 0.0
    repeats: Number = 0
    by_command: dict[str, Number] = {}


class Totals(AppTotals, frozen=True, kw_only=True):
    """/v1/totals: the numbers over all apps, those of each app, and the sequences of origins."""

    apps: dict[str, AppTotals]
    origins: dict[str, dict[str, Applied]]
