"""
Batches that are compressed before aiokafka asks for their bytes.

aiokafka compresses all batches of a request in one step of the event loop, which then answers no
request for some milliseconds. A batch can be compressed earlier if its place in the partition's
sequence of records is known, because that is a part of its bytes.
"""

import asyncio
from collections.abc import Mapping

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.producer.message_accumulator import BatchBuilder


class CompressedBatch:
    """A batch in its final form, which aiokafka takes in place of a BatchBuilder."""

    def __init__(self, batch: BatchBuilder, *producer_state: int) -> None:
        """Compress `batch`; `producer_state` are the arguments of `_set_producer_state`."""
        self._records: int = batch.record_count()
        self._producer_state = producer_state
        batch._set_producer_state(*producer_state)  # noqa: SLF001
        self._bytes: bytearray = batch._build()  # noqa: SLF001

    def record_count(self) -> int:
        """Return the number of records."""
        return self._records

    def closed(self) -> bool:
        """Return whether no record can be added, which is always so."""
        return True

    def close(self) -> None:
        """Do nothing: no record can be added."""

    def _set_producer_state(self, *producer_state: int) -> None:
        if producer_state != self._producer_state:
            raise AssertionError(
                f"a batch was compressed for {self._producer_state}, not for {producer_state}"
            )

    def _build(self) -> bytearray:
        return self._bytes


async def compress(
    producer: AIOKafkaProducer, batches: Mapping[TopicPartition, BatchBuilder]
) -> dict[TopicPartition, CompressedBatch]:
    """
    Return the next batch of each partition, compressed, each in a step of the event loop.

    Until they are sent, `producer` may send nothing else to these partitions.
    """
    transactions = producer._txn_manager  # noqa: SLF001
    compressed_batches = {}
    for partition, batch in batches.items():
        compressed_batches[partition] = CompressedBatch(
            batch,
            transactions.producer_id,
            transactions.producer_epoch,
            transactions.sequence_number(partition),
        )
        await asyncio.sleep(0)
    return compressed_batches
