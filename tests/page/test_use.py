"""What a reader can do: choose app, zone, language and theme, read tables, use the keyboard."""

import re
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect
from support.page.browser import READY, Show
from support.page.fixture_server import FixtureServer


def address(page: Page) -> dict[str, str]:
    """Return the parameters in the page's address."""
    return {name: values[0] for name, values in parse_qs(urlsplit(page.url).query).items()}


def test_the_language_is_the_browsers_until_the_reader_chooses(show: Show) -> None:
    """The choice is remembered, and the document says its language."""
    page = show("", locale="zh-CN")
    expect(page.locator("#messages .label")).to_have_text("今日消息数")
    assert page.get_attribute("html", "lang") == "zh-CN"
    page.get_by_role("button", name="EN").click()
    expect(page.locator("#messages .label")).to_have_text("messages today")
    assert page.get_by_role("button", name="EN").get_attribute("aria-pressed") == "true"
    page.goto(page.url.partition("?")[0])
    page.wait_for_selector(READY)
    expect(page.locator("#messages .label")).to_have_text("messages today")
    assert page.get_attribute("html", "lang") == "en"


def test_every_word_is_there_in_both_languages(show: Show) -> None:
    """No key has one language alone, and no word is empty."""
    page = show()
    source = page.evaluate(
        "async () => (await fetch(document.querySelector('link[href$=\"words.js\"]').href)).text()"
    )
    pairs = re.findall(r'^  (\w+): \["(.+)", "(.+)"\],$', source, re.MULTILINE)
    assert len(pairs) == len(re.findall(r"^  \w+: ", source, re.MULTILINE)) > 80
    for key, english, chinese in pairs:
        assert set(re.findall(r"\{\w+\}", english)) == set(re.findall(r"\{\w+\}", chinese)), key


def test_a_link_shows_the_same_view(show: Show, server: FixtureServer) -> None:
    """App, zone, language, theme and tables are in the address."""
    page = show("")
    page.select_option("#app", "1400000002")
    page.select_option("#zone", "America/New_York")
    page.get_by_role("button", name="中文").click()
    page.locator("#theme").click()
    page.locator("#days .tools button").click()
    expect(page.locator("#days table")).to_be_visible()
    assert address(page) == {
        "app": "1400000002",
        "tz": "America/New_York",
        "lang": "zh",
        "theme": "light",
        "tables": "days",
    }
    page.wait_for_selector("main[aria-busy=false]")
    seen = page.inner_text("main")
    other = show(urlsplit(page.url).query)
    expect(other.locator("#days table")).to_be_visible()
    assert other.get_attribute("html", "data-theme") == "light"
    assert other.input_value("#zone") == "America/New_York"
    expected = server.world.answers.summary("1400000002", "America/New_York").today.figures.messages
    for shown in (page, other):
        expect(shown.locator("#messages .value")).to_have_text(f"{expected:,}")
    # The live numbers may differ; all others are equal.
    assert other.inner_text("#days") in seen


def test_the_theme_goes_from_the_systems_to_light_to_dark(show: Show) -> None:
    """The colours of the page and of the charts follow."""
    page = show("lang=en", color_scheme="dark")
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    dark, seen = page.evaluate(ground), []
    for _ in range(3):
        page.locator("#theme").click()
        seen.append((page.locator("#theme").inner_text(), page.evaluate(ground)))
    assert [name for name, _ in seen] == ["Light", "Dark", "Auto"]
    assert seen[0][1] == "rgb(255, 255, 255)"
    assert seen[1][1] == seen[2][1] == dark


def test_each_chart_is_also_a_table_and_has_a_sentence(show: Show, server: FixtureServer) -> None:
    """The button says which chart it is for; the sentence has the numbers."""
    page = show()
    total = server.world.answers.summary(None, "Asia/Shanghai").today.figures.messages
    for chart, rows in (("live", 15), ("today", 24), ("days", 30)):
        title = page.inner_text(f"#{chart}-title")
        assert page.locator(f"#{chart} .plot canvas").count() == 1
        page.get_by_role("button", name=f"Show as table: {title}").click()
        assert page.locator(f"#{chart} .plot").is_hidden()
        assert page.locator(f"#{chart} tbody tr").count() == rows
        page.locator(f"#{chart} .tools button").click()
        assert page.locator(f"#{chart} .plot").is_visible()
    assert f"{total:,} messages today, " in page.inner_text("#today-said")


def test_the_keyboard_reaches_everything_and_reads_a_chart(show: Show) -> None:
    """In the order of the page; arrow keys read a chart's numbers."""
    page = show()
    reached = []
    for _ in range(30):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("document.activeElement.id || document.activeElement.closest('[id]')?.id")
        )
    order = [name for at, name in enumerate(reached) if name and name not in reached[:at]]
    assert order[:3] == ["app", "zone", "theme"] or order[:2] == ["app", "zone"]
    assert [name for name in order if name in {"live", "today", "days", "by-type", "csv"}] == [
        "live",
        "today",
        "days",
        "by-type",
        "csv",
    ]
    plot = page.locator("#today .plot")
    plot.focus()
    page.keyboard.press("Home")
    first = page.inner_text("#today .readout")
    assert first.startswith("00:00–01:00")
    page.keyboard.press("ArrowRight")
    second = page.inner_text("#today .readout")
    assert second.startswith("01:00–02:00")
    assert plot.get_attribute("aria-valuetext") == second
    assert "yesterday" in second
    assert "last week" in second


def test_hovering_shows_all_series_at_once(show: Show) -> None:
    """The readout has the hour, today, yesterday and last week."""
    page = show()
    page.hover("#today .plot", position={"x": 200, "y": 60})
    expect(page.locator("#today .readout")).to_have_text(
        re.compile(r"^\d\d:00–\d\d:00 .*today [\d,]+.*yesterday [\d,]+.*last week [\d,]+$")
    )


def test_csv_links_ask_for_what_is_seen(show: Show) -> None:
    """The same app, zone and step."""
    page = show("lang=en&app=1400000002&tz=Asia/Kathmandu")
    for where, step in (("#live", "minute"), ("#today", "hour"), ("#days", "day")):
        asked = parse_qs(urlsplit(page.get_attribute(f"{where} a", "href") or "").query)
        assert asked["step"] == [step]
        assert asked["format"] == ["csv"]
        assert asked["app"] == ["1400000002"]
        assert asked["tz"] == ["Asia/Kathmandu"]
    by = parse_qs(urlsplit(page.get_attribute("#by-type a", "href") or "").query)
    assert by["by"] == ["type"]
    with page.expect_download() as download:
        page.locator("#today .tools a").click()
    assert download.value.path().read_text().startswith("begin,end,callbacks,messages,")
    assert download.value.suggested_filename == "hookline-today.csv"


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (1024, 768), (390, 844), (320, 640)])
def test_nothing_is_wider_than_the_screen(show: Show, width: int, height: int) -> None:
    """And on 1440 x 900, everything is on one screen."""
    page = show(width=width, height=height)
    root = "document.documentElement"
    assert page.evaluate(f"{root}.scrollWidth") == width
    if width == 1440:
        assert page.evaluate(f"{root}.scrollHeight") == height


def test_the_page_shows_tables_without_the_chart_library(show: Show) -> None:
    """The download of uPlot may have failed; no number depends on it."""
    page = show(until="body")
    page.route("**/vendor/uplot.js", lambda route: route.abort())
    page.reload()
    page.wait_for_selector(READY)
    for chart in ("live", "today", "days"):
        expect(page.locator(f"#{chart} table")).to_be_visible()
