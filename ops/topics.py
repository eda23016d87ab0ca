"""Make the cluster's topics what schemas/topics.py declares."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    InvalidReplicationFactorError,
    KafkaError,
    TopicAlreadyExistsError,
    for_code,
)

from schemas.clients import started
from schemas.topics import TOPICS, Topic

# Kafka's DescribeConfigs: the source DYNAMIC_TOPIC_CONFIG.
_SET_ON_THE_TOPIC = 1


ATTEMPT_S_MAX = 30.0
RETRY_S = 0.5


class Refused(Exception):
    """The cluster does not do what was asked; the text says what."""


class NotYet(Refused):
    """The cluster may do it in a moment: it is not reachable, or its brokers are still joining."""


async def apply_topics(
    bootstrap_servers: str,
    *,
    body_bytes_max: int,
    replicas: int,
    wait_s: float = 30.0,
    more_configs: Mapping[str, str] = MappingProxyType({}),
) -> list[str]:
    """
    Create what is missing, add partitions, set configurations; return what was done, a line each.

    `more_configs`: topic configurations by Kafka's names, beside ours or in their place.

    Partitions are never taken away: Kafka cannot, and the archive's chains would break. What an
    operator set beside ours stays. A cluster that is starting is waited for, up to `wait_s`.

    Raises:
        Refused: Kafka is not there, or refused a change.
    """
    deadline = time.monotonic() + wait_s
    while True:
        try:
            return await _apply(bootstrap_servers, body_bytes_max, replicas, more_configs)
        except NotYet:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(RETRY_S)


async def _apply(
    bootstrap_servers: str, body_bytes_max: int, replicas: int, more_configs: Mapping[str, str]
) -> list[str]:
    async with _admin(bootstrap_servers) as admin:
        done = []
        for topic in TOPICS:
            configs = {**topic.configs(body_bytes_max=body_bytes_max), **more_configs}
            # Asked for before it exists, a broker may make a topic by itself, with one partition.
            new = NewTopic(topic.name, topic.partitions, replicas, topic_configs=configs)
            response = await admin.create_topics([new])
            if not _already_there(response):
                _check(response)
                done.append(f"{topic.name}: created with {topic.partitions} partitions")
                continue
            done.extend([line async for line in _grow(admin, topic)])
            present = await _present_configs(admin, topic)
            resource = ConfigResource(ConfigResourceType.TOPIC, topic.name, present | configs)
            for response in await admin.alter_configs([resource]):
                _check(response)
            done.append(f"{topic.name}: configuration set")
    return done


async def _present_configs(admin: AIOKafkaAdminClient, topic: Topic) -> dict[str, str]:
    # Kafka's AlterConfigs sets back what it is not given; an operator's own settings stay.
    (response,) = await admin.describe_configs(
        [ConfigResource(ConfigResourceType.TOPIC, topic.name)]
    )
    _check(response)
    return {
        entry["config_names"]: entry["config_value"]
        for resource in response.to_object()["resources"]
        for entry in resource["config_entries"]
        if entry["config_source"] == _SET_ON_THE_TOPIC
    }


async def _grow(admin: AIOKafkaAdminClient, topic: Topic) -> AsyncIterator[str]:
    (found,) = await admin.describe_topics([topic.name])
    if found["error_code"]:
        # A broker may know a new topic a moment before it tells of it.
        raise NotYet(f"Kafka does not tell of {topic.name}: {for_code(found['error_code'])}")
    partitions = len(found["partitions"])
    if partitions < topic.partitions:
        _check(await admin.create_partitions({topic.name: NewPartitions(topic.partitions)}))
        yield f"{topic.name}: {partitions} partitions became {topic.partitions}"
    if partitions > topic.partitions:
        yield f"{topic.name}: has {partitions} partitions, {topic.partitions} are declared; kept"


@asynccontextmanager
async def _admin(bootstrap_servers: str) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    try:
        async with started(admin, ATTEMPT_S_MAX), asyncio.timeout(ATTEMPT_S_MAX):
            yield admin
    except (KafkaError, TimeoutError, OSError) as error:
        raise NotYet(f"Kafka at {bootstrap_servers}: {error!r}") from error


def _check(response: Any) -> None:
    for code, message in _errors(response):
        if code:
            error = for_code(code)
            kind = NotYet if error.retriable or error is InvalidReplicationFactorError else Refused
            raise kind(f"Kafka refused: {error.__name__}: {message}")


def _already_there(response: Any) -> bool:
    return [code for code, _ in _errors(response)] == [TopicAlreadyExistsError.errno]


def _errors(response: Any) -> Iterator[tuple[int, str]]:
    answer = response.to_object()
    for result in (*answer.get("topic_errors", ()), *answer.get("resources", ())):
        subject = result.get("topic") or result.get("resource_name")
        yield result["error_code"], result.get("error_message") or subject
