"""
The cursor of a spool: the last sequence that Kafka has, kept in Kafka itself.

It is the committed offset of the main topic's partition 0, in a consumer group named after the
origin, and it is committed in the transaction that carries the rows
(docs/decisions/0004-transactional-cursor.md).
"""

import asyncio
import logging
from typing import NamedTuple

from aiokafka import TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.structs import OffsetAndMetadata

from ingress.spool.async_spool import AsyncSpool
from ingress.spool.state import SpoolState
from schemas.clients import started
from schemas.committed_offsets import committed_offsets
from schemas.kafka_access import KafkaAccess
from schemas.kafka_names import KafkaName
from schemas.topics import CALLBACKS

log = logging.getLogger(__name__)

READ_TIMEOUT_S = 30.0


class Cursor(NamedTuple):
    """A sequence, the fingerprint of its row, and the id of the topic that has it, if known."""

    sequence: int = 0
    fingerprint: str = ""
    topic_id: str = ""

    def offsets(self, kafka: KafkaAccess) -> dict[TopicPartition, OffsetAndMetadata]:
        """Return the cursor as the offsets that a transaction commits."""
        metadata = f"{self.fingerprint} {self.topic_id}".rstrip()
        return {_partition(kafka): OffsetAndMetadata(self.sequence, metadata)}


def cursor_group(origin: str) -> str:
    """Return the consumer group whose offset is the cursor of `origin`."""
    return f"hookline-spool-{origin}"


def transactional_id_of(kafka: KafkaAccess, origin: str) -> KafkaName:
    """Return the transactional id of the forwarders of `origin`, as the cluster knows it."""
    return kafka.transactional_id(bare_transactional_id(kafka, origin))


def bare_transactional_id(kafka: KafkaAccess, origin: str) -> str:
    """
    Return the transactional id of the forwarders of `origin`, without the pipeline's prefix.

    It is the origin alone in a pipeline without a prefix: an earlier release may have left a
    transaction of this id open. With a prefix, one ACL selects the ids of forwarders and no others.
    """
    return cursor_group(origin) if kafka.prefix else origin


def _partition(kafka: KafkaAccess) -> TopicPartition:
    return TopicPartition(kafka.topic(CALLBACKS.name), 0)


async def read_cursor(kafka: KafkaAccess, origin: str) -> Cursor:
    """
    Return the committed cursor of `origin`, Cursor() if there is none.

    Raises:
        KafkaError, TimeoutError: it cannot be read now.
    """
    partition, group = _partition(kafka), kafka.group(cursor_group(origin))
    client = AIOKafkaClient(**kafka.options())
    async with started(client, READ_TIMEOUT_S, kafka), asyncio.timeout(READ_TIMEOUT_S):
        offsets = await committed_offsets(client, group, [partition], requires_stable=True)
    if (committed := offsets.get(partition)) is None:
        return Cursor()
    fingerprint, _, topic_id = committed.metadata.partition(" ")
    return Cursor(committed.offset, fingerprint, topic_id)


def is_older_copy(spool: AsyncSpool, cursor: Cursor) -> bool:
    """
    Return whether the spool's file is an older copy of itself: Kafka has rows that it lacks.

    If the row at the cursor is still in the spool, it must have the cursor's fingerprint. In an
    older copy, another callback has this sequence, or none has.
    """
    if cursor.sequence > spool.state.last_sequence:
        return True
    # "" proves nothing: the row was removed, or its block is damaged.
    return spool.fingerprint(cursor.sequence) not in ("", cursor.fingerprint)


def report_older_copy(spool: AsyncSpool, before: SpoolState, cursor: Cursor) -> None:
    """Log that an older copy, whose state was `before`, has got a new origin."""
    log.critical(
        "the file of spool %s is an older copy of itself: origin %s ends at sequence %d, Kafka has "
        "it up to %d. Its rows move to the new origin %s: some may be sent twice, none is lost. "
        "Rows that only the newer file had are in Kafka; audit reports %s as incomplete",
        spool.name,
        before.origin,
        before.last_sequence,
        cursor.sequence,
        spool.state.origin,
        before.origin,
    )
