"""Parse Python files, and keep on disk what a test has read in them."""

import ast
import gc
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import msgspec

ROOT = Path(__file__).parents[2]
KEPT = ROOT / ".pytest_cache" / "parsed"
Result = TypeVar("Result")


def parsed(path: Path, *names: str) -> ast.Module:
    """Return the syntax tree of a file, or an empty one if the file has none of `names`."""
    text = path.read_text()
    if names and not any(name in text for name in names):
        return ast.Module([], [])
    # Python 3.11.7 raises SystemError if a garbage collection during ast.parse calls ast.parse.
    gc.disable()
    try:
        return ast.parse(text)
    finally:
        gc.enable()


def product_files() -> Iterator[Path]:
    """Yield the Python files of the product."""
    for package in ("schemas", "ingress", "consumers", "ops"):
        yield from (ROOT / package).rglob("*.py")


def of_each(read: Callable[[Path], Result], paths: Iterable[Path]) -> dict[Path, Result]:
    """
    Return the result of `read` for each file; it may depend on the file and its own module alone.

    Parsing 600 files takes seconds. The results are kept on disk, so that a later run reads only
    files that have changed since, or all if the module of `read` has changed.
    """
    kept = KEPT / f"{read.__module__}.{read.__name__}"
    version = [sys.version, *map(_stamp, map(Path, (__file__, inspect.getfile(read))))]
    stamped = {str(path.relative_to(ROOT)): _stamp(path) for path in paths}
    known = _load(kept, version, get_type_hints(read)["return"])
    changed = [name for name, stamp in stamped.items() if known.get(name, ("",))[0] != stamp]
    known |= {name: (stamped[name], read(ROOT / name)) for name in changed}
    if changed:
        # Another process may do the same.
        temporary = kept.with_suffix(f".{os.getpid()}")
        KEPT.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(msgspec.msgpack.encode((version, known)))
        temporary.replace(kept)
    return {ROOT / name: known[name][1] for name in stamped}


def _stamp(path: Path) -> str:
    status = path.stat()
    return f"{status.st_mtime_ns} {status.st_size}"


def _load(kept: Path, version: list[str], result: Any) -> dict[str, tuple[str, Any]]:
    try:
        content = kept.read_bytes()
        if msgspec.msgpack.decode(content, type=tuple[list[str], msgspec.Raw])[0] == version:
            return msgspec.msgpack.decode(content, type=tuple[Any, dict[str, tuple[str, result]]])[
                1
            ]
    except (FileNotFoundError, msgspec.DecodeError):
        pass
    return {}
