"""Access in docker compose: users, networks, passwords, and Kafka for other machines."""

import asyncio
import json
import ssl
from pathlib import Path
from typing import Any

import psycopg
import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    TopicAuthorizationFailedError,
)
from support.docs_blocks import the_block
from support.processes.compose_project import Project

# The first test waits until the image is built.
pytestmark = pytest.mark.timeout(900)
CALLBACKS, DEAD_LETTERS = "tim.callbacks.v1", "tim.callbacks.dead.v1"
USERS = {
    **dict.fromkeys(("ingress", "archive", "sync", "counters", "stats", "passwords"), "hookline"),
    "gateway": "haproxy",
    "kafka-users": "hookline",
    "topics": "hookline",
    "kafka": "appuser",
    "postgres": "postgres",
    "valkey": "valkey",
}


def test_every_service_runs_without_root_and_cannot_write_its_image(project: Project) -> None:
    """So an attacker who takes over a service by a malicious body gains little."""
    for service, user in USERS.items():
        containers = project.containers(service)
        assert containers
        for container in json.loads(project.docker("inspect", *containers)):
            host = container["HostConfig"]
            assert container["Config"]["User"] == user
            assert (host["ReadonlyRootfs"], host["CapDrop"]) == (True, ["ALL"])
            assert host["SecurityOpt"] == ["no-new-privileges:true"]
            assert host["Memory"] > 0
            assert host["PidsLimit"] == 512


def test_the_gateway_reaches_neither_kafka_nor_the_stores(project: Project) -> None:
    """It is the only service that strangers reach."""
    reach = "timeout 5 bash -c ': < /dev/tcp/{}' && echo reached || echo not"
    for address in ("kafka/9092", "postgres/5432", "valkey/6379"):
        for service, expected in (("gateway", "not"), ("ingress", "reached")):
            script = reach.format(address)
            said = project.compose("exec", "-T", service, "bash", "-c", script)
            assert said.strip() == expected, (service, address)


def connect(project: Project, user: str, password: str) -> psycopg.Connection:
    """Connect to the database from this machine."""
    return psycopg.connect(
        host="127.0.0.1",
        port=project.ports["POSTGRES_READER"],
        dbname="hookline",
        user=user,
        password=password,
    )


def test_no_store_has_a_default_password(project: Project) -> None:
    """Each installation makes its own ones, also for a database that an older release made."""
    query = "alter role hookline password 'hookline'"
    project.compose("exec", "-T", "postgres", "psql", "-U", "hookline", "-c", query)
    connect(project, "hookline", "hookline").close()
    before = project.compose("run", "--rm", "-T", "passwords", "show", "hookline")
    project.run(the_block("passwords new hookline"))
    project.compose("up", "--wait", "--no-recreate")
    after = project.compose("run", "--rm", "-T", "passwords", "show", "hookline")
    assert before != after
    for wrong in ("hookline", before.strip()):
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            connect(project, "hookline", wrong)
    connect(project, "hookline", after.strip()).close()
    password = project.run(the_block("show hookline_reader")).strip()
    connect(project, "hookline_reader", password).close()
    environment = project.compose("exec", "-T", "postgres", "cat", "/proc/1/environ")
    assert after.strip() not in environment
    # Sync and the counters have the passwords.
    assert "NOAUTH" in project.compose("exec", "-T", "valkey", "valkey-cli", "dbsize")
    project.hookline("simulate", "--count", "10")
    project.prove()


# The administrator of this server logs every statement; in it, roles cannot be changed.
REFUSES = """
initdb --username hookline > /tmp/said
cat >> $PGDATA/postgresql.conf <<< "
log_statement = 'all'
log_min_duration_statement = 0"
pg_ctl -D $PGDATA -w start >> /tmp/said
createdb -U hookline hookline
echo default_transaction_read_only = on >> $PGDATA/postgresql.conf
pg_ctl -D $PGDATA -w stop >> /tmp/said
start postgres || echo "ended with $?"
"""


def in_a_new_postgres(project: Project, script: str) -> str:
    """Run a script in a container of PostgreSQL without its volume; return its output."""
    return project.compose(
        *("run", "--rm", "-T", "--no-deps", "-e", "PGDATA=/tmp/data", "--entrypoint", "bash"),
        *("postgres", "-euc", f"exec 2>&1\n{script}"),
    )


def test_the_log_of_postgresql_has_no_password_although_it_cannot_be_set(project: Project) -> None:
    """The server logs the other statements, and the cause."""
    said = in_a_new_postgres(project, REFUSES)
    assert "cannot execute ALTER ROLE in a read-only transaction" in said
    assert "LOG:  statement: set log_min_error_statement" in said
    assert "alter role" not in said
    assert project.compose("run", "--rm", "-T", "passwords", "show", "hookline").strip() not in said
    assert "ended with" in said


# As in a container of a volume whose first start was interrupted: the server was initialised, and
# has no database. Then the server recovers without an end, and gets the signal of `docker stop`.
FIRST_STAGE = """
initdb --username hookline > /tmp/said
start postgres || echo "ended with $?"
echo "restore_command = 'touch /tmp/asked; sleep 600'" >> $PGDATA/postgresql.conf
touch $PGDATA/recovery.signal
set -m
start postgres > /tmp/log &
until test -e /tmp/asked; do sleep 0.1; done
kill -INT $!
wait $! || echo "ended with $?"
test ! -e $PGDATA/postmaster.pid
"""


def test_the_start_of_postgresql_names_the_remedy_and_can_be_stopped(project: Project) -> None:
    """It ends instead of a server without its database, and in the middle of a recovery."""
    said = in_a_new_postgres(project, FIRST_STAGE)
    assert "the database hookline in the volume postgres cannot be used" in said
    assert "docker volume rm hookline_postgres" in said
    assert said.count("ended with") == 2
    assert "ended with 1\n" in said
    assert "ended with 143\n" in said


async def read(project: Project, ca: Path, password: str, **options: Any) -> str:
    """Read a callback as the program `analytics` of another machine does; return its topic."""
    topic = options.pop("topic", CALLBACKS)
    options = {
        "bootstrap_servers": f"localhost:{project.ports['KAFKA_TLS']}",
        "security_protocol": "SASL_SSL",
        "ssl_context": ssl.create_default_context(cafile=ca),
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": "analytics",
        "sasl_plain_password": password,
        "group_id": "analytics",
        "auto_offset_reset": "earliest",
        "isolation_level": "read_committed",
        **options,
    }
    consumer = AIOKafkaConsumer(topic, **options)
    try:
        async with asyncio.timeout(180):
            await consumer.start()
            return str((await consumer.getone()).topic)
    finally:
        await consumer.stop()


async def test_another_machine_reads_with_tls_and_its_password(project: Project, ca: Path) -> None:
    """Without them, or in another group, or from another topic, it reads nothing."""
    password = project.run(the_block("subscriber add")).strip()
    project.hookline("simulate", "--count", "10")
    assert await read(project, ca, password) == CALLBACKS
    refused: list[tuple[type[Exception], dict[str, str]]] = [
        (KafkaConnectionError, {"sasl_plain_password": "wrong"}),
        (KafkaConnectionError, {"security_protocol": "PLAINTEXT"}),
        (KafkaConnectionError, {"security_protocol": "SASL_PLAINTEXT"}),
        # The certificate does not have this address.
        (KafkaConnectionError, {"bootstrap_servers": f"127.0.0.1:{project.ports['KAFKA_TLS']}"}),
        (GroupAuthorizationFailedError, {"group_id": "archive"}),
        (TopicAuthorizationFailedError, {"topic": DEAD_LETTERS}),
    ]
    for error, options in refused:
        with pytest.raises(error):
            await read(project, ca, password, **options)
    # A subscriber of this name would read in the group of a consumer of Hookline.
    project.fails("exec", "-T", "kafka", "subscriber", "add", "archive", code=2)
    project.run(the_block("subscriber remove"))
    with pytest.raises(KafkaConnectionError):
        await read(project, ca, password)
