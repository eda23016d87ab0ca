"""Prepare initialised data directories of PostgreSQL, so that servers start fast in tests."""

import fcntl
from pathlib import Path
from tempfile import TemporaryDirectory

from ops.demo.embedded.postgres import FOLDERS, EmbeddedPostgres, template_directory


def prepare_postgres() -> None:
    """Make one for each version in the user's cache directory, once."""
    for version in FOLDERS:
        template = template_directory(version)
        if template.exists():
            continue
        template.parent.mkdir(parents=True, exist_ok=True)
        # Test processes that run in parallel wait for the first one.
        with (
            Path(f"{template}.lock").open("ab") as lock,
            TemporaryDirectory(dir=template.parent) as scratch,
        ):
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not template.exists():
                server = EmbeddedPostgres(Path(scratch), version)
                server.initialise()
                # A run that is killed leaves the complete directory or none.
                server.data.rename(template)
