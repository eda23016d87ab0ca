"""A member of a consumer group: how it joins, and who is told what it is given."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Protocol

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import KafkaError

from consumers.runtime.batch import Partition
from consumers.runtime.source import CALL_S, KafkaSource, Source
from consumers.runtime.waiting import Waiting
from schemas.client_parts import leave_group, member_id
from schemas.clients import kafka_failures, started

# Of each partition. Large fetches are slower: what they bring falls out of the processor's caches.
FETCH_BYTES = 64 << 10
SESSION_TIMEOUT_MS = 10_000
REBALANCE_TIMEOUT_MS = 30_000
# Added partitions are noticed within this time; a rebalance of some seconds follows.
METADATA_MAX_AGE_MS = 10_000
LEAVE_S = 5.0
LEAVE_AGAIN_S = 0.2


class Assignments(Protocol):
    """Who is told when the group gives or takes partitions."""

    def given(self, source: Source, partitions: Sequence[Partition]) -> None:
        """Partitions are ours; nothing of them is fetched until `source.seek`."""
        ...

    async def taken(self) -> None:
        """No partition is ours any more, on return no delivery is in flight."""
        ...


@contextlib.asynccontextmanager
async def kafka_source(
    *,
    bootstrap_servers: str,
    group: str,
    topic: str,
    assignments: Assignments,
    waiting: Waiting | None = None,
    former: set[str] | None = None,
) -> AsyncIterator[KafkaSource]:
    """
    Join `group` and yield its source; on exit the group is left.

    `former` has the ids of this process's earlier members, and gets the new one's. The coordinator
    may not know yet that they have ended, and the new member would wait until it does.
    """
    # Every default that aiokafka has wrong for us is named: `latest`, auto-commit, and fetches
    # that are larger and slower than these.
    client = AIOKafkaConsumer(
        bootstrap_servers=bootstrap_servers,
        group_id=group,
        isolation_level="read_committed",
        auto_offset_reset="none",
        enable_auto_commit=False,
        session_timeout_ms=SESSION_TIMEOUT_MS,
        rebalance_timeout_ms=REBALANCE_TIMEOUT_MS,
        metadata_max_age_ms=METADATA_MAX_AGE_MS,
        max_partition_fetch_bytes=FETCH_BYTES,
    )
    source = KafkaSource(client, waiting)
    try:
        former = set() if former is None else former
        async with started(client, CALL_S):
            await _leave(client, group, former)
            client.subscribe([topic], listener=_Listener(client, source, assignments, former))
            async with source.in_background():
                yield source
    finally:
        source.raise_bug()


async def _leave(client: AIOKafkaConsumer, group: str, former: set[str]) -> None:
    # If this fails, the coordinator removes the member after SESSION_TIMEOUT_MS.
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(LEAVE_S):
            while former:
                member = min(former)
                try:
                    with kafka_failures():
                        await leave_group(client, group, member)
                except KafkaError:
                    # The coordinator may still be loading the group.
                    await asyncio.sleep(LEAVE_AGAIN_S)
                else:
                    former.discard(member)


class _Listener(ConsumerRebalanceListener):
    """Passes its exceptions to the source, whose next fetch raises them; aiokafka only logs."""

    def __init__(
        self,
        client: AIOKafkaConsumer,
        source: KafkaSource,
        assignments: Assignments,
        former: set[str],
    ) -> None:
        self._client = client
        self._source = source
        self._assignments = assignments
        self._former = former

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        with self._source.noting_bug():
            # Set a position at once, so that aiokafka does not look for one.
            for tp in assigned:
                self._client.pause(tp)
                self._client.seek(tp, 0)
            self._source.is_member = True
            self._former.add(member_id(self._client))
            self._assignments.given(self._source, [Partition(*tp) for tp in sorted(assigned)])

    async def on_partitions_revoked(self, _revoked: object) -> None:
        with self._source.noting_bug():
            self._source.is_member = False
            self._source.forget()
            await self._assignments.taken()
