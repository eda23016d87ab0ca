"""Find out when the first record that a group has not read was written."""

import asyncio
import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition

POLL_MS = 100


class FirstUnread(NamedTuple):
    """
    When the oldest unread record was written, None if none came.

    Unless `is_complete`, Kafka did not answer for all partitions within `s_max`: an older record
    may wait.
    """

    since: datetime | None
    is_complete: bool


async def first_unread(
    reader: AIOKafkaConsumer,
    positions: Mapping[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
    *,
    s_max: float,
) -> FirstUnread:
    """
    Read the first record from each of `positions` on, within `s_max` seconds.

    Raises:
        KafkaError: Kafka does not answer.
    """
    waiting = {one for one, offset in positions.items() if offset < ends[one]}
    if waiting:
        reader.assign(list(waiting))
    for partition in waiting:
        reader.seek(partition, positions[partition])
    oldest_ms: int | None = None
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(s_max):
            while waiting:
                fetched = await reader.getmany(*waiting, timeout_ms=POLL_MS, max_records=1)
                for partition, records in fetched.items():
                    waiting.discard(partition)
                    reader.pause(partition)
                    at_ms = records[0].timestamp
                    oldest_ms = at_ms if oldest_ms is None else min(oldest_ms, at_ms)
                # The position moves over the ends of transactions, after which no record may come.
                waiting = {one for one in waiting if await reader.position(one) < ends[one]}
    since = None if oldest_ms is None else datetime.fromtimestamp(oldest_ms / 1000, UTC)
    return FirstUnread(since, is_complete=not waiting)
