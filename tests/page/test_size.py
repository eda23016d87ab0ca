"""How much is sent, and when it is seen."""

import gzip
from collections.abc import Callable

from support.page.browser import Show

from consumers.stats.page_files import page_files

KB = 1000
GZIPPED_BYTES_MAX = 60 * KB


def test_the_page_is_small(show: Show, say: Callable[[str], None]) -> None:
    """At most 60 KB gzipped, the chart library included; all of it from this server."""
    _, files = page_files()
    sent = {name: len(file.gzipped) for name, file in files.items() if not name.endswith(".txt")}
    assert sum(sent.values()) <= GZIPPED_BYTES_MAX
    own = sum(size for name, size in sent.items() if not name.startswith("vendor/"))
    say(f"{sum(sent.values())} bytes gzipped in {len(sent)} files, {own} of them ours")
    page = show()
    hosts = page.evaluate(
        "performance.getEntriesByType('resource').map((one) => new URL(one.name).host)"
    )
    assert set(hosts) == {page.evaluate("location.host")}
    for file in files.values():
        assert gzip.decompress(file.gzipped) == file.content


def test_first_paint(show: Show, say: Callable[[str], None]) -> None:
    """Printed, not asserted: a time depends on the machine."""
    page = show()
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    say(f"first contentful paint after {paint:.0f} ms on loopback")


def test_nothing_inline_is_in_the_document(show: Show) -> None:
    """The policy would refuse it; the fixture fails a test if the browser reports a violation."""
    page = show()
    source = page.evaluate("fetch('').then((answer) => answer.text())")
    assert "<style" not in source
    assert " style=" not in source
    assert "<script>" not in source
    assert " on" not in source.replace(" only", "")
    policy = page.evaluate("fetch('').then((a) => a.headers.get('Content-Security-Policy'))")
    assert "unsafe" not in policy
    assert "default-src 'none'" in policy
