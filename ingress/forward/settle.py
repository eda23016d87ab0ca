"""
Settle the transactions of earlier producers, before a spool's cursor is read.

After kill -9, a restarted broker may log a transaction as ended in its coordinator but write only
some of its markers to the partitions, or none: between two versions of the metadata it takes the
partitions for deleted (Kafka 4.3.1: "likely deleted already and hence can be skipped"). Records and
the cursor then stay open until the producer's next transaction, and end as that one does, whatever
the coordinator had decided. So before the cursor is read, a transaction without records writes a
marker to every partition, with the decision that the coordinator had taken
(docs/decisions/0017-open-transactions.md).
"""

import asyncio
from collections.abc import Sequence

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from schemas.kafka_access import KafkaAccess
from schemas.topics import CALLBACKS, DEAD_LETTERS

SETTLE_TIMEOUT_S = 8.0


async def settle(
    producer: AIOKafkaProducer,
    kafka: KafkaAccess,
    group: str,
    *,
    abort: bool,
    topics: Sequence[str] = (CALLBACKS.name, DEAD_LETTERS.name),
) -> None:
    """
    End what earlier transactions of this producer left open, in all of `topics` and in `group`.

    Raises:
        KafkaError: a topic does not exist, or Kafka refuses.
        TimeoutError: it takes longer than SETTLE_TIMEOUT_S.
    """
    async with asyncio.timeout(SETTLE_TIMEOUT_S):
        partitions = [
            TopicPartition(topic, number)
            for topic in map(kafka.topic, topics)
            for number in await producer.partitions_for(topic)
        ]
        await producer.begin_transaction()
        # The group goes first: if the broker times out half-way, it aborts what was added so far.
        # An aborted cursor repeats rows; aborted records would lose them. A group can be added only
        # with an offset; nothing reads the offset of this partition.
        any_offset = {TopicPartition(kafka.topic(DEAD_LETTERS.name), 0): OffsetAndMetadata(0, "")}
        await producer.send_offsets_to_transaction(any_offset, kafka.group(group))
        for partition in partitions:
            # aiokafka adds a partition only with a record.
            producer._txn_manager.maybe_add_partition_to_txn(partition)  # noqa: SLF001
        await (producer.abort_transaction() if abort else producer.commit_transaction())
