"""Run Kafka in a container, for TEST_KAFKA=container."""

import contextlib
import gc
import warnings
from collections.abc import Iterator

from docker.client import DockerClient
from docker.errors import DockerException, ImageNotFound
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

from ops.demo.embedded.child import free_port

IMAGE = "apache/kafka:4.3.1"


class NoContainer(Exception):
    """The container cannot be started; the text says why and what to do."""


def find_image() -> None:
    """
    Return if a Docker engine runs and has the image, or can pull it.

    Raises:
        NoContainer: no engine runs, or it has no image and cannot pull one.
    """
    with warnings.catch_warnings():
        # If no engine listens, the Docker client leaves a socket open, which raises a warning.
        warnings.simplefilter("ignore", ResourceWarning)
        try:
            _find_image()
        finally:
            gc.collect()


def _find_image() -> None:
    otherwise = "or unset TEST_KAFKA to test on the embedded broker"
    try:
        engine = DockerClient.from_env(timeout=180)
        engine.ping()
    except DockerException as reason:
        raise NoContainer(f"no Docker engine answers ({reason}). Start one, {otherwise}") from None
    with contextlib.closing(engine):
        try:
            engine.images.get(IMAGE)
        except ImageNotFound:
            try:
                engine.images.pull(IMAGE)
            except DockerException as reason:
                raise NoContainer(
                    f"the Docker engine does not have the image {IMAGE} and cannot pull it "
                    f"({reason}). Load the image, {otherwise}"
                ) from None


@contextlib.contextmanager
def kafka_container() -> Iterator[str]:
    """Yield the address of a broker in a container."""
    # Ryuk removes the containers of a killed run, but is another image that must be pulled.
    testcontainers_config.ryuk_disabled = True
    # A broker advertises its address, so the host's port is chosen before the broker starts.
    port = free_port()
    container = DockerContainer(IMAGE).with_bind_ports(9092, port)
    for name, value in {
        "KAFKA_NODE_ID": "1",
        "KAFKA_PROCESS_ROLES": "broker,controller",
        "KAFKA_CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "KAFKA_LISTENERS": "HOST://:9092,INSIDE://:9094,CONTROLLER://:9093",
        "KAFKA_ADVERTISED_LISTENERS": f"HOST://127.0.0.1:{port},INSIDE://localhost:9094",
        "KAFKA_LISTENER_SECURITY_PROTOCOL_MAP": (
            "HOST:PLAINTEXT,INSIDE:PLAINTEXT,CONTROLLER:PLAINTEXT"
        ),
        "KAFKA_INTER_BROKER_LISTENER_NAME": "INSIDE",
        "KAFKA_CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "KAFKA_TRANSACTION_STATE_LOG_MIN_ISR": "1",
        "KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
    }.items():
        container.with_env(name, value)
    container.waiting_for(LogMessageWaitStrategy("Kafka Server started").with_startup_timeout(90))
    with container:
        yield f"127.0.0.1:{port}"
