"""Users of Kafka in docker compose: none without a password, and no service with all rights."""

import json
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, TopicAuthorizationFailedError
from support.docs_blocks import the_block
from support.processes.compose_project import Project

# The first test waits until the image is built.
pytestmark = pytest.mark.timeout(900)


def show(project: Project, name: str) -> str:
    """Return a password."""
    return project.compose("run", "--rm", "-T", "passwords", "show", f"kafka-{name}").strip()


async def write(project: Project, **options: Any) -> None:
    """Write a record to the topic of callbacks, as a program on this machine."""
    producer = AIOKafkaProducer(bootstrap_servers=f"127.0.0.1:{project.ports['KAFKA']}", **options)
    try:
        await producer.start()
        await producer.send_and_wait("tim.callbacks.v1", b"{}")
    finally:
        await producer.stop()


def scram(user: str, password: str) -> dict[str, str]:
    """Return the options of a client that shows this password."""
    return {
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": user,
        "sasl_plain_password": password,
    }


def test_another_container_needs_a_password(project: Project) -> None:
    """Also at the port of the controller, which has all rights over the cluster."""
    for port in (9092, 9093):
        assert project.refuses_plaintext("kafka", port)


async def test_a_program_on_this_machine_needs_a_password(project: Project) -> None:
    """The user of a service that only reads writes nothing."""
    with pytest.raises(KafkaConnectionError):
        await write(project)
    archive = show(project, "archive")
    for wrong in (scram("hookline-archive", "wrong"), scram("hookline-topics", archive)):
        with pytest.raises(KafkaConnectionError):
            await write(project, **wrong)
    with pytest.raises(TopicAuthorizationFailedError):
        await write(project, **scram("hookline-archive", archive))


def test_the_tools_have_the_rights_of_an_operator_only(project: Project) -> None:
    """The service `topics` gives the rights; nobody else may."""
    acls = ("-v", "./deploy/kafka/acls.toml:/acls.toml:ro")
    plan = ("topics", "plan", "--acls", "/acls.toml")
    said = project.fails("run", "--rm", "-T", *acls, "ops", *plan, code=2)
    assert "the user of this command may not" in " ".join(said.split())
    planned = project.run(the_block("topics hookline topics plan"))
    assert "0 new" in planned
    assert "0 not wanted any more" in planned
    apply = ("hookline", "topics", "apply", "--allow-delete")
    assert "0 new" in project.compose("run", "--rm", "-T", "topics", *apply)


def test_kcat_reads_on_this_machine(project: Project, tmp_path: Path) -> None:
    """The block of the docs prints the records that are there."""
    project.hookline("simulate", "--count", "10")
    project.prove()
    assert project.run(the_block("kcat.conf"), folder=tmp_path).count("ce_id=") >= 10


async def test_a_new_password_is_in_force_without_a_restart(project: Project) -> None:
    """The service reads it from its file; the old one is refused."""
    before = show(project, "archive")
    project.run(the_block("passwords new kafka-archive"))
    with pytest.raises(KafkaConnectionError):
        await write(project, **scram("hookline-archive", before))
    with pytest.raises(TopicAuthorizationFailedError):
        await write(project, **scram("hookline-archive", show(project, "archive")))


# Print the ports and mechanisms by which Kafka accepts this user and password.
CONNECT_BY_ALL = """
import asyncio, json, ssl, sys
from aiokafka.conn import create_conn
from aiokafka.errors import SaslAuthenticationFailed

tls = ssl.create_default_context()
tls.check_hostname = False
tls.verify_mode = ssl.CERT_NONE
PLAIN, SCRAM = "PLAIN", "SCRAM-SHA-512"

async def main(user, password):
    accepted = []
    for port, mechanism in (
        (9092, PLAIN), (9092, SCRAM), (9093, PLAIN), (9094, PLAIN), (9094, SCRAM), (9095, SCRAM)
    ):
        try:
            connection = await create_conn(
                "kafka", port, ssl_context=tls if port == 9095 else None,
                security_protocol="SASL_SSL" if port == 9095 else "SASL_PLAINTEXT",
                sasl_mechanism=mechanism, sasl_plain_username=user, sasl_plain_password=password,
            )
        except SaslAuthenticationFailed:
            continue
        accepted.append([port, mechanism])
        connection.close()
    print(json.dumps(accepted))

asyncio.run(main(*sys.argv[1:]))
"""


def accepted(project: Project, password: str) -> Any:
    """Return the ports and mechanisms by which Kafka accepts the user of the brokers."""
    script = ("exec", "-T", "archive", "python", "-c", CONNECT_BY_ALL, "hookline-broker", password)
    return json.loads(project.compose(*script))


@pytest.mark.usefixtures("ca")
def test_the_old_password_of_the_brokers_is_refused_on_every_listener(project: Project) -> None:
    """The new one is accepted by PLAIN, within the project; SCRAM credentials are deleted."""
    before = show(project, "broker")
    # As former versions of deploy/kafka/scram_users.py did.
    project.kafka_tool(
        *("kafka-configs.sh", "--alter", "--entity-type", "users", "--entity-name"),
        *("hookline-broker", "--add-config", f"SCRAM-SHA-512=[password={before}]"),
    )
    assert len(accepted(project, before)) == 5
    project.run(the_block("passwords new kafka-broker"))
    assert accepted(project, before) == []
    assert accepted(project, show(project, "broker")) == [[9092, "PLAIN"], [9093, "PLAIN"]]
    project.hookline("simulate", "--count", "10")
    project.prove()
