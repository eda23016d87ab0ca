"""Three brokers in docker compose, each killed under load by the drill of the docs."""

import re
from collections.abc import Iterator

import pytest
from support.docs_blocks import the_block
from support.processes.compose_project import Project, running_pipeline

# The first test waits until the image is built.
pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Project]:
    """Yield the pipeline with three brokers, up and healthy; remove it at the end."""
    with running_pipeline(COMPOSE_FILE="docker-compose.yml:docker-compose.ha.yml") as cluster:
        yield cluster


def test_a_drill_that_kills_each_broker_in_turn_loses_and_doubles_nothing(cluster: Project) -> None:
    """Every topic has three replicas, two of which must have a record; the audit is the proof."""
    described = cluster.kafka_tool("kafka-topics.sh", "--describe")
    summaries = [line for line in described.splitlines() if "ReplicationFactor" in line]
    assert {line.split()[1] for line in summaries} >= {"tim.callbacks.v1", "__consumer_offsets"}
    for line in summaries:
        assert "ReplicationFactor: 3" in line
        assert "min.insync.replicas=2" in line
    said = cluster.run(the_block("drill.jsonl"))
    assert "proven: every callback is exactly once in Kafka, archive, PostgreSQL, counts" in said
    (answered,) = re.findall(
        r"ledger: (\d+) answered OK \(missing: Kafka 0, archive 0, rows in PostgreSQL 0\)", said
    )
    assert int(answered) > 0
    print(f"answered OK {answered}, missing 0, doubled 0")  # noqa: T201
