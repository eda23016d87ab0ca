"""`hookline topics`: make the cluster's topics what schemas/topics.py declares."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import Any

import click
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import (
    InvalidReplicationFactorError,
    KafkaError,
    TopicAlreadyExistsError,
    for_code,
)

from ops.failure import Failure
from ops.terminal import bootstrap_option, bounded, echo, run, waiting
from schemas.clients import started
from schemas.settings import BODY_BYTES_LIMIT, Shared
from schemas.topics import TOPICS, Topic

# Kafka's DescribeConfigs: the source DYNAMIC_TOPIC_CONFIG.
_SET_ON_THE_TOPIC = 1
ATTEMPT_TIMEOUT_S = 30.0
RETRY_INTERVAL_S = 0.5


class ClusterRefused(Failure):
    """The cluster refused a change, or is not reachable; the text names the reason."""


class ClusterNotReady(ClusterRefused):
    """The cluster may accept the change soon: it is not reachable, or brokers are still joining."""


@click.group()
def topics() -> None:
    """Create and configure the Kafka topics."""


@topics.command("apply")
@bootstrap_option
@click.option(
    "--body-bytes-max",
    default=Shared().body_bytes_max,
    show_default=True,
    envvar="HOOKLINE_BODY_BYTES_MAX",
    show_envvar=True,
    help="The largest body that the ingress accepts; sets max.message.bytes.",
)
@click.option("--replicas", default=1, show_default=True, help="Replication factor of new topics.")
@click.option(
    "--config",
    "configs",
    multiple=True,
    metavar="NAME=VALUE",
    help="Another topic configuration, by Kafka's name. May be repeated.",
)
@click.option(
    "--wait", "wait_s", default=30.0, show_default=True, help="Seconds to wait until Kafka is up."
)
def topics_apply(
    *, kafka: str, body_bytes_max: int, replicas: int, configs: tuple[str, ...], wait_s: float
) -> None:
    """
    Create the topics, or set their configuration. Safe to run again.

    A single broker whose machine loses power loses the records that it acknowledged last. With
    --config flush.messages=1 it does not, but is slower.
    """
    if unclear := [config for config in configs if "=" not in config]:
        raise click.BadParameter(f"{unclear[0]} is not NAME=VALUE", param_hint="--config")
    bounded("--body-bytes-max", body_bytes_max, 1024, BODY_BYTES_LIMIT)
    bounded("--replicas", replicas, 1, 100)
    with waiting(f"asking Kafka at {kafka}"):
        changes = run(
            apply_topics(
                kafka,
                body_bytes_max=body_bytes_max,
                replicas=replicas,
                wait_s=wait_s,
                more_configs=dict(config.split("=", 1) for config in configs),
            )
        )
    for change in changes:
        echo(change)


async def apply_topics(
    bootstrap_servers: str,
    *,
    body_bytes_max: int,
    replicas: int,
    wait_s: float = 30.0,
    more_configs: Mapping[str, str] = MappingProxyType({}),
) -> list[str]:
    """
    Create missing topics, add partitions, set configurations; return a line for each change.

    `more_configs` are topic configurations by Kafka's names; they override ours.

    Partitions are never removed: Kafka cannot, and the archive's chains would break. Other
    configurations that an operator has set stay. Waits up to `wait_s` for a cluster that starts.

    Raises:
        ClusterRefused: Kafka is not reachable, or refused a change.
    """
    deadline = time.monotonic() + wait_s
    while True:
        try:
            return await _apply(bootstrap_servers, body_bytes_max, replicas, more_configs)
        except ClusterNotReady:
            if time.monotonic() > deadline:
                raise
        await asyncio.sleep(RETRY_INTERVAL_S)


async def _apply(
    bootstrap_servers: str, body_bytes_max: int, replicas: int, more_configs: Mapping[str, str]
) -> list[str]:
    async with _admin(bootstrap_servers) as admin:
        changes = []
        for topic in TOPICS:
            configs = {**topic.configs(body_bytes_max=body_bytes_max), **more_configs}
            # Create before describing: a broker may create a described topic, with one partition.
            new = NewTopic(topic.name, topic.partitions, replicas, topic_configs=configs)
            response = await admin.create_topics([new])
            if not _already_there(response):
                _check(response)
                changes.append(f"{topic.name}: created with {topic.partitions} partitions")
                continue
            changes.extend([line async for line in _grow(admin, topic)])
            current = await _current_configs(admin, topic)
            resource = ConfigResource(ConfigResourceType.TOPIC, topic.name, current | configs)
            for response in await admin.alter_configs([resource]):
                _check(response)
            changes.append(f"{topic.name}: configuration set")
    return changes


async def _current_configs(admin: AIOKafkaAdminClient, topic: Topic) -> dict[str, str]:
    # AlterConfigs resets every configuration that the request lacks, even one that an operator set.
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
    (description,) = await admin.describe_topics([topic.name])
    if description["error_code"]:
        # A broker may report a topic as existing before it can describe it.
        raise ClusterNotReady(
            f"Kafka cannot describe {topic.name} yet: {for_code(description['error_code'])}"
        )
    partitions = len(description["partitions"])
    if partitions < topic.partitions:
        _check(await admin.create_partitions({topic.name: NewPartitions(topic.partitions)}))
        yield f"{topic.name}: {partitions} partitions became {topic.partitions}"
    if partitions > topic.partitions:
        yield f"{topic.name}: has {partitions} partitions, {topic.partitions} are declared; kept"


@asynccontextmanager
async def _admin(bootstrap_servers: str) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    try:
        async with started(admin, ATTEMPT_TIMEOUT_S), asyncio.timeout(ATTEMPT_TIMEOUT_S):
            yield admin
    except (KafkaError, TimeoutError, OSError) as error:
        raise ClusterNotReady(f"Kafka at {bootstrap_servers} does not answer: {error!r}") from error


def _check(response: Any) -> None:
    for code, message in _errors(response):
        if code:
            error = for_code(code)
            kind = (
                ClusterNotReady
                if error.retriable or error is InvalidReplicationFactorError
                else ClusterRefused
            )
            raise kind(f"Kafka refused: {error.__name__}: {message}")


def _already_there(response: Any) -> bool:
    return [code for code, _ in _errors(response)] == [TopicAlreadyExistsError.errno]


def _errors(response: Any) -> Iterator[tuple[int, str]]:
    answer = response.to_object()
    for result in (*answer.get("topic_errors", ()), *answer.get("resources", ())):
        subject = result.get("topic") or result.get("resource_name")
        yield result["error_code"], result.get("error_message") or subject
