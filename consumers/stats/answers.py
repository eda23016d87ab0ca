"""
The answers of the statistics API, as types: JSON, CSV and /openapi.json are made from them.

Those about the pipeline are in health_answers.py, those for other programs in total_answers.py.

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

    `active`: who sent a message, or got a one-to-one message. A number is null where the window has
    none: of minutes only `active` is counted.
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

    `people` are those until `people_until`: in a part of a day, the last whole quarter hour. Today
    without `at` is all that was counted of the day: its `end` and `people_until` are now. With `at`
    it is a part of a day like the others, so that only then it can be compared with them.
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
