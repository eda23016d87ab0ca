"""The package of the distribution hookline-runtime, as the present source tree makes it."""

import functools
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from runtime_package import PACKAGE, write_package

ROOT = Path(__file__).parents[3]
# Has the folder for the processes that this one starts, among them those of pytest-xdist: to make
# another takes 0.1 s of CPU time.
FOLDER = "TESTS_RUNTIME_FOLDER"


@functools.cache
def _folder() -> tempfile.TemporaryDirectory[str]:
    folder = tempfile.TemporaryDirectory(prefix="hookline-runtime-")
    write_package(ROOT, Path(folder.name, PACKAGE))
    return folder


def runtime_folder() -> Path:
    """Return a folder with the package; the end of the process that has made it removes it."""
    if FOLDER not in os.environ:
        os.environ[FOLDER] = _folder().name
    return Path(os.environ[FOLDER])


def with_runtime(env: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a program that finds the package, as if it were installed."""
    return {**env, "PYTHONPATH": os.fspath(runtime_folder())}
