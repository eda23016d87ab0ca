"""A real Kafka for every test here: given, in a container, or embedded; never none."""

import contextlib
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from support.kafka.container import image_is_there, kafka_container
from support.kafka.parts import Pipe
from support.kafka.quick_start import prepare

from ops.demo.embedded import child
from ops.demo.embedded.kafka import EmbeddedKafka
from ops.topics import apply_topics

_BROKER = pytest.StashKey[str]()


@pytest.fixture(scope="session", autouse=True)
def quick_start() -> None:
    """Have embedded brokers start fast; the first run on a machine takes some seconds for it."""
    prepare()


@pytest.fixture(scope="session")
def bootstrap_servers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[str]:
    """A broker for the whole run: $KAFKA_BOOTSTRAP_SERVERS, else a container, else embedded."""
    stash = request.config.stash
    if given := os.environ.get("KAFKA_BOOTSTRAP_SERVERS"):
        stash[_BROKER] = f"the given one, {given}"
        yield given
    elif image_is_there():
        stash[_BROKER] = "a container"
        with kafka_container() as address:
            yield address
    else:
        stash[_BROKER] = "embedded"
        with child.running(EmbeddedKafka(tmp_path_factory.mktemp("kafka"))) as kafka:
            yield kafka.address


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which broker was taken."""
    if broker := terminalreporter.config.stash.get(_BROKER, None):
        terminalreporter.write_line(f"Kafka: {broker}")


@pytest.fixture
async def kafka(bootstrap_servers: str) -> str:
    """The run's broker, with the topics applied."""
    await apply_topics(bootstrap_servers, body_bytes_max=1 << 20, replicas=1)
    return bootstrap_servers


@pytest.fixture
async def own_kafka(tmp_path: Path) -> AsyncIterator[EmbeddedKafka]:
    """A broker of the test's own, which it may kill; always embedded."""
    with child.running(EmbeddedKafka(tmp_path / "kafka")) as kafka:
        await apply_topics(kafka.address, body_bytes_max=1 << 20, replicas=1)
        yield kafka


@pytest.fixture
def pipe(kafka: str, tmp_path: Path) -> Iterator[Pipe]:
    """A spool and the topics behind it."""
    with contextlib.closing(Pipe(kafka, tmp_path / "spool")) as made:
        yield made


@pytest.fixture
def group() -> str:
    """A consumer group that no other test has."""
    return f"test-{secrets.token_hex(4)}"
