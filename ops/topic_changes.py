"""Create the cluster's topics, and change those that exist as far as that was asked for."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, for_code

from ops.failure import Failure
from ops.nouns import counted
from ops.topic_answers import ClusterNotReady, ClusterRefused, already_there, check_answer
from ops.topic_plan import ExistingTopic, WantedTopic
from schemas.clients import check_cancellation, started
from schemas.kafka_access import KafkaAccess
from schemas.kafka_denials import check_denial
from schemas.kafka_names import KafkaName
from schemas.kafka_outage import NotAuthorized, outage_text
from schemas.topics import TOPICS

# Kafka's DescribeConfigs: the source DYNAMIC_TOPIC_CONFIG.
_SET_ON_THE_TOPIC = 1
ATTEMPT_TIMEOUT_S = 30.0
RETRY_INTERVAL_S = 0.5


class ChangeNotAllowed(Failure):
    """A change removes records or partitions; no topic that exists was changed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mode:
    """How far changes may go. With `is_dry_run` and `creates_only` no existing topic is changed."""

    creates_only: bool = False
    is_dry_run: bool = False
    allows_record_deletion: bool = False


async def apply_topics(
    kafka: KafkaAccess,
    *,
    body_bytes_max: int,
    replicas: int,
    wait_s: float = 30.0,
    more_configs: Mapping[str, str] = MappingProxyType({}),
) -> list[str]:
    """Apply what schemas/topics.py declares; see `apply_wanted`."""
    wanted = [
        WantedTopic(topic=topic, body_bytes_max=body_bytes_max, configs=more_configs)
        for topic in TOPICS
    ]
    return await apply_wanted(kafka, wanted, Mode(), replicas=replicas, wait_s=wait_s)


async def apply_wanted(
    kafka: KafkaAccess,
    wanted: Sequence[WantedTopic],
    mode: Mode,
    *,
    replicas: int,
    wait_s: float,
    check: Callable[[Collection[str]], None] | None = None,
) -> list[str]:
    """
    Create missing topics, then change the others; return a line for each topic or change.

    Waits up to `wait_s` for a cluster that starts. If `check` raises an exception for the names of
    the cluster's topics, nothing is changed.

    Raises:
        ClusterRefused: Kafka is not reachable, or refused a change.
        ChangeNotAllowed: a change removes records or partitions; missing topics were created.
    """
    deadline = time.monotonic() + wait_s
    lines: list[str] = []
    while True:
        check_cancellation()
        try:
            if check:
                async with _admin(kafka) as admin:
                    check(await _known(admin))
            await _apply(kafka, wanted, mode, replicas, lines)
        except ClusterNotReady:
            if time.monotonic() > deadline:
                raise
        else:
            return lines
        await asyncio.sleep(RETRY_INTERVAL_S)


async def _apply(
    kafka: KafkaAccess,
    wanted: Sequence[WantedTopic],
    mode: Mode,
    replicas: int,
    lines: list[str],
) -> None:
    async with _admin(kafka) as admin:
        known = await _known(admin) if mode.is_dry_run else set()
        existing = []
        for each in wanted:
            name, partitions = kafka.topic(each.topic.name), each.new_partitions
            if mode.is_dry_run and name not in known:
                lines.append(f"{name}: would be created with {counted(partitions, 'partition')}")
            elif mode.is_dry_run or not await _create(admin, name, each, replicas):
                if each.is_of_others:
                    lines.append(f"{name}: exists; it is another team's, and stays as it is")
                else:
                    existing.append(await _existing(admin, name, each))
            else:
                lines.append(f"{name}: created with {counted(partitions, 'partition')}")
        changes_nothing = mode.is_dry_run or mode.creates_only
        if not mode.creates_only:
            _check_allowed(existing, mode)
        for topic in existing:
            changes = list(topic.lines())
            if not changes:
                lines.append(f"{topic.name}: nothing to change")
            elif changes_nothing:
                lines += (f"{line} (not changed)" for line in changes)
            else:
                await _change(admin, topic)
                lines += changes
        if mode.creates_only and any(each.changes or each.added_partitions for each in existing):
            lines.append("an existing topic is changed only by: hookline topics apply")


def _check_allowed(existing: Sequence[ExistingTopic], mode: Mode) -> None:
    refused = [
        f"{each.name} has {counted(each.partitions, 'partition')}, and Kafka cannot remove any;"
        f" give {each.partitions} or more"
        for each in existing
        if each.added_partitions < 0
    ]
    if not mode.allows_record_deletion:
        refused += (line for each in existing for line in each.refusals())
    if refused:
        raise ChangeNotAllowed(f"no existing topic was changed: {'; '.join(refused)}")


async def _known(admin: AIOKafkaAdminClient) -> set[str]:
    # Describe all topics: a broker may create a topic that is described by its name.
    return {topic["topic"] for topic in await admin.describe_topics()}


async def _create(
    admin: AIOKafkaAdminClient, name: KafkaName, wanted: WantedTopic, replicas: int
) -> bool:
    """Create a topic, and return True; return False if it exists."""
    # Create before describing: a broker may create a described topic, with one partition.
    new = NewTopic(name, wanted.new_partitions, replicas, topic_configs=wanted.new_configs())
    response = await admin.create_topics([new])
    if already_there(response):
        return False
    check_answer(response)
    return True


async def _existing(
    admin: AIOKafkaAdminClient, name: KafkaName, wanted: WantedTopic
) -> ExistingTopic:
    (description,) = await admin.describe_topics([name])
    check_denial(description["error_code"], name)
    if description["error_code"]:
        # A broker may report a topic as existing before it can describe it.
        raise ClusterNotReady(
            f"Kafka cannot describe {name} yet: {for_code(description['error_code'])}"
        )
    (response,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
    check_answer(response)
    entries = [
        entry
        for resource in response.to_object()["resources"]
        for entry in resource["config_entries"]
    ]
    return ExistingTopic(
        name=name,
        wanted=wanted,
        partitions=len(description["partitions"]),
        configs={entry["config_names"]: entry["config_value"] for entry in entries},
        own_configs={
            entry["config_names"]: entry["config_value"]
            for entry in entries
            if entry["config_source"] == _SET_ON_THE_TOPIC
        },
    )


async def _change(admin: AIOKafkaAdminClient, topic: ExistingTopic) -> None:
    if topic.added_partitions:
        total = topic.partitions + topic.added_partitions
        check_answer(await admin.create_partitions({topic.name: NewPartitions(total)}))
    if topic.changes:
        # AlterConfigs resets every configuration that the request lacks, also an operator's.
        configs = {**topic.own_configs, **topic.changes}
        resource = ConfigResource(ConfigResourceType.TOPIC, topic.name, configs)
        for response in await admin.alter_configs([resource]):
            check_answer(response)


@asynccontextmanager
async def _admin(kafka: KafkaAccess) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(**kafka.options())
    try:
        async with started(admin, ATTEMPT_TIMEOUT_S, kafka), asyncio.timeout(ATTEMPT_TIMEOUT_S):
            yield admin
    except NotAuthorized as error:
        raise ClusterRefused(str(error)) from error
    except (KafkaError, TimeoutError, OSError) as error:
        raise ClusterNotReady(outage_text(kafka, error)) from error
