"""
The parameters of all routes: each is declared once, with its bound, its parser and its schema.

An unknown or repeated parameter is refused, because it is usually a typing error.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, get_args
from zoneinfo import ZoneInfo

from multidict import MultiMapping

from consumers.stats import answers
from consumers.stats.problems import Refused, refused_parameter
from consumers.stats.windows import (
    YEAR_MAX,
    YEAR_MIN,
    Step,
    day_begin,
    zone_names,
)

# The largest number of rows of one answer, by step, and the number without `from`.
ROWS_MAX = {Step.MINUTE: 1440, Step.HOUR: 744, Step.DAY: 400, Step.MONTH: 120}
ROWS_DEFAULT = {Step.MINUTE: 60, Step.HOUR: 24, Step.DAY: 30, Step.MONTH: 12}
# The longest range of /v1/people, in days.
DAYS_MAX = 3660
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_MONTH = re.compile(r"\d{4}-\d\d", re.ASCII)


@dataclass(frozen=True, slots=True)
class Month:
    """A month, as a parameter has it."""

    first: date


# A moment that may depend on the zone: a time, or the begin of a day or of a month.
Moment = datetime | date | Month


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """
    One parameter. `bound` is what it must be, in words, and `schema` the same as JSON Schema.

    `parse` raises ValueError for a text that is not allowed.
    """

    name: str
    description: str
    bound: str
    schema: Mapping[str, Any]
    example: str
    parse: Callable[[str], Any]


def read(query: MultiMapping[str], parameters: Iterable[Parameter], path: str) -> dict[str, Any]:
    """
    Return the value of each parameter in the query; those that are absent are absent.

    Raises:
        Refused: a parameter is unknown, comes twice, or is not allowed.
    """
    known = {parameter.name: parameter for parameter in parameters}
    values: dict[str, Any] = {}
    for name, text in query.items():
        if name not in known:
            raise _unknown(name, known, path)
        if name in values:
            raise Refused(
                400, f"{name} is given twice; give it once", parameter=name, bound="given once"
            )
        try:
            values[name] = known[name].parse(text)
        except (ValueError, OverflowError):
            raise refused_parameter(name, text, known[name].bound) from None
    return values


def _unknown(name: str, known: Iterable[str], path: str) -> Refused:
    names = ", ".join(sorted(known)) or "none"
    shown = name if len(name) <= 40 else name[:40] + "…"
    return Refused(
        400,
        f"{path} has no parameter {shown!r}; it has: {names}",
        parameter=shown,
        bound=f"one of: {names}",
    )


def begin_of(moment: Moment, zone: ZoneInfo) -> datetime:
    """Return the moment in UTC: a day or a month begins in `zone`."""
    if isinstance(moment, datetime):
        return moment
    return day_begin(moment.first if isinstance(moment, Month) else moment, zone)


def _moment(text: str) -> Moment:
    if _MONTH.fullmatch(text):
        return Month(_in_years(date.fromisoformat(f"{text}-01")))
    if _DAY.fullmatch(text):
        return _in_years(date.fromisoformat(text))
    return _time(text)


def _time(text: str) -> datetime:
    if not _TIME.fullmatch(text):
        raise ValueError(text)
    at = datetime.fromisoformat(text).astimezone(UTC)
    _in_years(at.date())
    return at


def _in_years(day: date) -> date:
    if not YEAR_MIN < day.year < YEAR_MAX:
        raise ValueError(day)
    return day


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


_YEARS = f"from {YEAR_MIN + 1} to {YEAR_MAX - 1}"
_MOMENT_BOUND = (
    f"a month like 2026-11, a day like 2026-11-28, or a time like 2026-11-28T14:00Z or "
    f"2026-11-28T14:00%2B08:00 (+ is written %2B), {_YEARS}"
)
_MOMENT_SCHEMA = {
    "type": "string",
    "pattern": f"^({_MONTH.pattern}|{_DAY.pattern}|{_TIME.pattern})$".replace(r"\d", "[0-9]"),
}

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
    bound=f"a time like 2026-11-28T14:00Z or 2026-11-28T14:00%2B08:00, {_YEARS}",
    schema={"type": "string", "format": "date-time"},
    example="2026-11-28T14:07:00Z",
    parse=_time,
)
FROM = Parameter(
    name="from",
    description="The begin of the range: a time, or the begin of a day or month of the zone. The "
    "window that it is in is the first row.",
    bound=_MOMENT_BOUND,
    schema=_MOMENT_SCHEMA,
    example="2026-11-01",
    parse=_moment,
)
TO = Parameter(
    name="to",
    description="The end of the range, itself not in it: with 2026-11-28, the 27th is the last "
    "day. Without it, the range ends now.",
    bound=_MOMENT_BOUND,
    schema=_MOMENT_SCHEMA,
    example="2026-11-28",
    parse=_moment,
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
    parse=_time,
)
FROM_TIME = Parameter(
    name="from",
    description="The first minute; by default, an hour before the end.",
    bound=AT.bound,
    schema=AT.schema,
    example="2026-11-28T14:00Z",
    parse=_time,
)
TO_TIME = Parameter(
    name="to",
    description="The minute after the last one.",
    bound=AT.bound,
    schema=AT.schema,
    example="2026-11-28T15:00Z",
    parse=_time,
)
