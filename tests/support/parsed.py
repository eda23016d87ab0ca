"""Parse Python files into syntax trees."""

import ast
import gc
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]


def parsed(path: Path) -> ast.Module:
    """Return the syntax tree of a file."""
    # Python 3.11.7 raises SystemError if a garbage collection during ast.parse calls ast.parse.
    gc.disable()
    try:
        return ast.parse(path.read_text())
    finally:
        gc.enable()


def product_files(*names: str) -> Iterator[Path]:
    """Yield the files of the product that have one of the names; parsing all takes long."""
    for package in ("schemas", "ingress", "consumers", "ops"):
        for path in (ROOT / package).rglob("*.py"):
            if any(name in path.read_text() for name in names):
                yield path
