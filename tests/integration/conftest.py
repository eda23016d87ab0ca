"""
A real Kafka for every test of this folder.

It is embedded, unless TEST_KAFKA is `container` or the HOST:PORT of a broker.
"""

import asyncio
import contextlib
import os
import secrets
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from support.kafka.access import plaintext
from support.kafka.broker import FEW_THREADS, session
from support.kafka.container import NoContainer, find_image, kafka_container
from support.kafka.parts import Pipe
from support.kafka.quick_start import prepare
from support.kafka.secured import SecuredBroker
from support.processes.consumer import remove_topics_and_groups

from ops.demo.embedded import child
from ops.demo.embedded.kafka import EmbeddedKafka
from ops.topic_changes import apply_topics

KAFKA = os.environ.get("TEST_KAFKA") or "embedded"


@pytest.fixture(scope="session", autouse=True)
def quick_start() -> None:
    """Have embedded brokers start fast; the first run on a machine takes some seconds for it."""
    prepare()


def pytest_configure() -> None:
    """End the run with one error if the broker that was asked for cannot be had."""
    if KAFKA == "container":
        try:
            find_image()
        except NoContainer as reason:
            raise pytest.UsageError(f"TEST_KAFKA=container: {reason}") from None
    elif KAFKA != "embedded" and ":" not in KAFKA:
        raise pytest.UsageError(
            f"TEST_KAFKA must be embedded, container or the HOST:PORT of a broker, not {KAFKA!r}"
        )


@pytest.fixture(scope="package")
def shared_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """Yield an embedded broker for all tests of this folder that do not kill or freeze theirs."""
    kafka = EmbeddedKafka(tmp_path_factory.mktemp("kafka"), properties=session() + FEW_THREADS)
    with child.running(kafka):
        yield kafka


@pytest.fixture(scope="package")
def bootstrap_servers(request: pytest.FixtureRequest) -> Iterator[str]:
    """Return the address of a broker for all tests of this folder, as TEST_KAFKA says."""
    if KAFKA == "embedded":
        yield request.getfixturevalue("shared_kafka").address
    elif KAFKA == "container":
        with kafka_container() as address:
            yield address
    else:
        yield KAFKA


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print which broker was used."""
    terminalreporter.write_line(f"Kafka: {KAFKA}")


@pytest.fixture
async def kafka(bootstrap_servers: str) -> str:
    """Return the run's broker, with the topics applied."""
    await apply_topics(plaintext(bootstrap_servers), body_bytes_max=1 << 20, replicas=1)
    return bootstrap_servers


@pytest.fixture
async def kafka_without_topics(shared_kafka: EmbeddedKafka) -> EmbeddedKafka:
    """Return a broker without topics and groups; always embedded."""
    await remove_topics_and_groups(shared_kafka.address)
    return shared_kafka


@pytest.fixture
async def empty_kafka(kafka_without_topics: EmbeddedKafka) -> EmbeddedKafka:
    """
    Return a broker whose topics are new; always embedded.

    The test may change topics and groups, but neither kill nor freeze the broker: the start of a
    broker of its own takes 2 s of CPU time.
    """
    await apply_topics(plaintext(kafka_without_topics.address), body_bytes_max=1 << 20, replicas=1)
    return kafka_without_topics


@pytest.fixture
async def own_kafka(tmp_path: Path) -> AsyncIterator[EmbeddedKafka]:
    """Yield a broker of the test's own, which it may kill or freeze; always embedded."""
    with child.running(EmbeddedKafka(tmp_path / "kafka", properties=FEW_THREADS)) as kafka:
        await apply_topics(plaintext(kafka.address), body_bytes_max=1 << 20, replicas=1)
        yield kafka


@pytest.fixture(scope="package")
def secured_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecuredBroker]:
    """
    Yield a broker with TLS, SASL and ACLs and with the topics, for all tests of this folder.

    A test that adds rights or sets a password does so for a user of its own.
    """
    with child.running(SecuredBroker(tmp_path_factory.mktemp("secured"))) as broker:
        asyncio.run(broker.make_topics())
        yield broker


@pytest.fixture
def own_secured_broker(tmp_path: Path) -> Iterator[SecuredBroker]:
    """Yield a broker of the test's own with TLS, SASL and ACLs, without topics."""
    with child.running(SecuredBroker(tmp_path / "kafka")) as broker:
        yield broker


@pytest.fixture
def pipe(kafka: str, tmp_path: Path) -> Iterator[Pipe]:
    """Yield a spool and a forwarder to the topics."""
    with contextlib.closing(Pipe(kafka, tmp_path / "spool")) as made:
        yield made


@pytest.fixture
def group() -> str:
    """Return the name of a consumer group that no other test has."""
    return f"test-{secrets.token_hex(4)}"
