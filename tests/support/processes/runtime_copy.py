"""The package of the distribution hookline-runtime, as the present source tree makes it."""

import contextlib
import functools
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parents[3]
# One folder for each state of the sources: to make it, and to compile its modules, takes time.
FOLDERS = ROOT / ".pytest_cache" / "runtime"
UNUSED_S_MAX = 24 * 3600


@functools.cache
def runtime_folder() -> Path:
    """Return a folder with the package."""
    folder = FOLDERS / _state()
    if folder.exists():
        os.utime(folder)
        return folder
    from runtime_package import PACKAGE, write_package  # noqa: PLC0415 - its libraries are large

    FOLDERS.mkdir(parents=True, exist_ok=True)
    for other in FOLDERS.iterdir():
        # Another process may delete the same folder.
        with contextlib.suppress(FileNotFoundError):
            if other.stat().st_mtime < time.time() - UNUSED_S_MAX:
                shutil.rmtree(other, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=FOLDERS) as made:
        complete = Path(made, "complete")
        write_package(ROOT, complete / PACKAGE)
        try:
            complete.rename(folder)
        except OSError:
            # Another process has made the same folder.
            if not folder.exists():
                raise
    return folder


def _state() -> str:
    """Return a digest of all files that the package may be made of."""
    digest = hashlib.sha256()
    # Another process may compile a module at any time, which changes `__pycache__` and the time of
    # the directory around it.
    for source in ("schemas", "consumers/runtime", "deploy/runtime"):
        for path in sorted((ROOT / source).rglob("*")):
            if "__pycache__" in path.parts or path.is_dir():
                continue
            status = path.stat()
            digest.update(f"{path} {status.st_mtime_ns} {status.st_size}\n".encode())
    return digest.hexdigest()[:16]


def with_runtime(env: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a program that finds the package, as if it were installed."""
    return {**env, "PYTHONPATH": os.fspath(runtime_folder())}
