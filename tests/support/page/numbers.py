"""Read numbers from the page."""

import re

from playwright.sync_api import Page


def numbers(page: Page, selector: str) -> list[int]:
    """Return the digits of each element's text as a number, or -1 if it has none."""
    return [int(re.sub(r"\D", "", text) or -1) for text in page.locator(selector).all_inner_texts()]


def versus(ratio: float) -> str:
    """Return how the page shows that today has so many times the number of yesterday."""
    arrow = "▲" if ratio > 1 else "▼"
    return f"{arrow} {abs(100 * (ratio - 1)):.1f}% vs yesterday, same time"
