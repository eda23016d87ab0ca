"""
Read the offsets that a group has committed, and tell a missing offset from an error.

A broker that is not the group's coordinator, or is still loading the group, answers with an error
of the whole answer and without partitions. aiokafka's consumer and admin client ignore that error:
they report that the group has committed nothing.
"""

import asyncio
import logging
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
from aiokafka.structs import OffsetAndMetadata

from schemas.client_parts import group_of, inner_client
from schemas.clients import check_cancellation
from schemas.kafka_names import KafkaName
from schemas.offset_fetch import OffsetFetch

log = logging.getLogger(__name__)

RETRY_INTERVAL_S = 0.1
# A transaction that hangs longer is one that no producer can end any more: an operator has to. From
# then on any broker that believes to be the coordinator may answer, perhaps with an older offset.
# That may send rows twice; to wait longer would send none.
UNSTABLE_S_MAX = 10.0
# The coordinator moves to another broker, which loads the group.
_MOVING = (GroupCoordinatorNotAvailableError, GroupLoadInProgressError, NotCoordinatorForGroupError)
# UNSTABLE_OFFSET_COMMIT, which aiokafka does not have.
_UNSTABLE = 88


class _Unstable(KafkaError):
    """A transaction has not ended in the group's partition."""


async def committed_offsets(
    client: AIOKafkaClient,
    group: KafkaName,
    partitions: Collection[TopicPartition],
    *,
    requires_stable: bool,
) -> dict[TopicPartition, OffsetAndMetadata]:
    """
    Return the committed offsets of those of `partitions` that have one.

    With `requires_stable`, a broker that has lost the group without noticing it refuses to answer,
    and an open transaction with an offset is waited for, up to UNSTABLE_S_MAX. The request is
    repeated until a coordinator answers, so the caller must bound the time.

    Raises:
        KafkaError: Kafka does not answer, or refuses.
    """
    now = asyncio.get_running_loop().time
    unstable_since: float | None = None
    while True:
        check_cancellation()
        is_hanging = unstable_since is not None and now() - unstable_since > UNSTABLE_S_MAX
        if is_hanging:
            log.warning(
                "a transaction with an offset of group %s is open for more than %g s; its offset is"
                " left out",
                *(group, UNSTABLE_S_MAX),
            )
        try:
            return await _ask(
                client, group, partitions, requires_stable=requires_stable and not is_hanging
            )
        except _Unstable:
            unstable_since = unstable_since or now()
        except _MOVING:
            pass
        await asyncio.sleep(RETRY_INTERVAL_S)


async def committed_offset_of(consumer: AIOKafkaConsumer, partition: TopicPartition) -> int | None:
    """
    Return the offset that the group of `consumer` has committed, None if there is none.

    The offset may be out of date if the group has just moved to another broker.

    Raises:
        KafkaError: see `committed_offsets`.
    """
    group = group_of(consumer)
    client = inner_client(consumer)
    offsets = await committed_offsets(client, group, [partition], requires_stable=False)
    return offsets[partition].offset if partition in offsets else None


async def _ask(
    client: AIOKafkaClient,
    group: KafkaName,
    partitions: Collection[TopicPartition],
    *,
    requires_stable: bool,
) -> dict[TopicPartition, OffsetAndMetadata]:
    numbers = defaultdict(list)
    for tp in partitions:
        numbers[tp.topic].append(tp.partition)
    try:
        coordinator = await client.coordinator_lookup(CoordinationType.GROUP, group)
    except GroupAuthorizationFailedError as denied:
        # aiokafka raises the error without the group.
        raise GroupAuthorizationFailedError(group) from denied
    request = OffsetFetch(group, list(numbers.items()), requires_stable=requires_stable)
    answer: Any = await client.send(coordinator, request, group=ConnectionGroup.COORDINATION)
    _check(answer.error_code, group)
    found = {(topic, each[0]): each[1:] for topic, answers, _ in answer.topics for each in answers}
    offsets: dict[TopicPartition, OffsetAndMetadata] = {}
    for tp in partitions:
        if (tp.topic, tp.partition) not in found:
            raise KafkaError(f"the coordinator of group {group} does not answer for {tp}")
        offset, _, metadata, error_code, _ = found[tp.topic, tp.partition]
        _check(error_code, tp.topic)
        # -1: none is committed.
        if offset >= 0:
            offsets[tp] = OffsetAndMetadata(offset, metadata)
    return offsets


def _check(error_code: int, name: str) -> None:
    if error_code == _UNSTABLE:
        raise _Unstable(name)
    if (error := for_code(error_code)) is not NoError:
        raise error(name)
