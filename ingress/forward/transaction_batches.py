"""
Rows of a spool as batches of one transaction, in spool order within each partition.

They are built in small steps, so that the event loop answers requests in between.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from zlib import crc32

from aiokafka import AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder

from ingress.spool.async_spool import AsyncSpool
from ingress.spool.row import DamagedCallback, Row
from schemas.kafka_access import KafkaAccess
from schemas.outgoing_record import OutgoingRecord, with_place_and_id

TRANSACTION_BYTES_MAX = 4 << 20
# A batch is compressed in one step of the event loop; this many bytes take some 1 ms. Only a batch
# of a single record may be larger.
BATCH_BYTES_MAX = 384 << 10
ROWS_PER_STEP = 50
BYTES_PER_STEP = 256 << 10
# Rows in memory that are freed in one step, which takes 0.2 ms.
ROWS_FORGOTTEN_PER_STEP = 200


@dataclass(slots=True)
class TransactionBatches:
    """
    The batches of one transaction, with `row_count` rows up to the sequence `last_sequence`.

    `oldest_received_at_ms` is of the first row; `fingerprint` is of the last. They are `is_full` if
    a limit ended them, so that there may be more rows.
    """

    last_sequence: int
    row_count: int = 0
    oldest_received_at_ms: int = 0
    fingerprint: str = ""
    is_full: bool = False
    by_partition: dict[tuple[str, int], list[BatchBuilder]] = field(
        default_factory=lambda: defaultdict(list)
    )


async def build_batches(
    producer: AIOKafkaProducer,
    kafka: KafkaAccess,
    spool: AsyncSpool,
    after_sequence: int,
    *,
    rows_max: int,
    dead_letters: Mapping[int, OutgoingRecord],
) -> TransactionBatches:
    """
    Return the rows after `after_sequence`, up to `rows_max` and some TRANSACTION_BYTES_MAX.

    A row whose sequence is in `dead_letters` is replaced by that record. The batches end before a
    damaged row: the rows before it are sent first, and the next call raises DamagedCallback.

    Raises:
        DamagedCallback: the row after `after_sequence` is not what was stored; no row can be sent.
        Corrupt: the file is not a spool any more.
        KafkaError: the topics are not known now.
    """
    batches = TransactionBatches(after_sequence)
    partition_counts: dict[str, int] = {}
    built_bytes = 0
    while not batches.is_full and (rows := _next_rows(spool, batches, rows_max)):
        if not batches.row_count:
            batches.oldest_received_at_ms = rows[0].received_at_ms
        origin = spool.state.origin
        for row in rows:
            record = dead_letters.get(row.sequence, row.record) if dead_letters else row.record
            if (topic := record.topic) not in partition_counts:
                found = await producer.partitions_for(kafka.topic(topic))
                partition_counts[topic] = len(found)
            partition = partition_of(record.key, row.sequence, partition_counts[topic])
            _append(batches.by_partition[topic, partition], producer, origin, row, record)
            built_bytes += len(record.value)
        batches.row_count += len(rows)
        batches.last_sequence = rows[-1].sequence
        batches.is_full = batches.row_count >= rows_max or built_bytes >= TRANSACTION_BYTES_MAX
        await asyncio.sleep(0)
    if batches.row_count:
        batches.fingerprint = spool.fingerprint(batches.last_sequence)
    return batches


async def forget_rows_in_steps(spool: AsyncSpool, first_sequence: int, last_sequence: int) -> None:
    """Drop these rows, which Kafka has, from memory, in several steps."""
    for sequence in range(first_sequence, last_sequence, ROWS_FORGOTTEN_PER_STEP):
        spool.forget_rows_in_memory(sequence)
        await asyncio.sleep(0)
    spool.forget_rows_in_memory(last_sequence)


def _next_rows(spool: AsyncSpool, batches: TransactionBatches, rows_max: int) -> list[Row]:
    """
    Return the next rows, at most `rows_max` in all; none at the end or before a damaged row.

    Raises:
        DamagedCallback: the row is damaged, and `batches` is still empty.
    """
    step = min(ROWS_PER_STEP, rows_max - batches.row_count)
    try:
        return spool.rows_after(batches.last_sequence, rows_max=step, bytes_max=BYTES_PER_STEP)
    except DamagedCallback:
        if not batches.row_count:
            raise
        return []


def _append(
    partition_batches: list[BatchBuilder],
    producer: AIOKafkaProducer,
    origin: str,
    row: Row,
    record: OutgoingRecord,
) -> None:
    headers = with_place_and_id(record.headers, origin, row.sequence)
    for is_new in (False, True):
        if is_new or not partition_batches:
            partition_batches.append(producer.create_batch())
        # append() returns None if the batch is full; it does not raise.
        if partition_batches[-1].append(
            key=record.key, value=record.value, timestamp=None, headers=headers
        ):
            return
    raise AssertionError(f"row {row.sequence} does not fit into an empty batch")


def partition_of(key: bytes | None, sequence: int, partition_count: int) -> int:
    """Return the partition of a callback; all callbacks with one key share it."""
    # librdkafka's partitioner `consistent`; murmur2, the Java client's, costs 7 us in Python.
    return (sequence if key is None else crc32(key)) % partition_count
