"""The days of the apps' time zones."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import pytest

from consumers.counters.layout import QUARTER_S
from consumers.counters.zones import Zones, date_of, day_end_s, parse_zones, zone_faults

LAST = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
# Zones at :30 and :45, and those whose clocks change by an hour or half an hour.
ODD = (
    *("Asia/Kolkata", "Asia/Kathmandu", "Pacific/Chatham", "Australia/Lord_Howe"),
    *("America/St_Johns", "America/New_York", "Europe/Berlin", "Pacific/Apia", "UTC"),
)


@pytest.mark.parametrize("zone", ODD)
def test_every_second_of_a_quarter_hour_has_the_date_of_the_quarter_hour(zone: str) -> None:
    """Over a year, the first and the last second."""
    begin = int(datetime(2025, 1, 1, tzinfo=UTC).timestamp()) // QUARTER_S
    for quarter in range(begin, begin + 366 * 96, 61):
        for second in (0, QUARTER_S - 1):
            at = datetime.fromtimestamp(quarter * QUARTER_S + second, ZoneInfo(zone))
            assert date_of(zone, quarter) == f"{at:%Y-%m-%d}"


def test_zones_are_a_multiple_of_a_quarter_hour_away_from_utc() -> None:
    """Today, in winter and in summer; a sample of all zones."""
    for name in sorted(available_timezones())[::8]:
        for month in (1, 7):
            offset = datetime(2026, month, 1, tzinfo=ZoneInfo(name)).utcoffset()
            assert offset is not None
            assert offset % timedelta(seconds=QUARTER_S) == timedelta(0), name


@pytest.mark.parametrize("zone", ODD)
def test_a_day_ends_where_the_next_one_begins(zone: str) -> None:
    """Also a day of 23 or 25 hours."""
    day = date(2026, 1, 1)
    while day < date(2027, 1, 1):
        end = day_end_s(zone, day.isoformat())
        assert date_of(zone, end // QUARTER_S - 1) == day.isoformat()
        day += timedelta(days=1)
        assert date_of(zone, end // QUARTER_S) == day.isoformat()


@pytest.mark.parametrize("at", [datetime.min.replace(tzinfo=UTC), LAST])
@pytest.mark.parametrize("zone", ["Asia/Shanghai", "America/New_York"])
def test_the_ends_of_the_calendar_have_dates(at: datetime, zone: str) -> None:
    """The clock of another producer must not crash the consumer."""
    day = date_of(zone, int(at.timestamp()) // QUARTER_S)
    assert day[:4] in {"0001", "9999"}
    assert day_end_s(zone, day) != 0


def test_an_app_may_have_a_zone_of_its_own() -> None:
    """All others have the default."""
    zones = parse_zones("Asia/Shanghai", ["2=Europe/Berlin"])
    assert zones == Zones("Asia/Shanghai", {"2": "Europe/Berlin"})
    assert (zones.of("1"), zones.of("2")) == ("Asia/Shanghai", "Europe/Berlin")
    assert list(zone_faults("X", {"UTC": "UTC", "2=Mars": "Mars", "Europe": "Europe"})) == [
        "X must name a time zone like Europe/Berlin; '2=Mars' is not known",
        "X must name a time zone like Europe/Berlin; 'Europe' is not known",
    ]
