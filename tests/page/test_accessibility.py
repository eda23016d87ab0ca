"""axe-core finds no violation in any state, language and theme; motion is reduced on request."""

from collections.abc import Callable

import pytest
from playwright.sync_api import Page
from support.page.browser import READY, Show
from support.page.fixture_server import FixtureServer
from support.page.made_up_answers import Answers
from support.pipeline_states import SOME_WRONG

STATES = {
    "normal": (Answers(error=0.0081), READY),
    "empty": (Answers(is_empty=True), "#empty:not([hidden])"),
    "wrong": (Answers(measured=SOME_WRONG), READY),
    "loading": (Answers(), "main[aria-busy=true]"),
}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("state", STATES)
def test_axe_finds_nothing(  # noqa: PLR0917 - pytest names the arguments
    show: Show,
    server: FixtureServer,
    assert_accessible: Callable[[Page], int],
    say: Callable[[str], None],
    state: str,
    language: str,
    theme: str,
) -> None:
    """All rules of axe, best practices included; once with charts and once with tables."""
    server.world.answers, until = STATES[state]
    server.world.is_slow = state == "loading"
    for tables in ("", "&tables=live,today,days"):
        page = show(f"lang={language}&theme={theme}{tables}", until=until, bypass_csp=True)
        page.wait_for_function("document.querySelector('main').getAnimations().length === 0")
        say(f"{assert_accessible(page)} rules of axe-core pass, 0 violations")


def test_the_token_dialog_has_no_violation(
    show: Show, server: FixtureServer, assert_accessible: Callable[[Page], int]
) -> None:
    """It is a dialog with a title and a labelled field."""
    server.world.token = "any"  # noqa: S105 - made up
    page = show(until="#token[open]", bypass_csp=True)
    assert_accessible(page)


def test_reduced_motion_has_no_transition(show: Show) -> None:
    """The only one is that of a new view."""
    page = show(reduced_motion="reduce")
    assert (
        page.evaluate("getComputedStyle(document.querySelector('main')).transitionProperty")
        == "none"
    )
