"""Create the topic with the record of the ACLs, or check that it keeps the record."""

from collections.abc import Collection
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from ops.acls.record import RECORD_CONFIGS, RECORD_TOPIC, TIMEOUT_S
from ops.acls.requests import AclsRefused
from ops.topic_answers import already_there, check_answer
from schemas.clients import started
from schemas.kafka_access import KafkaAccess
from schemas.kafka_names import KafkaName
from schemas.topics import CALLBACKS

_POLICY = "cleanup.policy"


async def ensure_record_topic(kafka: KafkaAccess, replicas: int) -> None:
    """
    Create the topic, with the replicas of the main topic, or `replicas` if there is none.

    Raises:
        AclsRefused: the topic exists, but Kafka would delete notes in it.
        ClusterRefused: Kafka refuses to create it.
        KafkaError, TimeoutError: Kafka does not answer, or does not authorize it.
    """
    name = kafka.topic(RECORD_TOPIC)
    async with started(AIOKafkaAdminClient(**kafka.options()), TIMEOUT_S, kafka) as admin:
        topics: list[dict[str, Any]] = await admin.describe_topics()
        number = replicas_for(kafka.topic(CALLBACKS.name), topics, replicas)
        new = NewTopic(name, 1, number, topic_configs=RECORD_CONFIGS)
        answer = await admin.create_topics([new])
        if not already_there(answer):
            check_answer(answer)
            return
        (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
        check_answer(answer)
    (resource,) = answer.to_object()["resources"]
    configs = {each["config_names"]: each["config_value"] for each in resource["config_entries"]}
    if (policy := configs.get(_POLICY)) != RECORD_CONFIGS[_POLICY]:
        raise AclsRefused(
            f"the topic {name} has {_POLICY}={policy}, so Kafka would delete notes of which"
            f" ACLs were made; no ACL was changed. Set {_POLICY}={RECORD_CONFIGS[_POLICY]} by"
            " kafka-configs.sh, then run the command again"
        )


def replicas_for(name: KafkaName, topics: Collection[dict[str, Any]], otherwise: int) -> int:
    """Return how many replicas the topic `name` has, `otherwise` if it is not among `topics`."""
    for topic in topics:
        if topic["topic"] == name and topic["partitions"]:
            return len(topic["partitions"][0]["replicas"])
    return otherwise
