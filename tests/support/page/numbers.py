"""Read numbers from the page."""

import re

from playwright.sync_api import Page


def numbers(page: Page, selector: str) -> list[int]:
    """Return the digits of each element's text as a number, or -1 if it has none."""
    return [int(re.sub(r"\D", "", text) or -1) for text in page.locator(selector).all_inner_texts()]
