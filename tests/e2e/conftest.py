"""One running demo for the tests that do not stop it."""

from collections.abc import Iterator

import pytest
from e2e_blackbox import Demo, demo


@pytest.fixture(scope="session")
def stack() -> Iterator[Demo]:
    """A running demo. Tests kill its parts, so each brings its own ledger."""
    with demo() as running:
        yield running
