"""A broker that answers, but that its controller does not list: every client says so."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError
from support.kafka.access import plaintext
from support.kafka.broker import Broker, running_broker
from support.processes.command import run_hookline
from support.processes.ingress import until

from ops.failure import ExitCode
from schemas.client_parts import forget_brokers
from schemas.clients import started


def heartbeats_every(*, seconds: int) -> str:
    """Return the properties of a broker that is listed for one second after each heartbeat."""
    return f"broker.heartbeat.interval.ms={1000 * seconds}\n"


@pytest.fixture(scope="module")
def unlisted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """Yield a broker whose session has ended for good, as if the controller did not hear it."""
    directory = tmp_path_factory.mktemp("unlisted")
    with running_broker(directory, properties=heartbeats_every(seconds=3600)) as broker:
        asyncio.run(until(lambda: is_unlisted(broker), "the controller has fenced the broker"))
        yield broker


async def is_unlisted(broker: Broker) -> bool:
    """Return whether the broker's answers list no broker."""
    client = AIOKafkaClient(bootstrap_servers=broker.address)
    await client.bootstrap()
    brokers = client.cluster.brokers()
    await client.close()
    return not brokers


@pytest.mark.parametrize(
    "command",
    [
        "topics apply --wait 1",
        "audit --archive {empty} --ingress http://127.0.0.1:1",
        "archive expire --archive {empty} --older-than 30d",
        "dead-letters ls",
        "replay sync --from topic --since 2026-01-01 --postgres postgresql://u@127.0.0.1:1/x",
    ],
)
def test_every_command_says_that_no_broker_is_listed(
    unlisted: Broker, tmp_path: Path, command: str
) -> None:
    """It is no bug of the command, which would have another exit code."""
    arguments = command.format(empty=tmp_path).split()
    env = {"HOOKLINE_BOOTSTRAP_SERVERS": unlisted.address, "PATH": "/usr/bin:/bin"}
    done = run_hookline(*arguments, env=env)
    assert done.returncode == ExitCode.UNREADABLE, done.stderr
    assert f"Kafka at {unlisted.address} answers, but lists no broker: " in done.stderr
    assert "Traceback" not in done.stderr


async def test_topics_are_created_once_the_broker_is_listed(tmp_path: Path) -> None:
    """It is, for a second in four."""
    with running_broker(tmp_path, properties=heartbeats_every(seconds=4)) as broker:
        await until(lambda: is_unlisted(broker), "the controller has fenced the broker")
        await broker.make_topics()


async def test_an_exception_that_aiokafka_raises_in_the_block_is_an_outage(kafka: str) -> None:
    """Without a controller, its own is an AttributeError, which would end a process as a bug."""
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)

    async def use() -> None:
        async with started(admin, 180, plaintext(kafka)):
            forget_brokers(admin)
            await admin.create_topics([NewTopic("x", 1, 1)])

    with pytest.raises(KafkaError, match="the client has failed: AttributeError"):
        await use()
