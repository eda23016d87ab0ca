"""
Ask Kafka what no process of the pipeline reports: retention, unread records, dead letters.

Only committed records count. Nothing is written, and no group is joined.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAuthorizationFailedError
from aiokafka.structs import OffsetAndMetadata

from consumers.stats.dead_letter_actions import READ_S_MAX, ActionFollower
from consumers.stats.dead_letter_counts import DeadLetters, count_dead_letters
from consumers.stats.first_unread import FirstUnread, first_unread
from consumers.stats.process_statuses import SilentProcess
from schemas.client_parts import inner_client
from schemas.clients import started
from schemas.kafka_access import KafkaAccess
from schemas.kafka_denials import DENIALS, check_denial, denial_of
from schemas.kafka_names import KafkaName
from schemas.kafka_outage import NotAuthorized, outage_text
from schemas.topic_ids import topic_id_of
from schemas.topics import ACTIONS, CALLBACKS, DEAD_LETTERS

log = logging.getLogger(__name__)

# Kafka must answer all questions in this time.
KAFKA_S_MAX = 2.5
# The first unread record of each partition of a group must come in this time.
UNREAD_S_MAX = 0.5
# A broker waits this long for records before it answers a fetch; it does not serve the next request
# of the connection meanwhile.
FETCH_WAIT_MS_MAX = 100
# A topic whose records are never deleted has this retention.
FOR_EVER_S = 100 * 365 * 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class KafkaFacts:
    """
    The state of both topics.

    `retention_s` is for how long Kafka keeps a callback, FOR_EVER_S if for ever.
    `callbacks_per_day` includes the ends of transactions, so it is too large where few callbacks
    come. `unread_since` is when the first unread record of a group was written, None if it has read
    all. It lacks groups that have committed no offset, and those for which no record came within
    UNREAD_S_MAX; of the groups in `may_be_unread_longer`, the records of some partitions did not
    come. `dead_letters` is a text if they cannot be counted: it says why. `denials` are the missing
    rights because of which `unread_since` is not complete.
    """

    partitions: int
    retention_s: float
    callbacks_per_day: float
    unread_since: Mapping[str, datetime | None] = field(default_factory=dict)
    may_be_unread_longer: Collection[str] = ()
    dead_letters: DeadLetters | str = ""
    denials: Sequence[str] = ()


async def ask_kafka(
    kafka: KafkaAccess, groups: Collection[str], follower: ActionFollower
) -> KafkaFacts | SilentProcess:
    """
    Return the state of the topics, and how far `groups` have read, within KAFKA_S_MAX.

    `follower` has the actions on dead letters that were read before, and gets the new ones.
    """
    try:
        async with asyncio.timeout(KAFKA_S_MAX), _clients(kafka) as (reader, admin):
            return await _facts(kafka, reader, admin, groups, follower)
    except NotAuthorized as error:
        return SilentProcess(because=_warn(str(error)))
    except TimeoutError:
        return SilentProcess(because=f"Kafka at {kafka} does not answer within {KAFKA_S_MAX:g} s")
    except KafkaError as error:
        return SilentProcess(because=outage_text(kafka, error))


# Kafka is asked again and again: each missing right is logged once.
@lru_cache(maxsize=100)
def _warn(denial: str) -> str:
    log.warning("the statistics lack a right, so a part of them is missing: %s", denial)
    return denial


@asynccontextmanager
async def _clients(
    kafka: KafkaAccess,
) -> AsyncIterator[tuple[AIOKafkaConsumer, AIOKafkaAdminClient]]:
    # Without a group, both close concurrently, also if Kafka does not answer.
    reader = AIOKafkaConsumer(
        **kafka.options(),
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        max_partition_fetch_bytes=1 << 20,
        fetch_max_wait_ms=FETCH_WAIT_MS_MAX,
    )
    admin = AIOKafkaAdminClient(**kafka.options())
    async with started(reader, KAFKA_S_MAX, kafka), started(admin, KAFKA_S_MAX, kafka):
        yield reader, admin


async def _facts(
    kafka: KafkaAccess,
    reader: AIOKafkaConsumer,
    admin: AIOKafkaAdminClient,
    groups: Collection[str],
    follower: ActionFollower,
) -> KafkaFacts:
    committed = await asyncio.gather(*(_committed(admin, kafka.group(name)) for name in groups))
    topic = kafka.topic(CALLBACKS.name)
    partitions = await find_partitions(reader, topic)
    ends = await reader.end_offsets(partitions)
    day_ago_ms = int((datetime.now(UTC).timestamp() - 86400) * 1000)
    then = await reader.offsets_for_times(dict.fromkeys(partitions, day_ago_ms))
    unread: dict[str, FirstUnread] = {}
    for group, offsets in zip(groups, committed, strict=True):
        if isinstance(offsets, str):
            continue
        positions = {
            partition: offsets[partition].offset
            for partition in partitions
            if partition in offsets and offsets[partition].offset >= 0
        }
        if positions:
            unread[group] = await first_unread(reader, positions, ends, s_max=UNREAD_S_MAX)
    return KafkaFacts(
        partitions=len(partitions),
        retention_s=await _retention_s(admin, topic),
        callbacks_per_day=float(
            sum(ends[one] - found.offset for one, found in then.items() if found is not None)
        ),
        unread_since={
            group: found.since
            for group, found in unread.items()
            if found.is_complete or found.since is not None
        },
        may_be_unread_longer={group for group, found in unread.items() if not found.is_complete},
        dead_letters=await _dead_letters(kafka, reader, follower),
        denials=[offsets for offsets in committed if isinstance(offsets, str)],
    )


async def _dead_letters(
    kafka: KafkaAccess, reader: AIOKafkaConsumer, follower: ActionFollower
) -> DeadLetters | str:
    """Return the dead letters that wait, or why they cannot be counted."""
    topic, actions_topic = kafka.topic(DEAD_LETTERS.name), kafka.topic(ACTIONS.name)
    actions = await find_partitions(reader, actions_topic)
    dead = await find_partitions(reader, topic)
    if not dead:
        return f"topic {topic} does not exist; create it with: hookline topics apply"
    topic_id = await topic_id_of(reader, topic) or ""
    if not await follower.follow(reader, actions, topic_id):
        return f"the actions in {actions_topic} could not be read within {READ_S_MAX:g} s"
    return await count_dead_letters(reader, dead, follower.actions)


async def _committed(
    admin: AIOKafkaAdminClient, group: KafkaName
) -> Mapping[TopicPartition, OffsetAndMetadata] | str:
    """
    Return the offsets of a group, or which right is missing.

    They are empty if Kafka cannot say, as before its first group.
    """
    try:
        offsets: dict[TopicPartition, OffsetAndMetadata] = await admin.list_consumer_group_offsets(
            group
        )
    except DENIALS as error:
        return _warn(str(denial_of(error, inner_client(admin))))
    except KafkaError:
        return {}
    return offsets


async def _retention_s(admin: AIOKafkaAdminClient, topic: KafkaName) -> float:
    (response,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, topic)])
    for resource in response.to_object()["resources"]:
        check_denial(resource["error_code"], topic)
        for entry in resource["config_entries"]:
            if entry["config_names"] == "retention.ms" and int(entry["config_value"]) >= 0:
                return int(entry["config_value"]) / 1000
    return FOR_EVER_S


async def find_partitions(reader: AIOKafkaConsumer, topic: KafkaName) -> list[TopicPartition]:
    """
    Return the partitions of a topic, none if it does not exist.

    Raises:
        KafkaError: Kafka does not answer, or lists no broker.
    """
    # aiokafka asks Kafka for a topic's partitions when it is assigned one of them.
    reader.assign([TopicPartition(topic, 0)])
    client: Any = inner_client(reader)
    if not await client.force_metadata_update():
        raise KafkaError("no broker describes its topics now")
    if topic in client.cluster.unauthorized_topics:
        raise TopicAuthorizationFailedError(topic)
    numbers = reader.partitions_for_topic(topic) or ()
    return [TopicPartition(topic, number) for number in sorted(numbers)]
