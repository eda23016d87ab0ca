"""Days of a zone are the app's own days under each name of the zone, and only if they are equal."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cache, partial
from importlib.resources import files
from zoneinfo import ZoneInfo

import pytest

from consumers.stats.store import CountedApp
from consumers.stats.stored_windows import WindowedRange
from consumers.stats.windows import QUARTER, Step, quarters, window_begin, windows, zone_names

NOW = datetime(2026, 11, 28, 6, 7, tzinfo=UTC)
APP_ZONES = ("Asia/Shanghai", "Europe/Berlin")


def links() -> dict[str, str]:
    """Return all links of the time zone database: the name of each one, and that of its zone."""
    lines = files("tzdata").joinpath("zoneinfo", "tzdata.zi").read_text().splitlines()
    aliases = dict(line.split()[:0:-1] for line in lines if line.startswith("L "))
    return {name: zone for name, zone in aliases.items() if {name, zone} <= zone_names()}


def is_by_days(asked: str, of_app: str, step: Step, days: int) -> bool:
    """Return whether windows of the last days are taken for days of the app."""
    zone = ZoneInfo(asked)
    as_tuple = tuple(windows(NOW - timedelta(days=days), NOW, step, zone))
    return WindowedRange(as_tuple, step, zone, NOW).is_by_days(CountedApp(1, "1", ZoneInfo(of_app)))


@pytest.mark.parametrize(("step", "days"), [(Step.DAY, 40), (Step.MONTH, 800)])
def test_every_alias_of_a_zone_has_the_days_of_the_app(
    step: Step, days: int, say: Callable[[str], None]
) -> None:
    """So PRC and Asia/Chongqing have exact people for an app of Asia/Shanghai, and so on."""
    zone_links = links()
    assert zone_links["PRC"] == "Asia/Shanghai"
    assert zone_links["US/Eastern"] == "America/New_York"
    wrong = [
        (alias, zone)
        for alias, zone in zone_links.items()
        if not (is_by_days(alias, zone, step, days) and is_by_days(zone, alias, step, days))
    ]
    assert wrong == []
    say(f"{len(zone_links)} aliases, {step}s")


@pytest.mark.parametrize("of_app", APP_ZONES)
def test_days_are_those_of_the_app_if_and_only_if_all_clocks_agree_on_the_date(of_app: str) -> None:
    """For all names: compared with the date of every quarter hour in both zones."""
    days = 35
    own = cache(partial(_begins_day, zone=ZoneInfo(of_app)))
    for name in sorted(zone_names()):
        zone = ZoneInfo(name)
        begin = window_begin(NOW - timedelta(days=days), Step.DAY, zone)
        end = window_begin(NOW, Step.DAY, zone) + timedelta(hours=12)
        equal = all(_begins_day(at, zone) == own(at) for at in quarters(begin, end))
        assert is_by_days(name, of_app, Step.DAY, days) == equal, name


def _begins_day(at: datetime, zone: ZoneInfo) -> bool:
    return at.astimezone(zone).date() != (at - QUARTER).astimezone(zone).date()


def test_hours_are_never_days() -> None:
    """Their people are estimated in the app's own zone, too."""
    assert not is_by_days("Asia/Shanghai", "Asia/Shanghai", Step.HOUR, 2)
