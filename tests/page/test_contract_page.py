"""The page `/contract` in a real browser: accessible, on phones too, linked with the statistics."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect
from support.page.browser import Show
from support.page.fixture_server import FixtureServer


@pytest.mark.parametrize(
    ("language", "theme", "width"),
    [("en", "light", 1440), ("zh", "dark", 1440), ("zh", "light", 390), ("en", "dark", 390)],
)
def test_axe_finds_nothing_and_nothing_is_cut_off(  # noqa: PLR0917 - pytest names the arguments
    show: Show,
    server: FixtureServer,
    assert_accessible: Callable[[Page], int],
    language: str,
    theme: str,
    width: int,
) -> None:
    """All rules of axe, best practices included, with one of many parts open."""
    page = show(
        f"lang={language}&theme={theme}",
        until="main",
        base=f"{server.base}contract",
        width=width,
        bypass_csp=True,
    )
    page.locator("summary").first.click()
    assert_accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_link_to_a_command_opens_it(show: Show, server: FixtureServer) -> None:
    """The others stay closed."""
    page = show("lang=en#C2C.CallbackAfterSendMsg", until="main", base=f"{server.base}contract")
    expect(page.locator("details[open] summary")).to_have_text("C2C.CallbackAfterSendMsg")


def test_language_and_theme_are_kept_on_the_way_there_and_back(show: Show) -> None:
    """They are in the addresses; the page needs no script."""
    page = show("lang=zh&theme=dark")
    page.click("#contract")
    expect(page.locator("html[lang=zh-CN][data-theme=dark] h1")).to_contain_text("接口约定")
    page.click(".choice a:has-text('EN')")
    expect(page.locator("html[lang=en][data-theme=dark] h1")).to_contain_text("Contract")
    page.click("header a:has-text('Statistics')")
    expect(page.locator("html[lang=en][data-theme=dark] #live-title")).to_be_visible()
