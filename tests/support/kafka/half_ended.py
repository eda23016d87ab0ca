"""
Transactions that end only in some of their partitions, as a fenced broker may leave them.

A producer writes to partitions without adding them to its transaction, so that the coordinator ends
the transaction only in the partitions that it knows. The broker must be CARELESS.
"""

import contextlib
from collections.abc import AsyncIterator, Collection, Iterator
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from support.kafka.access import plaintext
from support.kafka.parts import Pipe

from ingress.forward.cursor import Cursor, cursor_group
from ingress.forward.transaction_batches import build_batches
from schemas.topics import CALLBACKS, DEAD_LETTERS

# The property of a broker that accepts writes of transactions that their coordinator does not know.
CARELESS = "transaction.partition.verification.enable=false\n"
RECORDS = [TopicPartition(CALLBACKS.name, number) for number in range(CALLBACKS.partitions)]
GROUP = "the cursor's group"
_REMEMBERED = TopicPartition(DEAD_LETTERS.name, 0)


@contextlib.contextmanager
def forgetting(
    producer: AIOKafkaProducer, forgotten: Collection[TopicPartition | str]
) -> Iterator[None]:
    """Leave these partitions out of the transactions that `producer` adds partitions to."""
    transaction: Any = producer._txn_manager  # noqa: SLF001
    add = transaction.maybe_add_partition_to_txn

    def add_or_forget(partition: TopicPartition) -> None:
        # Something must be in the transaction, or the coordinator has nothing to end.
        add(_REMEMBERED)
        if partition in forgotten:
            transaction._txn_partitions.add(partition)  # noqa: SLF001
        else:
            add(partition)

    transaction.maybe_add_partition_to_txn = add_or_forget
    try:
        yield
    finally:
        transaction.maybe_add_partition_to_txn = add


@contextlib.asynccontextmanager
async def under_way(
    pipe: Pipe, forgotten: Collection[TopicPartition | str]
) -> AsyncIterator[AIOKafkaProducer]:
    """Yield a producer that has sent all rows and the cursor, and whose transaction is open."""
    kafka = plaintext(pipe.bootstrap_servers)
    async with AIOKafkaProducer(
        bootstrap_servers=pipe.bootstrap_servers, transactional_id=pipe.spool.origin
    ) as producer:
        async with pipe.async_spool() as async_spool:
            batches = await build_batches(
                producer,
                kafka,
                async_spool,
                0,
                rows_max=pipe.spool.row_count,
                dead_letters={},
            )
        await producer.begin_transaction()
        with forgetting(producer, forgotten):
            for (topic, number), partition_batches in batches.by_partition.items():
                for batch in partition_batches:
                    await (await producer.send_batch(batch, topic, partition=number))
        group = cursor_group(pipe.spool.origin)
        if GROUP in forgotten:
            producer._txn_manager.consumer_group_added(group)  # noqa: SLF001
        cursor = Cursor(batches.last_sequence, batches.fingerprint)
        await producer.send_offsets_to_transaction(cursor.offsets(kafka), group)
        yield producer


async def leave_open(
    pipe: Pipe, forgotten: Collection[TopicPartition | str], *, abort: bool
) -> None:
    """Send all rows and the cursor as a forwarder does, but end only a part of it."""
    async with under_way(pipe, forgotten) as producer:
        await (producer.abort_transaction() if abort else producer.commit_transaction())
