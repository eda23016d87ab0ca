"""The page of the real statistics process on a real Valkey shows what was counted."""

import contextlib
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from playwright.sync_api import Page, expect
from support.page.browser import Show
from support.page.counted import Sender, by, people, times
from support.page.numbers import numbers, versus

from consumers.stats.windows import quarter_begin
from ops.demo.embedded import child
from ops.demo.embedded.valkey import EmbeddedValkey

DAY = timedelta(days=1)
MESSAGES = 4000


@pytest.fixture
def statistics(valkey_url: str, tmp_path: Path) -> Iterator[str]:
    """Run the statistics process on an empty Valkey; return the page's address."""
    with running_statistics(valkey_url, tmp_path) as base:
        yield base


@contextlib.contextmanager
def running_statistics(valkey_url: str, tmp_path: Path) -> Iterator[str]:
    """Run the statistics process; yield the page's address."""
    port = child.free_port()
    log = tmp_path / "stats.log"
    process = child.start(
        [sys.executable, "-m", "consumers.stats"],
        log=log,
        env=os.environ | {"STATS_VALKEY": valkey_url, "STATS_PORT": str(port)},
    )
    try:
        child.until_up(lambda: process, lambda: child.listens(port), log=log)
        yield f"http://127.0.0.1:{port}/"
    finally:
        child.stop(process)


def within_one_quarter(compare: Callable[[], None]) -> None:
    """
    Compare what the page shows; again if that failed and a quarter hour of UTC ended meanwhile.

    The page may then have shown another day, or other whole quarter hours, than were expected.
    """
    while True:
        quarter = quarter_begin(datetime.now(UTC))
        try:
            compare()
        except (AssertionError, ValueError):
            # ValueError: a table of the page has another number of rows.
            if quarter_begin(datetime.now(UTC)) == quarter:
                raise
        else:
            return


def zone_where_it_is_noon() -> str:
    """Return a zone where it is between 12:00 and 13:00: today is not over for hours."""
    return f"Etc/GMT{datetime.now(UTC).hour - 12:+d}"


@pytest.mark.parametrize("zone", ["Asia/Shanghai", "Asia/Kathmandu", "America/New_York"])
@pytest.mark.parametrize("app", ["", "1400000002"])
def test_every_figure_is_what_was_counted(  # noqa: PLR0917 - pytest names the arguments
    show: Show, statistics: str, valkey_url: str, say: Callable[[str], None], zone: str, app: str
) -> None:
    """Today, its hours and yesterday's, thirty days, and by type, platform, app and command."""
    sender, chance = Sender(valkey_url), random.Random(7)  # noqa: S311 - traffic, not secrets
    sender.send(times(chance, datetime.now(UTC), MESSAGES))

    def compare() -> None:
        now = datetime.now(ZoneInfo(zone))
        page = show(f"lang=en&tz={zone}&app={app}&tables=today,days", base=statistics)
        begin = now.replace(hour=0, minute=0, second=0, microsecond=0)
        compared = [
            *today(page, sender, begin, app),
            *hours(page, sender, begin, app),
            *days(page, sender, begin, app, has_exact_people=zone == "Asia/Shanghai"),
        ]
        assert all(shown == counted for shown, counted in compared), compared
        say(f"{zone}, app {app or 'all'}: {len(compared)} figures, 0 differences")

    within_one_quarter(compare)


def test_people_of_the_same_span_of_two_days_are_compared(
    show: Show, statistics: str, valkey_url: str
) -> None:
    """People are known for whole quarter hours: those of the present one are in neither number."""
    # Today has a whole quarter hour there.
    zone = zone_where_it_is_noon()
    sender = Sender(valkey_url)
    earlier = timedelta(minutes=5)
    quarter = quarter_begin(datetime.now(UTC))
    sender.send([*[quarter - DAY - earlier] * 20, *[quarter - earlier] * 15, *[quarter] * 40])

    def compare() -> None:
        quarter = quarter_begin(datetime.now(UTC))
        yesterday, today = (
            people(sender.between(until - timedelta(hours=6), until))
            for until in (quarter - DAY, quarter)
        )
        page = show(f"lang=en&tz={zone}", base=statistics)
        expect(page.locator("#people .change")).to_have_text(versus(today / yesterday))

    within_one_quarter(compare)


def today(page: Page, sender: Sender, begin: datetime, app: str) -> Iterator[tuple[int, int]]:
    """Yield the figures of today that the page shows and those that were counted."""
    counted = sender.between(begin, begin + DAY, app)
    yield numbers(page, "#messages .value")[0], len(counted)
    lost = 100 * sum(m.is_lost for m in counted) / max(len(counted), 1)
    if counted:
        yield numbers(page, "#undelivered .value")[0], round(lost * 100)
    for kind in ("type", "platform", "app", "command"):
        shown = numbers(page, f"#by-{kind} td:nth-child(2)")
        expected = sorted(by(counted, kind).values(), reverse=True)
        yield from zip(shown, expected, strict=True)


def hours(page: Page, sender: Sender, begin: datetime, app: str) -> Iterator[tuple[int, int]]:
    """Yield the messages of each hour of today and yesterday."""
    for column, day in ((2, begin), (3, begin - DAY)):
        shown = numbers(page, f"#today td:nth-child({column})")
        for hour, number in enumerate(shown):
            at = day.replace(hour=hour)
            if number >= 0:
                yield number, len(sender.between(at, at + timedelta(hours=1), app))


def days(
    page: Page, sender: Sender, begin: datetime, app: str, *, has_exact_people: bool
) -> Iterator[tuple[int, int]]:
    """Yield the messages of each of thirty days, and the people if they are exact."""
    shown = numbers(page, "#days td:nth-child(2)")
    active = numbers(page, "#days td:nth-child(3)")
    assert len(shown) == 30
    for ago, (messages, seen) in enumerate(zip(shown, active, strict=True)):
        counted = sender.between(begin - ago * DAY, begin - (ago - 1) * DAY, app)
        yield messages, len(counted)
        if has_exact_people:
            yield seen, people(counted)
        else:
            assert abs(seen - people(counted)) <= max(3, 0.05 * people(counted))


def test_a_first_callback_ends_the_empty_page_and_the_next_one_counts(
    show: Show, statistics: str, valkey_url: str, say: Callable[[str], None]
) -> None:
    """Without a reload: the time from counted to shown is printed, not asserted."""
    query = f"lang=en&tz={zone_where_it_is_noon()}"
    page = show(query, until="#empty:not([hidden])", base=statistics)
    sender = Sender(valkey_url)
    for number in (1, 2):
        sender.send([datetime.now(UTC)])
        began = time.perf_counter()
        expect(page.locator("#messages .value")).to_have_text(str(number))
        say(f"message {number} is on the page {time.perf_counter() - began:.1f} s after its count")
    sender.send([datetime.now(UTC)] * 50)
    began = time.perf_counter()
    expect(page.locator("#now .value")).not_to_contain_text("0.2")
    expect(page.locator("#messages .value")).to_have_text("52")
    say(f"fifty messages at once after {time.perf_counter() - began:.1f} s")


def test_a_statistics_process_that_is_killed_comes_back(
    show: Show, valkey_url: str, tmp_path: Path
) -> None:
    """The page says so, and goes on by itself when the process is there again."""
    Sender(valkey_url).send([datetime.now(UTC)])
    port, log = child.free_port(), tmp_path / "stats.log"
    env = os.environ | {"STATS_VALKEY": valkey_url, "STATS_PORT": str(port)}
    command = [sys.executable, "-m", "consumers.stats"]
    process = child.start(command, log=log, env=env)
    try:
        child.until_up(lambda: process, lambda: child.listens(port), log=log)
        page = show(base=f"http://127.0.0.1:{port}/")
        child.kill(process)
        expect(page.locator("#connection")).to_contain_text("reconnecting")
        process = child.start(command, log=log, env=env)
        expect(page.locator("#connection")).to_be_empty()
    finally:
        child.stop(process)


def test_an_open_page_shows_that_valkey_is_away_and_goes_on_after_that(
    show: Show, tmp_path: Path
) -> None:
    """The figures stay, with a notice; the state of the pipeline comes without them."""
    valkey = EmbeddedValkey(tmp_path)
    valkey.start()
    try:
        Sender(valkey.url).send([datetime.now(UTC)])
        with running_statistics(valkey.url, tmp_path) as base:
            page = show(base=base)
            valkey.kill()
            expect(page.locator("#pipeline li.wrong")).to_contain_text("Valkey does not answer")
            expect(page.locator("#pipeline-state")).to_contain_text("something is wrong")
            expect(page.locator("#notice")).to_contain_text("the statistics API cannot read Valkey")
            assert page.inner_text("#messages .value") == "1"
            valkey.start()
            expect(page.locator("#notice")).to_be_hidden()
            expect(page.locator("#pipeline li.wrong")).to_have_count(0)
            expect(page.locator("#connection")).to_be_empty()
    finally:
        valkey.kill()
