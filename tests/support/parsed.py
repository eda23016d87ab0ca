"""Parse Python files into syntax trees."""

import ast
import gc
from pathlib import Path


def parsed(path: Path) -> ast.Module:
    """Return the syntax tree of a file."""
    # Python 3.11.7 raises SystemError if a garbage collection during ast.parse calls ast.parse.
    gc.disable()
    try:
        return ast.parse(path.read_text())
    finally:
        gc.enable()
