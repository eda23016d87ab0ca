"""Prepare initialised data directories of PostgreSQL, so that servers start fast in tests."""

from pathlib import Path

from support.made_once import make_once

from ops.demo.embedded.postgres import FOLDERS, EmbeddedPostgres, template_directory


def prepare_postgres() -> None:
    """Make one for each version in the user's cache directory, once."""
    for version in FOLDERS:

        def initialised(scratch: Path, version: int = version) -> Path:
            server = EmbeddedPostgres(scratch, version)
            server.initialise()
            return server.data

        make_once(template_directory(version), initialised)
