"""`topics apply` makes the cluster match the declaration, and may be run again."""

import asyncio
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from support.processes.ingress import until

from ops.demo.embedded import child
from ops.demo.embedded.kafka import EmbeddedKafka
from ops.topics import ClusterRefused, apply_topics
from schemas.topics import CALLBACKS, DEAD_LETTERS


async def test_topics_are_created_then_kept(empty_kafka: EmbeddedKafka) -> None:
    """The second run only sets the configuration."""
    done = await apply_topics(empty_kafka.address, body_bytes_max=1 << 20, replicas=1)
    assert done == [
        "tim.callbacks.v1: configuration set",
        "tim.callbacks.dead.v1: configuration set",
        "tim.callbacks.dead.actions.v1: configuration set",
    ]


async def test_a_topic_that_the_broker_created_by_itself_gets_its_partitions(
    tmp_path: Path,
) -> None:
    """Brokers do so by default, with one partition, if a client asks for the topic first."""
    kafka = EmbeddedKafka(tmp_path)
    properties = tmp_path / "server.properties"
    properties.write_text(
        properties.read_text().replace(
            "auto.create.topics.enable=false", "auto.create.topics.enable=true"
        )
    )
    with child.running(kafka):
        async with AIOKafkaConsumer(DEAD_LETTERS.name, bootstrap_servers=kafka.address):
            pass
        done = await apply_topics(kafka.address, body_bytes_max=1 << 20, replicas=1)
        assert done == [
            "tim.callbacks.v1: created with 6 partitions",
            "tim.callbacks.dead.v1: configuration set",
            "tim.callbacks.dead.actions.v1: created with 1 partitions",
        ]
        async with AIOKafkaConsumer(CALLBACKS.name, bootstrap_servers=kafka.address) as reader:
            assert len(reader.assignment()) == CALLBACKS.partitions


async def test_the_operators_own_configuration_of_a_topic_stays(empty_kafka: EmbeddedKafka) -> None:
    """For example flush.messages on a single broker."""
    admin = AIOKafkaAdminClient(bootstrap_servers=empty_kafka.address)
    await admin.start()
    topic = ConfigResource(ConfigResourceType.TOPIC, CALLBACKS.name, {"flush.messages": "1"})

    async def is_set() -> bool:
        (response,) = await admin.describe_configs([topic])
        (resource,) = response.to_object()["resources"]
        return [entry["config_value"] for entry in resource["config_entries"]] == ["1"]

    await admin.alter_configs([topic])
    # The broker answers before it shows the new value.
    await until(is_set, "the broker shows the operator's setting")
    await apply_topics(empty_kafka.address, body_bytes_max=1 << 20, replicas=1)
    assert await is_set()
    await admin.close()


async def test_the_error_has_the_clusters_reason(empty_kafka: EmbeddedKafka) -> None:
    """In Kafka's own words."""
    with pytest.raises(ClusterRefused, match=r"max\.message\.bytes"):
        await apply_topics(empty_kafka.address, body_bytes_max=1 << 40, replicas=1)


async def test_without_kafka_the_error_names_the_address() -> None:
    """It is not a traceback."""
    async with asyncio.timeout(180):
        with pytest.raises(ClusterRefused, match=r"127\.0\.0\.1:1"):
            await apply_topics("127.0.0.1:1", body_bytes_max=1 << 20, replicas=1, wait_s=0)
