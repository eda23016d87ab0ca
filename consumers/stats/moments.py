"""Moments as a parameter has them: a time, or the start of a day or of a month of a zone."""

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

from consumers.stats.windows import YEAR_MAX, YEAR_MIN, day_begin

_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)", re.ASCII)
_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_MONTH = re.compile(r"\d{4}-\d\d", re.ASCII)
YEARS = f"from {YEAR_MIN} to {YEAR_MAX}"
MOMENT_BOUND = (
    f"a month like 2026-11, a day like 2026-11-28, or a time like 2026-11-28T14:00Z or "
    f"2026-11-28T14:00%2B08:00 (+ is written %2B), {YEARS}"
)
MOMENT_SCHEMA = {
    "type": "string",
    "pattern": f"^({_MONTH.pattern}|{_DAY.pattern}|{_TIME.pattern})$".replace(r"\d", "[0-9]"),
}


@dataclass(frozen=True, slots=True)
class Month:
    """A month, as a parameter has it."""

    first: date


# A moment that may depend on the zone: a time, or the start of a day or of a month.
Moment = datetime | date | Month


def begin_of(moment: Moment, zone: ZoneInfo) -> datetime:
    """Return the moment in UTC: a day or a month begins in `zone`."""
    if isinstance(moment, datetime):
        return moment
    return day_begin(moment.first if isinstance(moment, Month) else moment, zone)


def parse_moment(text: str) -> Moment:
    """
    Return what a text like 2026-11, 2026-11-28 or 2026-11-28T14:00Z means.

    Raises:
        ValueError: it is another text, or outside the years that are known.
    """
    if _MONTH.fullmatch(text):
        return Month(_in_years(date.fromisoformat(f"{text}-01")))
    if _DAY.fullmatch(text):
        return _in_years(date.fromisoformat(text))
    return parse_time(text)


def parse_time(text: str) -> datetime:
    """
    Return what a text like 2026-11-28T14:00Z means, in UTC.

    Raises:
        ValueError: it is another text, or outside the years that are known.
    """
    if not _TIME.fullmatch(text):
        raise ValueError(text)
    at = datetime.fromisoformat(text).astimezone(UTC)
    _in_years(at.date())
    return at


def _in_years(day: date) -> date:
    if not YEAR_MIN <= day.year <= YEAR_MAX:
        raise ValueError(day)
    return day
