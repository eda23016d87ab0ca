"""The page in a real browser: with made-up answers for every state, and with real ones."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect
from support.page.browser import READY, NoBrowser, Show, chromium, running_browser
from support.page.fixture_server import FixtureServer, World

from consumers.stats.page_files import PAGE
from ops.npm_files import fetch, listed

HERE = Path(__file__).parent
# The machine may be busy; a passing test does not wait.
expect.set_options(timeout=180_000)


def pytest_configure() -> None:
    """End the run with one error if there is no browser, or the chart library is not there."""
    try:
        chromium()
    except NoBrowser as reason:
        raise pytest.UsageError(str(reason)) from None
    if not (PAGE / "vendor" / "uplot.js").is_file():
        raise pytest.UsageError(
            "uPlot is not in consumers/stats/page/vendor; get it with a network: make test-page"
        )


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Return a browser, which all tests of this process share."""
    with running_browser() as browser:
        yield browser


@pytest.fixture(scope="session")
def assert_accessible() -> Callable[[Page], int]:
    """Return a function that checks a page by all rules of axe-core, and returns how many pass."""
    fetch(listed((HERE / "axe.txt").read_text()), HERE / "vendor")
    axe = (HERE / "vendor" / "axe.js").read_text()

    def check(page: Page) -> int:
        page.evaluate(axe)
        result = page.evaluate("axe.run()")
        violations = [
            (v["id"], [node["html"] for node in v["nodes"]]) for v in result["violations"]
        ]
        assert violations == []
        return len(result["passes"])

    return check


@pytest.fixture(scope="session")
def fixture_server() -> Iterator[FixtureServer]:
    """Return a server with made-up answers, which all tests of this process share."""
    with FixtureServer() as server:
        yield server


@pytest.fixture
def server(fixture_server: FixtureServer) -> Iterator[FixtureServer]:
    """Return the server in its first state: all is well, and there are three apps."""
    fixture_server.world = World()
    yield fixture_server
    # Requests of pages that are still open must not hang.
    fixture_server.world = World()


@pytest.fixture
def show(server: FixtureServer, browser: Browser) -> Iterator[Show]:
    """Return a function that opens the page and waits for it; errors in it fail the test."""
    contexts, errors = [], []

    def open_page(
        query: str = "lang=en",
        *,
        until: str = READY,
        width: int = 1440,
        height: int = 900,
        base: str = "",
        **options: object,
    ) -> Page:
        options = {"locale": "en-US", "timezone_id": "Europe/Berlin", **options}
        context = browser.new_context(
            viewport={"width": width, "height": height},
            **options,  # type: ignore[arg-type]  # as the test names them
        )
        context.set_default_timeout(180_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.on(
            "console",
            lambda message: errors.append(message.text) if "Policy" in message.text else None,
        )
        page.goto(f"{base or server.base}?{query}")
        page.wait_for_selector(until)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert errors == []
