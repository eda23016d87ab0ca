"""The parameters of all routes: each is declared once, with bound, parser and schema."""

import re
from collections.abc import Callable, Iterable
from typing import get_args
from zoneinfo import ZoneInfo

from consumers.stats import answers
from consumers.stats.moments import MOMENT_BOUND, MOMENT_SCHEMA, YEARS, parse_moment, parse_time
from consumers.stats.query import Parameter
from consumers.stats.windows import (
    Step,
    zone_names,
)

# The largest number of rows of one answer, by step, and the number without `from`.
ROWS_MAX = {Step.MINUTE: 1440, Step.HOUR: 744, Step.DAY: 400, Step.MONTH: 120}
ROWS_DEFAULT = {Step.MINUTE: 60, Step.HOUR: 24, Step.DAY: 30, Step.MONTH: 12}
# The longest range of /v1/people, in days.
DAYS_MAX = 3660


def _one_of(values: Iterable[str]) -> Callable[[str], str]:
    allowed = {value: value for value in values}

    def parse(text: str) -> str:
        if text not in allowed:
            raise ValueError(text)
        return allowed[text]

    return parse


def _matching(pattern: str) -> Callable[[str], str]:
    compiled = re.compile(pattern, re.ASCII)

    def parse(text: str) -> str:
        if not compiled.fullmatch(text):
            raise ValueError(text)
        return text

    return parse


def _zone(text: str) -> ZoneInfo:
    if text not in zone_names():
        raise ValueError(text)
    return ZoneInfo(text)


def _choice(name: str, description: str, values: Iterable[str], example: str) -> Parameter:
    values = sorted(values)
    return Parameter(
        name=name,
        description=description,
        bound=f"one of: {', '.join(values)}",
        schema={"type": "string", "enum": values},
        example=example,
        parse=_one_of(values),
    )


APP = Parameter(
    name="app",
    description="SdkAppid of one app of /v1/apps; without it, all apps are added up.",
    bound="an SdkAppid of /v1/apps (1 to 20 decimal digits)",
    schema={"type": "string", "pattern": "^[0-9]{1,20}$"},
    example="1400000001",
    parse=_matching("[0-9]{1,20}"),
)
ZONE = Parameter(
    name="tz",
    description="IANA name of the zone whose hours, days and months are meant. Without it, the "
    "zone of the app, or the one that all apps share, else Asia/Shanghai.",
    bound="the IANA name of a time zone, such as Asia/Shanghai, Europe/Berlin or UTC",
    schema={"type": "string", "enum": sorted(zone_names())},
    example="Asia/Shanghai",
    parse=_zone,
)
AT = Parameter(
    name="at",
    description="The moment that is taken for now.",
    bound=f"a time like 2026-11-28T14:00Z or 2026-11-28T14:00%2B08:00, {YEARS}",
    schema={"type": "string", "format": "date-time"},
    example="2026-11-28T14:07:00Z",
    parse=parse_time,
)
FROM = Parameter(
    name="from",
    description="The start of the range: a time, or the start of a day or month of the zone. The "
    "window that it is in is the first row.",
    bound=MOMENT_BOUND,
    schema=MOMENT_SCHEMA,
    example="2026-11-01",
    parse=parse_moment,
)
TO = Parameter(
    name="to",
    description="The end of the range, itself not in it: with 2026-11-28, the 27th is the last "
    "day. Without it, the range ends now.",
    bound=MOMENT_BOUND,
    schema=MOMENT_SCHEMA,
    example="2026-11-28",
    parse=parse_moment,
)
STEP = Parameter(
    name="step",
    description="The length of the windows. At most "
    + ", ".join(f"{ROWS_MAX[step]} {step}s" for step in Step)
    + f"; without `from`, the last {', '.join(str(ROWS_DEFAULT[step]) for step in Step)} of them.",
    bound=f"one of: {', '.join(Step)}",
    schema={"type": "string", "enum": [str(step) for step in Step], "default": "day"},
    example="day",
    parse=Step,
)
BY = _choice(
    "by",
    "Numbers by name in place of all figures: messages by type of element, by platform or by app, "
    "or callbacks by command. Not with step=minute and by=command.",
    get_args(answers.By),
    "type",
)
FIGURE = _choice(
    "figure", "The figure of people; without it, active.", get_args(answers.PeopleFigure), "active"
)
FORMAT = _choice(
    "format",
    "The form of the answer. Without it, CSV if Accept asks for text/csv, else JSON.",
    ("json", "csv"),
    "csv",
)
SINCE = Parameter(
    name="since",
    description="Begin with the updates after this time, of at most 15 minutes ago; a header "
    "Last-Event-ID comes first.",
    bound=AT.bound,
    schema=AT.schema,
    example=AT.example,
    parse=parse_time,
)
FROM_TIME = Parameter(
    name="from",
    description="The first minute; by default, an hour before the end.",
    bound=AT.bound,
    schema=AT.schema,
    example="2026-11-28T14:00Z",
    parse=parse_time,
)
TO_TIME = Parameter(
    name="to",
    description="The minute after the last one.",
    bound=AT.bound,
    schema=AT.schema,
    example="2026-11-28T15:00Z",
    parse=parse_time,
)
