"""
Read the offsets that a group has committed, and tell a missing offset from an error.

A broker that is not the group's coordinator, or is still loading the group, answers with an error
of the whole answer and without partitions. aiokafka's consumer and admin client ignore that error:
they report that the group has committed nothing.
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    GroupCoordinatorNotAvailableError,
    GroupLoadInProgressError,
    KafkaError,
    NoError,
    NotCoordinatorForGroupError,
    for_code,
)
from aiokafka.protocol.commit import OffsetFetchRequest
from aiokafka.structs import OffsetAndMetadata

from schemas.client_parts import group_of, inner_client
from schemas.clients import check_cancellation
from schemas.kafka_names import KafkaName

RETRY_INTERVAL_S = 0.1
# The coordinator moves to another broker, which loads the group.
_MOVING = (GroupCoordinatorNotAvailableError, GroupLoadInProgressError, NotCoordinatorForGroupError)


async def committed_offsets(
    client: AIOKafkaClient, group: KafkaName, partitions: Collection[TopicPartition]
) -> dict[TopicPartition, OffsetAndMetadata]:
    """
    Return the committed offsets of those of `partitions` that have one.

    It asks until the group has a coordinator that knows, so the caller needs a time-out.

    Raises:
        KafkaError: Kafka does not answer, or refuses.
    """
    while True:
        check_cancellation()
        try:
            return await _ask(client, group, partitions)
        except _MOVING:
            await asyncio.sleep(RETRY_INTERVAL_S)


async def committed_offset_of(consumer: AIOKafkaConsumer, partition: TopicPartition) -> int | None:
    """
    Return the offset that the group of `consumer` has committed, None if there is none.

    Raises:
        KafkaError: see `committed_offsets`.
    """
    group = group_of(consumer)
    offsets = await committed_offsets(inner_client(consumer), group, [partition])
    return offsets[partition].offset if partition in offsets else None


async def _ask(
    client: AIOKafkaClient, group: KafkaName, partitions: Collection[TopicPartition]
) -> dict[TopicPartition, OffsetAndMetadata]:
    numbers = defaultdict(list)
    for tp in partitions:
        numbers[tp.topic].append(tp.partition)
    try:
        coordinator = await client.coordinator_lookup(CoordinationType.GROUP, group)
    except GroupAuthorizationFailedError as denied:
        # aiokafka raises the error without the group.
        raise GroupAuthorizationFailedError(group) from denied
    request = OffsetFetchRequest(group, list(numbers.items()))
    answer: Any = await client.send(coordinator, request, group=ConnectionGroup.COORDINATION)
    _check(answer.error_code, group)
    found = {(topic, each[0]): each[1:] for topic, answers in answer.topics for each in answers}
    offsets: dict[TopicPartition, OffsetAndMetadata] = {}
    for tp in partitions:
        if (tp.topic, tp.partition) not in found:
            raise KafkaError(f"the coordinator of group {group} does not answer for {tp}")
        offset, metadata, error_code = found[tp.topic, tp.partition]
        _check(error_code, tp.topic)
        # -1: none is committed.
        if offset >= 0:
            offsets[tp] = OffsetAndMetadata(offset, metadata)
    return offsets


def _check(error_code: int, name: str) -> None:
    if (error := for_code(error_code)) is not NoError:
        raise error(name)
