"""An embedded broker for all subscribers that a process tests."""

from collections.abc import Iterator

import pytest
from support.kafka.access import plaintext
from support.kafka.broker import FEW_THREADS, session
from support.kafka.quick_start import prepare
from support.processes.consumer import remove_topics_and_groups
from support.subscribers.program import missing_tools

from ops.demo.embedded import child
from ops.demo.embedded.kafka import EmbeddedKafka
from ops.topic_changes import apply_topics


def pytest_configure() -> None:
    """End the run with one error if a language cannot be tested."""
    if missing := missing_tools():
        raise pytest.UsageError(
            "the subscribers cannot be tested, because these programs are not on the PATH: "
            + ", ".join(missing)
        )


@pytest.fixture(scope="package")
def shared_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedKafka]:
    """Yield an embedded broker for all tests of this process."""
    prepare()
    kafka = EmbeddedKafka(tmp_path_factory.mktemp("kafka"), properties=session() + FEW_THREADS)
    with child.running(kafka):
        yield kafka


@pytest.fixture
async def kafka(shared_kafka: EmbeddedKafka) -> str:
    """Return the address of a broker with new topics and without groups."""
    await remove_topics_and_groups(shared_kafka.address)
    await apply_topics(plaintext(shared_kafka.address), body_bytes_max=1 << 20, replicas=1)
    return shared_kafka.address
