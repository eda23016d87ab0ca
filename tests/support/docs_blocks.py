"""Read the code blocks (commands and examples) in the docs."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
# Another team follows this page; tests/integration/test_subscribe.py runs its blocks.
SUBSCRIBE = ROOT / "docs" / "subscribe.md"
PAGES = (
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted({*(ROOT / "docs").rglob("*.md")} - {SUBSCRIBE}),
)


def blocks(language: str) -> list[str]:
    """Return the fenced blocks of all pages but `SUBSCRIBE`, in order."""
    return [block for page in PAGES for block in blocks_of(page, language)]


def blocks_of(page: Path, language: str) -> list[str]:
    """Return the fenced blocks of one page, in order."""
    fence = re.compile(rf"^```{language}\n(.*?)^```$", re.DOTALL | re.MULTILINE)
    return fence.findall(page.read_text())


def the_block(part: str, language: str = "sh") -> str:
    """Return the only block that contains `part`; several pages may have it."""
    (only_block,) = {block for block in blocks(language) if part in block}
    return only_block
