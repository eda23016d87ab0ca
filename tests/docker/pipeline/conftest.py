"""The pipeline in docker compose, for all tests of this folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from support.docs_blocks import the_block
from support.processes.compose_project import Project, running_pipeline

STORES = ("postgres", "valkey")


@pytest.fixture(scope="package")
def project() -> Iterator[Project]:
    """Yield the pipeline, up and healthy; remove it at the end."""
    with running_pipeline() as project:
        yield project
    copies = [f"{project.name}_{store}-copy" for store in STORES]
    project.docker("volume", "rm", "--force", *copies)


@pytest.fixture(scope="package")
def ca(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Start Kafka's listener for other machines, and return the certificate of its CA."""
    folder = tmp_path_factory.mktemp("ca")
    project.set(KAFKA_ADVERTISED_HOST="localhost")
    project.run(the_block("certificates ca"), folder=folder)
    return folder / "kafka-ca.pem"
