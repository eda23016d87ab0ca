"""An installation whose Kafka has no users gets them by `docker compose up`, under load."""

import json
import time
from collections.abc import Iterator

import pytest
from support.docs_blocks import the_block
from support.processes.compose_project import RATE, Project, running_pipeline

# The first test waits until the image is built.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def installation() -> Iterator[Project]:
    """Yield the pipeline, up and healthy, with a Kafka without users; remove it at the end."""
    with running_pipeline(
        COMPOSE_FILE="docker-compose.yml:tests/docker/without_users.yml"
    ) as installation:
        yield installation


def test_the_kafka_of_an_older_release_gets_users_and_nothing_is_lost(
    installation: Project,
) -> None:
    """Callbacks from before, from while Kafka restarts, and from after are in every sink once."""
    assert not installation.refuses_plaintext("kafka", 9092)
    traffic = installation.simulate("upgrade.jsonl", seconds=40)
    time.sleep(5)
    installation.set(COMPOSE_FILE="docker-compose.yml")
    installation.run(the_block("up --build"))
    sent = json.loads(traffic.communicate(timeout=180)[0])
    assert sent["ok"] > RATE
    report = installation.prove("--ledger", "upgrade.jsonl")
    assert report["ledger"]["ok"] == sent["ok"]
    assert report["ledger"]["missing"] == {"kafka": 0, "archive": 0, "postgres": 0}
    assert installation.refuses_plaintext("kafka", 9092)
