"""Every number on the page is the one that the API gave, in the words of the reader's language."""

import pytest
from support.page.browser import Show
from support.page.fixture_server import FixtureServer
from support.page.made_up_answers import BY, NOW, Answers
from support.page.numbers import numbers, versus

from consumers.stats.answers import Series, SeriesBy

SHANGHAI = "Asia/Shanghai"


def series(answers: Answers, zone: str = SHANGHAI, app: str | None = None, **asked: str) -> Series:
    """Return the API's answer."""
    answer = answers.series(app, zone, **asked)
    assert isinstance(answer, Series)
    return answer


@pytest.mark.parametrize("zone", [SHANGHAI, "Asia/Kathmandu", "America/St_Johns"])
@pytest.mark.parametrize("app", [None, "1400000002"])
def test_the_four_numbers_are_those_of_the_summary(
    show: Show, server: FixtureServer, zone: str, app: str | None
) -> None:
    """Also of one app, and for a zone that is not the app's own."""
    page = show(f"lang=en&tz={zone}&app={app or ''}")
    summary = server.world.answers.summary(app, zone)
    today = summary.today.figures
    assert summary.today.people.active
    assert numbers(page, "#messages .value") == [today.messages]
    assert numbers(page, "#people .value") == [summary.today.people.active.value]
    share = 100 * today.undelivered / today.messages
    assert page.inner_text("#undelivered .value") == f"{share:.2f}%"
    comparison = server.world.answers.summary(app, zone, summary.now.until)
    part, before = comparison.today, comparison.yesterday_until_now
    assert part.people.active
    assert before.people.active
    assert page.inner_text("#messages .change") == versus(
        part.figures.messages / before.figures.messages
    )
    assert page.inner_text("#people .change") == versus(
        part.people.active.value / before.people.active.value
    )


@pytest.mark.parametrize(
    ("language", "too_early"),
    [("en", "too early to compare with yesterday"), ("zh", "时间尚早，无法与昨日比较")],
)
def test_people_are_not_compared_in_the_first_quarter_hour_of_a_day(
    show: Show, server: FixtureServer, language: str, too_early: str
) -> None:
    """It is 00:07 in Costa Rica: the messages of seven minutes are compared, people are not."""
    zone = "America/Costa_Rica"
    page = show(f"lang={language}&tz={zone}")
    assert server.world.answers.summary(None, zone).today.begin.day == NOW.day
    assert page.inner_text("#people .change") == too_early
    assert page.inner_text("#messages .change").startswith(("▲", "▼", "="))


def test_the_number_of_now_is_that_of_the_last_updates(show: Show, server: FixtureServer) -> None:
    """The made-up stream repeats its last update."""
    page = show()
    update = server.world.answers.live(None, NOW)
    page.wait_for_function(
        "rate => document.querySelector('#now .value').textContent.startsWith(rate)",
        arg=f"{update.messages_per_second:.0f}",
    )
    assert f"now, {update.people.value} people active" in page.inner_text("#now .label")


def test_the_tables_have_the_numbers_of_the_series(show: Show, server: FixtureServer) -> None:
    """Hours of three days, thirty days, and the last fifteen minutes."""
    answers = server.world.answers
    page = show("lang=en&tables=live,today,days")
    hours = series(answers, step="hour", **{"from": "2026-11-28"}).rows
    today = [row.figures.messages for row in hours]
    assert numbers(page, "#today td:nth-child(2)") == today + [-1] * (24 - len(today))
    for column, day, after in (
        (3, "2026-11-27", "2026-11-28"),
        (4, "2026-11-21", "2026-11-22"),
    ):
        rows = series(answers, step="hour", **{"from": day, "to": after}).rows
        assert numbers(page, f"#today td:nth-child({column})") == [r.figures.messages for r in rows]
    days = series(answers, step="day").rows[::-1]
    assert numbers(page, "#days td:nth-child(2)") == [row.figures.messages for row in days]
    people = [row.people.active.value for row in days if row.people.active]
    assert numbers(page, "#days td:nth-child(3)") == people
    minutes = series(
        answers,
        step="minute",
        **{"from": "2026-11-28T13:52:00+08:00", "to": "2026-11-28T14:07:00+08:00"},
    )
    counted = [row.figures.messages for row in minutes.rows][::-1]
    assert numbers(page, "#live td:nth-child(2)") == counted


def test_ranked_names_are_complete_and_in_order(show: Show, server: FixtureServer) -> None:
    """Eight names and the rest as one row: together they are everything."""
    page = show()
    today = {"from": "2026-11-28"}
    for kind in BY:
        answer = server.world.answers.series(None, SHANGHAI, step="day", by=kind, **today)
        assert isinstance(answer, SeriesBy)
        by = answer.rows[0].by
        named = sorted((n for name, n in by.items() if name != "other"), reverse=True)
        rest = sum(named[8:]) + by.get("other", 0)
        expected = named[:8] + ([rest] if rest else [])
        assert numbers(page, f"#by-{kind} td:nth-child(2)") == expected


def test_a_change_says_how_much(show: Show) -> None:
    """As a part of what was before; from ten times on, as a multiple; no arrow without a number."""
    page = show()
    script = """async (module) => {
      const { compared } = await import(module);
      return [[104.2, 100], [95, 100], [100, 100], [1800, 100], [5, 0]].map(([now, before]) =>
        compared(now, before) && Object.values(compared(now, before)));
    }"""
    module = page.locator("link[rel=modulepreload][href$='figures.js']").evaluate("n => n.href")
    changes = page.evaluate(script, module)
    assert changes == [[1, "4.2%"], [-1, "5.0%"], [0, "0.0%"], [1, "×18"], None]


def test_estimated_people_say_so_and_by_how_much(show: Show, server: FixtureServer) -> None:
    """The error is in the button's name, and shown on focus."""
    server.world.answers = Answers(error=0.0081)
    page = show()
    assert page.inner_text("#people .value").startswith("≈ ")
    button = page.get_by_role("button", name="estimated, ± 0.8%")
    button.focus()
    tip = "getComputedStyle(document.activeElement, '::after')"
    assert page.evaluate(f"{tip}.content") == '"estimated, ± 0.8%"'
    page.wait_for_function(f"{tip}.visibility === 'visible'")
    assert "± 0.8%; those of a day are exact up to 1,000,000 " in page.inner_text("#exactness")


def test_text_of_the_api_is_never_read_as_html(show: Show, monkeypatch: pytest.MonkeyPatch) -> None:
    """A command's name comes from outside."""
    hostile = "<img src=x onerror=alert(1)>"
    monkeypatch.setitem(BY["command"], hostile, 0.9)
    page = show()
    assert page.locator("#by-command th", has_text=hostile).count() == 1
    assert page.locator("main img").count() == 0


def test_a_day_of_25_hours_shows_each_message_once(show: Show) -> None:
    """Clocks went back in New York on 1 November: the table of a day adds up to the day."""
    page = show()
    script = """async (module) => {
      const { byHour } = await import(module);
      const begin = (i) => `2026-11-01T${String(i < 2 ? i : i - 1).padStart(2, "0")}:00:00-04:00`;
      const rows = Array.from({length: 25}, (_, i) => ({begin: begin(i), figures: {messages: 10}}));
      return byHour(rows);
    }"""
    module = page.locator("link[rel=modulepreload][href$='specs.js']").evaluate("node => node.href")
    hours = page.evaluate(script, module)
    assert hours == [10, 20, *[10] * 22]
