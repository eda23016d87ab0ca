"""Create a target's retry topic, with the partitions and replicas of the main topic."""

import asyncio
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    KafkaError,
    TopicAlreadyExistsError,
    UnknownTopicOrPartitionError,
    for_code,
)

from consumers.runtime.handler import Stopped
from schemas.client_parts import inner_client
from schemas.clients import check_cancellation, started
from schemas.kafka_access import KafkaAccess
from schemas.kafka_denials import check_denial
from schemas.kafka_names import KafkaName
from schemas.missing_topics import unknown_topics_checked
from schemas.topics import CALLBACKS, EXTENDED_RECORD_BYTES_LIMIT

SETUP_TIMEOUT_S = 15.0
DESCRIBE_INTERVAL_S = 0.1
# Kafka compacts closed segments only. A member reads the whole partition when it claims it, so
# segments are small, and few superseded records are kept.
_CONFIGS = {
    "cleanup.policy": "compact",
    "segment.bytes": str(8 << 20),
    "segment.ms": str(3600 * 1000),
    "min.cleanable.dirty.ratio": "0.1",
    "message.timestamp.type": "LogAppendTime",
    "max.message.bytes": str(EXTENDED_RECORD_BYTES_LIMIT),
}


async def ensure_topic(kafka: KafkaAccess, name: str) -> int:
    """
    Create the topic `name`, or add the partitions that it lacks; return how many it has.

    Raises:
        KafkaError, TimeoutError: Kafka does not answer, or refuses.
        Stopped: the topic exists, but Kafka does not keep the last record of each key in it.
    """
    topic, main_topic = kafka.topic(name), kafka.topic(CALLBACKS.name)
    admin = AIOKafkaAdminClient(**kafka.options())
    async with started(admin, SETUP_TIMEOUT_S, kafka), asyncio.timeout(SETUP_TIMEOUT_S):
        async with unknown_topics_checked(inner_client(admin), [main_topic]):
            main = await _partitions(admin, main_topic)
        replicas = len(main[0]["replicas"])
        # Create before describing: a broker may create a described topic by itself.
        created: Any = await admin.create_topics(
            [NewTopic(topic, len(main), replicas, topic_configs=_CONFIGS)]
        )
        _check_created(created.to_object()["topic_errors"], topic, main_topic)
        partitions = await _partitions_of_new(admin, topic)
        if len(partitions) < len(main):
            # Of this call, aiokafka raises the errors in the answer by itself.
            await admin.create_partitions({topic: NewPartitions(len(main))})
        policy = await _cleanup_policy(admin, topic)
    if policy != "compact":
        raise Stopped(
            f"The topic {topic} has cleanup.policy={policy}, so Kafka would delete callbacks that "
            "wait in it. Set cleanup.policy=compact, then start the process again."
        )
    return max(len(main), len(partitions))


async def _partitions_of_new(admin: AIOKafkaAdminClient, topic: KafkaName) -> list[Any]:
    """Return the partitions; a broker may know a topic only some time after it was created."""
    while True:
        check_cancellation()
        try:
            return await _partitions(admin, topic)
        except UnknownTopicOrPartitionError:
            await asyncio.sleep(DESCRIBE_INTERVAL_S)


async def _partitions(admin: AIOKafkaAdminClient, topic: KafkaName) -> list[Any]:
    (described,) = await admin.describe_topics([topic])
    if described["error_code"]:
        check_denial(described["error_code"], topic)
        raise for_code(described["error_code"])(f"the topic {topic} cannot be described now")
    partitions: list[Any] = described["partitions"]
    return partitions


async def _cleanup_policy(admin: AIOKafkaAdminClient, topic: KafkaName) -> str:
    (response,) = await admin.describe_configs(
        [ConfigResource(ConfigResourceType.TOPIC, topic, {"cleanup.policy": ""})]
    )
    (resource,) = response.to_object()["resources"]
    check_denial(resource["error_code"], topic)
    for entry in resource["config_entries"]:
        if entry["config_names"] == "cleanup.policy":
            return str(entry["config_value"])
    raise KafkaError(f"Kafka does not report the cleanup.policy of the topic {topic}")


def _check_created(errors: list[Any], topic: KafkaName, main_topic: KafkaName) -> None:
    for each in errors:
        code = each["error_code"]
        check_denial(code, topic)
        if code and code != TopicAlreadyExistsError.errno:
            raise KafkaError(
                f"Kafka refuses to create the topic {topic}: {for_code(code).__name__}: "
                f"{each.get('error_message')}. Create it with the partitions of {main_topic} "
                "and cleanup.policy=compact"
            )
