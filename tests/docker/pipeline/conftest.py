"""The pipeline in docker compose, for all tests of this folder."""

from collections.abc import Iterator

import pytest
from support.docs_blocks import the_block
from support.processes.compose_project import Project

STORES = ("postgres", "valkey")


@pytest.fixture(scope="package")
def project() -> Iterator[Project]:
    """Yield the pipeline, up and healthy; remove it at the end."""
    made = Project()
    try:
        made.run(the_block("up --build"))
        yield made
    finally:
        made.down()
        copies = [f"{made.name}_{store}-copy" for store in STORES]
        made.docker("volume", "rm", "--force", *copies)
