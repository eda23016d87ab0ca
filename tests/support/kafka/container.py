"""Kafka in a container, where a Docker engine answers."""

import contextlib
import gc
import warnings
from collections.abc import Iterator

from docker.client import DockerClient
from docker.errors import DockerException, ImageNotFound
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

from ops.demo.embedded.child import free_port

IMAGE = "apache/kafka:4.3.1"


def image_is_there() -> bool:
    """Tell whether an engine answers and has the image, or can pull it."""
    with warnings.catch_warnings():
        # Where no engine answers, the client forgets the socket that it could not connect.
        warnings.simplefilter("ignore", ResourceWarning)
        found = _image_is_there()
        gc.collect()
    return found


def _image_is_there() -> bool:
    try:
        with contextlib.closing(DockerClient.from_env(timeout=120)) as engine:
            try:
                engine.images.get(IMAGE)
            except ImageNotFound:
                engine.images.pull(IMAGE)
    except DockerException:
        return False
    return True


@contextlib.contextmanager
def kafka_container() -> Iterator[str]:
    """Yield the address of a broker in a container."""
    # A broker advertises its address, so the port on this side is chosen before it starts.
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
