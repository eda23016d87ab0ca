"""
The programs of version 1 of the tables, from this repository's history.

They run with the libraries of this release, as processes of their own.
"""

import io
import subprocess
import tarfile
from pathlib import Path

from ops.demo.embedded.child import ProgramMissing

# The last commit whose tables have version 1, those of release 0.1.0.
COMMIT = "060eae2c989d258e5fa87cfb3316e4a5086a7642"
# Tables of version 1, in an empty database.
TABLES = "consumers/sync/migrations/0001.sql"
_ROOT = Path(__file__).parents[2]
_PACKAGES = ("consumers", "schemas")


def check_out(directory: Path) -> Path:
    """
    Write the packages of that release into `directory`, a new one, and return it.

    Raises:
        ProgramMissing: this directory is not a clone, or is a clone without its history.
    """
    command = ["git", "-C", str(_ROOT), "archive", COMMIT, *_PACKAGES]
    try:
        done = subprocess.run(command, capture_output=True, check=True)  # noqa: S603 - our own
    except (OSError, subprocess.CalledProcessError) as error:
        raise ProgramMissing(
            "version_1 is left out: it is read from the history, which this copy of the "
            "repository does not have; a full `git clone` has it"
        ) from error
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extractall(directory, filter="data")
    return directory


def tables() -> str:
    """Return the statements that create the tables."""
    return f"create schema hookline; {(_ROOT / TABLES).read_text()}"
