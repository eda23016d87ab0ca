"""Join a consumer group, and report the partitions that it assigns and revokes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Protocol

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError

from consumers.runtime.batch import Partition
from consumers.runtime.kafka_availability import KafkaAvailability
from consumers.runtime.kafka_source import KafkaSource
from consumers.runtime.names import from_kafka
from consumers.runtime.record_decoding import decode_as_records
from consumers.runtime.source import CALL_TIMEOUT_S, Source
from schemas.client_parts import leave_group, member_id
from schemas.clients import check_cancellation, kafka_failures, started
from schemas.kafka_access import KafkaAccess
from schemas.kafka_names import KafkaName

# The size of a fetch of one partition. Larger fetches are slower: their records do not stay in the
# processor's caches.
FETCH_BYTES = 64 << 10
SESSION_TIMEOUT_MS = 10_000
REBALANCE_TIMEOUT_MS = 30_000
# Added partitions are noticed within this time; a rebalance of some seconds follows.
METADATA_MAX_AGE_MS = 10_000
LEAVE_TIMEOUT_S = 5.0
LEAVE_RETRY_S = 0.2


class PartitionOwner(Protocol):
    """Consumes the partitions that the group assigns to this member, until it revokes them."""

    def assign(self, source: Source, partitions: Sequence[Partition]) -> None:
        """Begin to consume `partitions`; no record of them is fetched until `source.seek`."""
        ...

    async def revoke_all(self) -> None:
        """Drop what is held of all partitions; return when no delivery is in flight."""
        ...


@contextlib.asynccontextmanager
async def join_group(
    *,
    kafka: KafkaAccess,
    group: str,
    topic: str,
    owner: PartitionOwner,
    kafka_availability: KafkaAvailability | None = None,
    former_members: set[str] | None = None,
) -> AsyncIterator[KafkaSource]:
    """
    Join `group` and yield its source; leave the group on exit.

    `former_members` has the ids of this process's earlier members, and gets the id of the new one.
    The coordinator may not know yet that they have ended, and the new member would wait until it
    does.
    """
    # Every default of aiokafka that is wrong for us is set: `latest`, auto-commit, and fetches that
    # are larger and slower than these.
    client = AIOKafkaConsumer(
        **kafka.options(),
        group_id=kafka.group(group),
        isolation_level="read_committed",
        auto_offset_reset="none",
        enable_auto_commit=False,
        session_timeout_ms=SESSION_TIMEOUT_MS,
        rebalance_timeout_ms=REBALANCE_TIMEOUT_MS,
        metadata_max_age_ms=METADATA_MAX_AGE_MS,
        max_partition_fetch_bytes=FETCH_BYTES,
    )
    source = KafkaSource(client, kafka, kafka_availability)
    members = set[str]() if former_members is None else former_members
    try:
        async with started(client, CALL_TIMEOUT_S, kafka):
            decode_as_records(client)
            await _remove_members(client, kafka.group(group), members)
            listener = _Listener(client, kafka, source, owner, members)
            client.subscribe([kafka.topic(topic)], listener=listener)
            async with source.background_tasks():
                yield source
    finally:
        source.raise_bug()


async def _remove_members(client: AIOKafkaConsumer, group: KafkaName, members: set[str]) -> None:
    # If this fails, the coordinator removes the members after SESSION_TIMEOUT_MS.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LEAVE_TIMEOUT_S):
            while members:
                check_cancellation()
                member = min(members)
                try:
                    with kafka_failures():
                        await leave_group(client, group, member)
                except KafkaError:
                    # The coordinator may still be loading the group.
                    await asyncio.sleep(LEAVE_RETRY_S)
                else:
                    members.discard(member)


class _Listener(ConsumerRebalanceListener):
    """Keeps its exceptions for the source's next fetch, because aiokafka would only log them."""

    def __init__(
        self,
        client: AIOKafkaConsumer,
        kafka: KafkaAccess,
        source: KafkaSource,
        owner: PartitionOwner,
        members: set[str],
    ) -> None:
        self._client = client
        self._kafka = kafka
        self._source = source
        self._owner = owner
        self._members = members

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        with self._source.noting_bug():
            # Set a position immediately, so that aiokafka does not look for one.
            for tp in assigned:
                self._client.pause(tp)
                self._client.seek(tp, 0)
            self._source.note_joined()
            self._members.add(member_id(self._client))
            partitions = [from_kafka(self._kafka, tp) for tp in sorted(assigned)]
            self._owner.assign(self._source, partitions)

    async def on_partitions_revoked(self, _revoked: object) -> None:
        with self._source.noting_bug():
            self._source.note_left()
            await self._owner.revoke_all()
