"""The browser of the tests of the page: Debian's Chromium, with fonts for Chinese."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page, sync_playwright

# The page has all its numbers.
READY = "body:not(.loading)"
# Opens the page: the fixture `show` of tests/page.
Show = Callable[..., Page]


class NoBrowser(Exception):
    """Chromium or a font is not installed; the text says how to install it."""


def chromium() -> str:
    """
    Return the path of Chromium.

    Raises:
        NoBrowser: it or the fonts are not installed.
    """
    path = shutil.which("chromium") or shutil.which("google-chrome")
    install = "install it with: apt-get install chromium fonts-noto-cjk"
    if path is None:
        raise NoBrowser(f"Chromium is not installed, in which the page is tested; {install}")
    fonts = subprocess.run(
        ["fc-list", ":lang=zh", "family"],  # noqa: S607 - fontconfig comes with Chromium
        capture_output=True,
        text=True,
        check=False,
    )
    if "CJK" not in fonts.stdout:
        raise NoBrowser(f"no font for Chinese (fonts-noto-cjk) is installed; {install}")
    return path


@contextmanager
def running_browser() -> Iterator[Browser]:
    """Yield a browser without a window."""
    # Chromium's own sandbox does not start as root, as in most containers.
    args = ["--no-sandbox"] if os.getuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=args)
        try:
            yield browser
        finally:
            browser.close()
