"""Kafka as the runtime sees it: read_committed, no commit but by number, no silent jump."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError, OffsetOutOfRangeError

from consumers.runtime.batch import Partition, Record
from consumers.runtime.handler import Stopped, Unavailable

log = logging.getLogger(__name__)

FETCH_BYTES = 256 << 10
SESSION_TIMEOUT_MS = 10_000
REBALANCE_TIMEOUT_MS = 30_000
CALL_S = 10.0
STOP_S = 5.0


class Assignments(Protocol):
    """Who is told when the group gives or takes partitions."""

    def given(self, partitions: Sequence[Partition]) -> None:
        """Partitions are ours; nothing of them is fetched until `Source.seek`."""
        ...

    async def taken(self) -> None:
        """No partition is ours any more, on return no delivery is in flight."""
        ...


class Source(Protocol):
    """What the runner needs of Kafka; the simulation has a twin of it."""

    async def fetch(self) -> Mapping[Partition, Sequence[Record]]:
        """Return what has arrived, after a short wait at most; an empty mapping is usual."""
        ...

    def seek(self, partition: Partition, next_offset: int) -> None:
        """Fetch `partition` from `next_offset` on."""
        ...

    def pause(self, partition: Partition) -> None:
        """Fetch nothing of `partition` until it is resumed; the membership goes on."""
        ...

    def resume(self, partition: Partition) -> None:
        """Fetch `partition` again."""
        ...

    async def committed(self, partition: Partition) -> int | None:
        """Return the group's committed offset."""
        ...

    async def beginning(self, partition: Partition) -> int:
        """Return the lowest offset that the partition still has."""
        ...

    async def commit(self, partition: Partition, next_offset: int) -> None:
        """Commit for lag tools. A partition that has moved to another member is no error."""
        ...


class KafkaSource:
    """The real one. Partitions come paused, so that no record is fetched before `seek`."""

    def __init__(self, client: AIOKafkaConsumer, poll_ms: int) -> None:
        self._client = client
        self._poll_ms = poll_ms

    async def fetch(self) -> Mapping[Partition, Sequence[Record]]:
        """
        Return what has arrived.

        Raises:
            Stopped: an offset that is wanted does not exist in the topic any more, or not yet.
        """
        try:
            # aiokafka waits for the end of a rebalance without a bound of its own.
            async with asyncio.timeout(CALL_S):
                fetched = await self._client.getmany(timeout_ms=self._poll_ms)
        except TimeoutError:
            return {}
        except OffsetOutOfRangeError as error:
            raise Stopped(_gone(error)) from error
        return {
            Partition(tp.topic, tp.partition): [
                Record(r.offset, r.timestamp, r.key, r.value or b"", tuple(r.headers))
                for r in records
            ]
            for tp, records in fetched.items()
        }

    def seek(self, partition: Partition, next_offset: int) -> None:
        """Fetch from `next_offset` on; a partition that has just moved away is no error."""
        with contextlib.suppress(IllegalStateError):
            self._client.seek(TopicPartition(*partition), next_offset)

    def pause(self, partition: Partition) -> None:
        """Fetch nothing of it."""
        with contextlib.suppress(IllegalStateError):
            self._client.pause(TopicPartition(*partition))

    def resume(self, partition: Partition) -> None:
        """Fetch it again."""
        with contextlib.suppress(IllegalStateError):
            self._client.resume(TopicPartition(*partition))

    async def committed(self, partition: Partition) -> int | None:
        """
        Return the group's committed offset.

        Raises:
            Unavailable: Kafka does not answer.
        """
        with _answering("the committed offset"):
            async with asyncio.timeout(CALL_S):
                offset: int | None = await self._client.committed(TopicPartition(*partition))
                return offset

    async def beginning(self, partition: Partition) -> int:
        """
        Return the lowest offset that there is.

        Raises:
            Unavailable: Kafka does not answer.
        """
        tp = TopicPartition(*partition)
        with _answering("the first offset"):
            async with asyncio.timeout(CALL_S):
                offsets: Mapping[TopicPartition, int] = await self._client.beginning_offsets([tp])
                return offsets[tp]

    async def commit(self, partition: Partition, next_offset: int) -> None:
        """Commit by number. One that fails costs nothing: the sink's position is the authority."""
        try:
            async with asyncio.timeout(CALL_S):
                await self._client.commit({TopicPartition(*partition): next_offset})
        except (KafkaError, TimeoutError) as error:
            log.info("offset %d of %s is not committed: %r", next_offset, partition, error)


@contextlib.asynccontextmanager
async def kafka_source(
    *,
    bootstrap_servers: str,
    group: str,
    topic: str,
    assignments: Assignments,
    poll_ms: int = 200,
) -> AsyncIterator[KafkaSource]:
    """Join `group` and yield its source; on exit the group is left."""
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
        max_partition_fetch_bytes=FETCH_BYTES,
    )
    try:
        async with asyncio.timeout(CALL_S):
            await client.start()
        client.subscribe([topic], listener=_Listener(client, assignments))
        yield KafkaSource(client, poll_ms)
    finally:
        with contextlib.suppress(TimeoutError, KafkaError):
            async with asyncio.timeout(STOP_S):
                await client.stop()


class _Listener(ConsumerRebalanceListener):
    """Short and without awaits of its own: aiokafka logs what it raises and goes on."""

    def __init__(self, client: AIOKafkaConsumer, assignments: Assignments) -> None:
        self._client = client
        self._assignments = assignments

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        # A position at once, so that aiokafka looks for none by itself.
        for tp in assigned:
            self._client.pause(tp)
            self._client.seek(tp, 0)
        self._assignments.given([Partition(*tp) for tp in sorted(assigned)])

    async def on_partitions_revoked(self, _revoked: object) -> None:
        await self._assignments.taken()


@contextlib.contextmanager
def _answering(what: str) -> Iterator[None]:
    try:
        yield
    except (KafkaError, TimeoutError) as error:
        raise Unavailable(f"Kafka does not tell {what}: {error!r}") from error


def _gone(error: OffsetOutOfRangeError) -> str:
    wanted = ", ".join(f"{tp.topic}/{tp.partition} at {at}" for tp, at in error.args[0].items())
    return (
        f"The sink expects {wanted}, which the topic does not have. Either retention deleted "
        "records before they were in the sink, or the topic was made anew. Going on in silence "
        "would hide a loss; see 'A consumer stops' in docs/operations.md."
    )
