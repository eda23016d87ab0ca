"""`topics apply` makes the cluster match the declaration, and may be run again."""

import asyncio
import os
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from support.kafka.access import plaintext
from support.kafka.admin import admin_client
from support.processes.command import run_hookline
from support.processes.ingress import until

from ops.demo.embedded import child
from ops.demo.embedded.kafka import EmbeddedKafka
from ops.topic_answers import ClusterRefused
from ops.topic_changes import apply_topics
from schemas.topics import ACTIONS, CALLBACKS, DEAD_LETTERS


async def test_topics_are_created_then_kept(empty_kafka: EmbeddedKafka) -> None:
    """The second run finds nothing to change."""
    done = await apply_topics(plaintext(empty_kafka.address), body_bytes_max=1 << 20, replicas=1)
    assert done == [
        "tim.callbacks.v1: nothing to change",
        "tim.callbacks.dead.v1: nothing to change",
        "tim.callbacks.dead.actions.v1: nothing to change",
    ]


async def settings_of(kafka: EmbeddedKafka, name: str) -> dict[str, str]:
    """Return partitions and configuration of a topic."""
    async with admin_client(kafka.address) as admin:
        (topic,) = await admin.describe_topics([name])
        (response,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
    (resource,) = response.to_object()["resources"]
    configs = {entry["config_names"]: entry["config_value"] for entry in resource["config_entries"]}
    return configs | {"partitions": str(len(topic["partitions"]))}


async def hookline(kafka: EmbeddedKafka, *arguments: str, **env: str) -> tuple[int, list[str]]:
    """Run `hookline topics apply`; return its exit code and its lines."""
    command = ("topics", "apply", "--kafka", kafka.address, *arguments)
    run = await asyncio.to_thread(run_hookline, *command, env=os.environ | env, is_merged=True)
    return run.returncode, run.stdout.splitlines()


async def test_an_existing_topic_changes_only_as_it_is_told(own_kafka: EmbeddedKafka) -> None:
    """Retention and partitions stay; each change is printed; what deletes records is refused."""
    name, dead = CALLBACKS.name, DEAD_LETTERS.name
    told = {"TOPICS_CALLBACKS_RETENTION_DAYS": "14"}
    longer = f"{name}: retention.ms 604800000 (7 days) -> 1209600000 (14 days)"
    before = await settings_of(own_kafka, name)
    for option in ("--dry-run", "--create-only"):
        code, lines = await hookline(own_kafka, option, **told)
        assert (code, lines[:1]) == (0, [f"{longer} (not changed)"])
        assert await settings_of(own_kafka, name) == before
    code, lines = await hookline(own_kafka, **told)
    unchanged = [f"{dead}: nothing to change", f"{ACTIONS.name}: nothing to change"]
    assert (code, lines) == (0, [longer, *unchanged])
    await until_settings(own_kafka, name, {"retention.ms": "1209600000"})
    # docker compose up, and a person who gives nothing, leave it as it is.
    for options in (("--create-only",), ()):
        assert await hookline(own_kafka, *options) == (
            0,
            [f"{name}: nothing to change", *unchanged],
        )
    for shorter in (
        ("--callbacks-retention-days", "7"),
        ("--callbacks-config", "retention.bytes=1000000"),
        ("--callbacks-config", "cleanup.policy=compact"),
        ("--callbacks-partitions", "5"),
        ("--dead-letters-retention-days", "3", "--callbacks-partitions", "8"),
    ):
        code, lines = await hookline(own_kafka, *shorter)
        assert code == 2
        assert "no existing topic was changed: " in lines[-1]
    assert (await settings_of(own_kafka, name))["partitions"] == "6"
    code, lines = await hookline(
        own_kafka,
        *("--callbacks-retention-days", "7", "--allow-record-deletion"),
        *("--callbacks-partitions", "8", "--dead-letters-config", "segment.ms=3600000"),
    )
    assert code == 0
    assert f"{name}: partitions 6 -> 8; keys move: " in lines[0]
    assert lines[1] == f"{name}: retention.ms 1209600000 (14 days) -> 604800000 (7 days)"
    assert lines[2:] == [f"{dead}: segment.ms 604800000 -> 3600000", unchanged[1]]
    await until_settings(own_kafka, name, {"retention.ms": "604800000", "partitions": "8"})
    assert (await settings_of(own_kafka, name))["segment.ms"] == "604800000"


async def until_settings(kafka: EmbeddedKafka, name: str, expected: dict[str, str]) -> None:
    """Return when the broker shows these settings; it answers a change before it does."""

    async def are_set() -> bool:
        return expected.items() <= (await settings_of(kafka, name)).items()

    await until(are_set, f"the broker shows {expected}")


async def test_a_missing_topic_is_created_as_the_options_say(empty_kafka: EmbeddedKafka) -> None:
    """--create-only creates, and --dry-run does not."""
    async with admin_client(empty_kafka.address) as admin:
        await admin.delete_topics([DEAD_LETTERS.name])
    options = ("--dead-letters-partitions", "2", "--dead-letters-retention-days", "90")
    _, lines = await hookline(empty_kafka, "--dry-run", *options)
    assert f"{DEAD_LETTERS.name}: would be created with 2 partitions" in lines
    code, lines = await hookline(empty_kafka, "--create-only", *options)
    assert code == 0
    assert f"{DEAD_LETTERS.name}: created with 2 partitions" in lines
    expected = {"retention.ms": str(90 * 24 * 3600 * 1000), "partitions": "2"}
    await until_settings(empty_kafka, DEAD_LETTERS.name, expected)


async def test_a_topic_that_the_broker_created_by_itself_gets_its_partitions(
    tmp_path: Path,
) -> None:
    """Brokers do so by default, with one partition, if a client asks for the topic first."""
    kafka = EmbeddedKafka(tmp_path, properties="auto.create.topics.enable=true\n")
    with child.running(kafka):
        async with AIOKafkaConsumer(DEAD_LETTERS.name, bootstrap_servers=kafka.address):
            pass
        done = await apply_topics(plaintext(kafka.address), body_bytes_max=1 << 20, replicas=1)
        assert done == [
            "tim.callbacks.v1: created with 6 partitions",
            "tim.callbacks.dead.actions.v1: created with 1 partition",
            "tim.callbacks.dead.v1: max.message.bytes 1048588 -> 16908288",
            "tim.callbacks.dead.v1: message.timestamp.type CreateTime -> LogAppendTime",
        ]
        async with AIOKafkaConsumer(CALLBACKS.name, bootstrap_servers=kafka.address) as reader:
            assert len(reader.assignment()) == CALLBACKS.partitions


async def test_the_operators_own_configuration_of_a_topic_stays(empty_kafka: EmbeddedKafka) -> None:
    """For example flush.messages on a single broker."""
    topic = ConfigResource(ConfigResourceType.TOPIC, CALLBACKS.name, {"flush.messages": "1"})
    async with admin_client(empty_kafka.address) as admin:

        async def is_set() -> bool:
            (response,) = await admin.describe_configs([topic])
            (resource,) = response.to_object()["resources"]
            return [entry["config_value"] for entry in resource["config_entries"]] == ["1"]

        await admin.alter_configs([topic])
        # The broker answers before it shows the new value.
        await until(is_set, "the broker shows the operator's setting")
        await apply_topics(plaintext(empty_kafka.address), body_bytes_max=1 << 20, replicas=1)
        assert await is_set()


async def test_the_error_has_the_clusters_reason(empty_kafka: EmbeddedKafka) -> None:
    """In Kafka's own words."""
    with pytest.raises(ClusterRefused, match=r"max\.message\.bytes"):
        await apply_topics(plaintext(empty_kafka.address), body_bytes_max=1 << 40, replicas=1)


async def test_without_kafka_the_error_names_the_address() -> None:
    """It is not a traceback."""
    async with asyncio.timeout(180):
        with pytest.raises(ClusterRefused, match=r"127\.0\.0\.1:1"):
            await apply_topics(
                plaintext("127.0.0.1:1"), body_bytes_max=1 << 20, replicas=1, wait_s=0
            )
