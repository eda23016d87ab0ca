"""`python -m support.page.screenshots FOLDER` makes the docs' pictures, with made-up answers."""

import sys
from pathlib import Path

from playwright.sync_api import Browser
from support.page.browser import running_browser
from support.page.fixture_server import FixtureServer
from support.page.made_up_answers import Answers
from support.pipeline_states import LAGGING, SOME_WRONG, WELL

DESK = (1440, 900)
PHONE = (390, 844)
PICTURES = {
    "light": ("lang=en&theme=light", WELL, DESK),
    "dark": ("lang=en&theme=dark", WELL, DESK),
    "zh": ("lang=zh&theme=light", WELL, DESK),
    "something-is-wrong": ("lang=en&theme=light", SOME_WRONG, DESK),
    "phone": ("lang=en&theme=light", LAGGING, PHONE),
}


def picture(browser: Browser, base: str, query: str, size: tuple[int, int], file: Path) -> None:
    """Store a picture of the page, with a readout as if a reader pointed at the chart."""
    page = browser.new_page(viewport={"width": size[0], "height": size[1]})
    page.goto(f"{base}?{query}")
    page.wait_for_selector("body:not(.loading)")
    # The stream has sent the last fifteen minutes when the page has drawn its last point.
    page.wait_for_function("document.querySelector('#live .plot').ariaValueMax > 400")
    if size == DESK:
        page.hover("#today .plot", position={"x": 320, "y": 60})
    page.wait_for_timeout(500)
    page.screenshot(path=file, full_page=True)
    page.close()


def main() -> None:
    """Store all pictures in the folder."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with FixtureServer() as server, running_browser() as browser:
        for name, (query, measured, size) in PICTURES.items():
            server.world.answers = Answers(measured=measured)
            picture(browser, server.base, query, size, folder / f"{name}.png")


if __name__ == "__main__":
    main()
