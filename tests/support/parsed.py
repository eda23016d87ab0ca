"""Python files as syntax trees."""

import ast
import gc
from pathlib import Path


def parsed(path: Path) -> ast.Module:
    """Return the syntax tree of a file."""
    # Python 3.11.7 raises SystemError if a garbage collection within ast.parse parses, too.
    gc.disable()
    try:
        return ast.parse(path.read_text())
    finally:
        gc.enable()
