"""The answers of /v1/totals and /v1/minutes, as types: numbers that programs add and compare."""

from typing import Annotated

import msgspec
from msgspec import Meta

from consumers.stats.answers import Number, Time


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
