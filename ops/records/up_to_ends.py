"""Fetch the records of some partitions until given offsets are reached, each record once."""

import time
from collections.abc import AsyncGenerator, Mapping, Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import ConsumerRecord

from ops.records.committed_records import KAFKA_TIMEOUT_S, fetch, read_from
from schemas.clients import check_cancellation

POLL_MS = 500


async def fetches_up_to(
    client: AIOKafkaConsumer,
    positions: dict[TopicPartition, int],
    ends: Mapping[TopicPartition, int],
    *,
    records_max: int | None = None,
) -> AsyncGenerator[tuple[TopicPartition, Sequence[ConsumerRecord[bytes, bytes]]]]:
    """
    Yield the records of each fetch until `positions` have reached `ends`, and move `positions`.

    The last fetch of a partition may have records after its end. `positions` are the offsets at
    which reading begins; `client` is assigned their partitions. A position moves when the caller
    has handled the records before it, and asks for the next ones. A fetch has at most `records_max`
    records.

    Raises:
        RecordsDeleted: Kafka has deleted the next records meanwhile.
        KafkaError: Kafka does not answer.
        TimeoutError: no record came for KAFKA_TIMEOUT_S.
    """
    read_from(client, {tp: positions[tp] for tp in ends})
    moved_at = time.monotonic()
    while any(positions[tp] < end for tp, end in ends.items()):
        check_cancellation()
        before = sum(positions.values())
        fetched = await fetch(client, timeout_ms=POLL_MS, records_max=records_max)
        for tp, records in fetched.items():
            if records:
                yield tp, records
                positions[tp] = records[-1].offset + 1
        for tp in ends:
            # The last offsets of a partition may be transaction markers.
            positions[tp] = max(positions[tp], await client.position(tp))
            if positions[tp] >= ends[tp]:
                # Later records would look like progress while another partition has no leader.
                client.pause(tp)
        if sum(positions.values()) > before:
            moved_at = time.monotonic()
        elif time.monotonic() > moved_at + KAFKA_TIMEOUT_S:
            raise TimeoutError(f"no record came for {KAFKA_TIMEOUT_S:g} s")
