"""
Rows of a spool as batches of a Kafka transaction, in spool order within a partition.

Built in small turns: requests are answered between them.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from zlib import crc32

from aiokafka import AIOKafkaProducer
from aiokafka.producer.message_accumulator import BatchBuilder

from ingress.spool.row import Damaged, Row
from ingress.spool.spool import Spool
from schemas.record import OutgoingRecord, numbered

BYTES_MAX = 4 << 20
ROWS_PER_TURN = 50
BYTES_PER_TURN = 256 << 10


@dataclass(slots=True)
class Gathered:
    """
    Batches by topic and partition, of the rows up to sequence `last`.

    `oldest_received_at_ms` is the first row's; `fingerprint` tells the last row from any other.
    """

    last: int
    rows: int = 0
    oldest_received_at_ms: int = 0
    fingerprint: str = ""
    batches: dict[tuple[str, int], list[BatchBuilder]] = field(
        default_factory=lambda: defaultdict(list)
    )


async def gather(
    producer: AIOKafkaProducer,
    spool: Spool,
    after: int,
    *,
    rows_max: int,
    instead: Mapping[int, OutgoingRecord],
) -> Gathered:
    """
    Return up to `rows_max` rows behind sequence `after`, about BYTES_MAX bytes of them at most.

    For a row whose sequence is in `instead` that record is taken.

    Raises:
        Damaged: the first row behind `after` is not what was stored.
        Corrupt: the file is no spool any more.
        KafkaError: the topics are not known now.
    """
    gathered = Gathered(after)
    partitions: dict[str, int] = {}
    taken = 0
    while gathered.rows < rows_max and taken < BYTES_MAX:
        turn = min(ROWS_PER_TURN, rows_max - gathered.rows)
        try:
            rows = spool.since(gathered.last, rows_max=turn, bytes_max=BYTES_PER_TURN)
        except Damaged:
            if gathered.rows:
                break
            raise
        if not rows:
            break
        if not gathered.rows:
            gathered.oldest_received_at_ms = rows[0].received_at_ms
        for row in rows:
            record = instead.get(row.sequence, row.record) if instead else row.record
            if record.topic not in partitions:
                partitions[record.topic] = len(await producer.partitions_for(record.topic))
            partition = _partition(record.key, row.sequence, partitions[record.topic])
            _append(gathered.batches[record.topic, partition], producer, spool.origin, row, record)
            taken += len(record.value)
        gathered.rows += len(rows)
        gathered.last = rows[-1].sequence
        await asyncio.sleep(0)
    if gathered.rows:
        gathered.fingerprint = spool.fingerprint(gathered.last)
    return gathered


def _append(
    batches: list[BatchBuilder],
    producer: AIOKafkaProducer,
    origin: str,
    row: Row,
    record: OutgoingRecord,
) -> None:
    headers = numbered(record.headers, origin, row.sequence)
    for fresh in (False, True):
        if fresh or not batches:
            batches.append(producer.create_batch())
        # append() says by its result, not by an exception, that a batch is full.
        if batches[-1].append(key=record.key, value=record.value, timestamp=None, headers=headers):
            return
    raise AssertionError(f"row {row.sequence} does not fit into an empty batch")


def _partition(key: bytes | None, sequence: int, partitions: int) -> int:
    # librdkafka's partitioner `consistent`; murmur2, the Java client's, costs 7 us in Python.
    return (sequence if key is None else crc32(key)) % partitions
