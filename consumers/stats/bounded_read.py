"""Read records of some partitions up to given offsets, within a given time."""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import ConsumerRecord

POLL_MS = 200


async def read_until(
    reader: AIOKafkaConsumer,
    next_offsets: dict[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
    *,
    s_max: float,
) -> AsyncGenerator[Sequence[ConsumerRecord[bytes, bytes]]]:
    """
    Yield the records from `next_offsets` on, until all of these are at their `ends`.

    It stops earlier when `s_max` seconds are over. `next_offsets` get the offsets that are reached.

    Raises:
        KafkaError: Kafka does not answer.
    """
    unread = [one for one, offset in next_offsets.items() if offset < ends[one]]
    if unread:
        reader.assign(unread)
    for partition in unread:
        reader.seek(partition, next_offsets[partition])
    clock = asyncio.get_running_loop().time
    deadline = clock() + s_max
    while unread and clock() < deadline:
        for records in (await reader.getmany(*unread, timeout_ms=POLL_MS)).values():
            yield records
        # The position moves over the ends of transactions, too.
        next_offsets.update({one: await reader.position(one) for one in unread})
        unread = [one for one in unread if next_offsets[one] < ends[one]]
