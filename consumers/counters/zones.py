"""The days of the apps' time zones. Zones are slow, so each quarter hour is asked about once."""

import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from consumers.counters.layout import QUARTER_S
from schemas.url_text import public_url

# The zone of days, unless a setting has another one.
DEFAULT_ZONE_NAME = "Asia/Shanghai"
_DAY = timedelta(days=1)
# Days of a few apps and zones; an entry is small.
_DATES_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Zones:
    """The IANA names of the zones in which days are counted: `by_app`, else `default`."""

    default: str
    by_app: Mapping[str, str] = field(default_factory=dict)

    def of(self, app: str) -> str:
        """Return the zone of an app."""
        return self.by_app.get(app, self.default)


def zone_faults(variable: str, zones: Mapping[str, str]) -> Iterator[str]:
    """Yield a sentence for each zone that is not a time zone; the keys are what the setting has."""
    for text, zone in zones.items():
        try:
            ZoneInfo(zone)
        except (KeyError, OSError, ValueError):
            # A URL that was set here by mistake may have a password.
            yield (
                f"{variable} must name a time zone like Europe/Berlin; {public_url(text)!r:.100} is"
                " not known"
            )


def parse_zones(default: str, entries: Sequence[str]) -> Zones:
    """Return the zones of the settings; each entry is APP=ZONE."""
    return Zones(default, dict(entry.split("=", 1) for entry in entries))


@functools.lru_cache(maxsize=_DATES_MAX)
def date_of(zone: str, quarter: int) -> str:
    """
    Return the date, like 2026-01-31, of a quarter hour since 1970 in a zone.

    Midnight of every zone is at the start of a quarter hour, now and since 1973. Where the
    calendar of the zone ends, the date is that of UTC.
    """
    at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=quarter * QUARTER_S)
    with contextlib.suppress(OverflowError):
        at = at.astimezone(ZoneInfo(zone))
    return at.date().isoformat()


@functools.lru_cache(maxsize=_DATES_MAX)
def day_end_s(zone: str, day: str) -> int:
    """Return the end of a date in a zone, in seconds since 1970."""
    try:
        end = datetime.combine(date.fromisoformat(day) + _DAY, time(), ZoneInfo(zone))
        return int(end.timestamp())
    except OverflowError:
        return int(datetime.max.replace(tzinfo=UTC).timestamp())
