"""Read the code blocks (commands and examples) in the docs."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))


def blocks(language: str) -> list[str]:
    """Return the fenced blocks of all pages, in order."""
    fence = re.compile(rf"^```{language}\n(.*?)^```$", re.DOTALL | re.MULTILINE)
    return [block for page in PAGES for block in fence.findall(page.read_text())]


def the_block(part: str, language: str = "sh") -> str:
    """Return the only block that contains `part`; several pages may have it."""
    (only_block,) = {block for block in blocks(language) if part in block}
    return only_block
