"""The services in docker compose with a Kafka that stands outside: TLS, users and ACLs."""

from collections.abc import Iterator

import pytest
from support.docs_blocks import the_block
from support.processes.compose_project import Project

# The first test waits until the image is built.
pytestmark = pytest.mark.timeout(900)
PREFIX = "team."
# All services are one user of the cluster.
ACLS = "".join(
    f'{service} = ["User:tim"]\n'
    for service in ("ingress", "archive", "sync", "counters", "statistics", "operator", "topics")
)


def address_of_this_machine(project: Project) -> str:
    """Return the address by which containers reach this machine."""
    gateway = "{{(index .IPAM.Config 0).Gateway}}"
    return project.docker("network", "inspect", "bridge", "--format", gateway).strip()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """
    Yield another project, of which only Kafka runs, with TLS and rights for a user `tim`.

    They are those of a pipeline with a prefix, and so are the topics: there are no others.
    """
    acls = tmp_path_factory.mktemp("cluster") / "acls.toml"
    acls.write_text(f"[services]\n{ACLS}")
    made = Project(KAFKA_ACLS_FILE=str(acls))
    made.set(KAFKA_ADVERTISED_HOST=address_of_this_machine(made))
    try:
        made.compose("build", "topics")
        made.compose("run", "--rm", "certificates")
        made.compose("run", "--rm", "-T", "-e", f"HOOKLINE_KAFKA_PREFIX={PREFIX}", "topics")
        yield made
    finally:
        made.down()


@pytest.fixture(scope="module")
def pipeline(cluster: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """Yield the pipeline with that Kafka, up and healthy; remove it at the end."""
    folder = tmp_path_factory.mktemp("files")
    # Readable for the user of the image.
    folder.chmod(0o755)
    (folder / "user").write_text("tim")
    (folder / "password").write_text(
        cluster.compose("exec", "-T", "kafka", "subscriber", "add", "tim")
    )
    (folder / "ca.pem").write_text(cluster.compose("run", "--rm", "-T", "certificates", "ca"))
    made = Project(**settings_of_the_docs())
    made.set(
        HOOKLINE_BOOTSTRAP_SERVERS=f"{address_of_this_machine(made)}:{cluster.ports['KAFKA_TLS']}",
        HOOKLINE_KAFKA_PREFIX=PREFIX,
        KAFKA_FILES_DIR=str(folder),
    )
    try:
        made.run(the_block("up --build"))
        yield made
    finally:
        made.down()


def settings_of_the_docs() -> dict[str, str]:
    """Return the lines of .env in docs/kafka.md."""
    block = the_block("COMPOSE_FILE=docker-compose.yml:docker-compose.external-kafka.yml", "ini")
    return dict(line.split("=", 1) for line in block.splitlines() if "=" in line)


def test_the_services_use_the_external_kafka_and_start_none(
    pipeline: Project, cluster: Project
) -> None:
    """Each callback is in that Kafka and in every sink once."""
    assert pipeline.containers("kafka", "kafka-users") == []
    sent = pipeline.hookline("simulate", "--count", "200", "--ledger", "ledger.jsonl")
    report = pipeline.prove("--ledger", "ledger.jsonl")
    assert report["ledger"]["ok"] == sent["ok"] > 0
    groups = cluster.kafka_tool("kafka-consumer-groups.sh", "--list").split()
    assert {f"{PREFIX}{name}" for name in ("archive", "sync", "counters")} <= set(groups)
