"""A member's Kafka client as a `Source`."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import IllegalStateError, KafkaError, OffsetOutOfRangeError

from consumers.runtime.batch import Partition, Record
from consumers.runtime.commits import Commits
from consumers.runtime.kafka_availability import KafkaAvailability
from consumers.runtime.names import from_kafka, in_kafka
from consumers.runtime.partition_ends import PartitionEnds
from consumers.runtime.partition_identities import PartitionIdentities
from consumers.runtime.source import (
    CALL_TIMEOUT_S,
    FetchedRecords,
    KafkaUnavailable,
    LogIdentity,
    OutOfRange,
)
from schemas.client_parts import ended_task
from schemas.clients import kafka_failures
from schemas.committed_offsets import committed_offset_of
from schemas.kafka_access import KafkaAccess

# The records of a fetch, of all partitions together. More would not stay in the processor's caches.
FETCH_RECORDS = 1024
POLL_MS = 200
# While a partition is not ready for more: it may be ready in a moment.
BUSY_POLL_MS = 10
# aiokafka may never join its group after a broker's restart. A client that has not joined for this
# long is replaced. It is longer than a rebalance may take, `group.REBALANCE_TIMEOUT_MS`.
REJOIN_TIMEOUT_S = 40.0
# The partition to fetch if none is wanted: the client must be polled to stay in its group.
_NO_PARTITION = TopicPartition("-", 0)


class KafkaSource:
    """Partitions are assigned paused, so that no record is fetched before `seek`."""

    def __init__(
        self,
        client: AIOKafkaConsumer,
        kafka: KafkaAccess,
        kafka_availability: KafkaAvailability | None = None,
    ) -> None:
        self._client = client
        self._in_kafka = partial(in_kafka, kafka)
        self._bare = partial(from_kafka, kafka)
        self._commits = Commits(client)
        self._ends = PartitionEnds(client, kafka_availability or KafkaAvailability("the consumer"))
        self._identities = PartitionIdentities(client)
        self._fetched_at = time.monotonic()
        self._bug: Exception | None = None
        self._background: list[asyncio.Task[None]] = []

    @contextlib.asynccontextmanager
    async def background_tasks(self) -> AsyncIterator[None]:
        """Commit, and ask for last offsets, in two tasks. The next fetch raises a bug of either."""
        self._background = [
            asyncio.create_task(self._commits.run()),
            asyncio.create_task(self._ends.run()),
        ]
        try:
            yield
        finally:
            tasks = [*self._background, *self._identities.tasks]
            for task in tasks:
                task.cancel()
            # The client is shut down next, so their errors do not matter.
            await asyncio.gather(*tasks, return_exceptions=True)

    def note_joined(self) -> None:
        """Note that the group has assigned partitions to this member, or none of them."""
        self._ends.is_member = True

    def note_left(self) -> None:
        """Note that the partitions are revoked: commit nothing more of them."""
        self._ends.is_member = False
        self._commits.forget()

    @contextlib.contextmanager
    def noting_bug(self) -> Iterator[None]:
        """Keep an exception for the next fetch, instead of raising it where aiokafka drops it."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - raised by `raise_bug`
            self._bug = self._bug or error

    def raise_bug(self) -> None:
        """
        Raise the kept exception, once.

        Raises:
            RuntimeError: even for an exception that would look like an outage of Kafka.
        """
        bug, self._bug = self._bug, None
        if bug is not None:
            raise RuntimeError(f"the rebalance listener failed: {bug!r}") from bug

    async def fetch(self, partitions: Collection[Partition]) -> Mapping[Partition, FetchedRecords]:
        """
        Return the records of `partitions` that arrive within POLL_MS.

        The client keeps one fetch of each other partition: `group.FETCH_BYTES`, or one batch of a
        producer if that is larger.

        Raises:
            OutOfRange: the topic does not have an offset any more, or not yet.
            KafkaError: the client has lost its group, or Kafka refused it; it has to be replaced.
        """
        now = time.monotonic()
        self._check_client(now)
        topic_partitions = [*map(self._in_kafka, partitions)] or [_NO_PARTITION]
        are_all_fetched = len(partitions) == len(self._client.assignment())
        fetched: Mapping[TopicPartition, Sequence[Record]] | None
        try:
            # aiokafka waits for the end of a rebalance without a time-out of its own.
            with kafka_failures():
                async with asyncio.timeout(CALL_TIMEOUT_S):
                    # Records, because of `decode_as_records`.
                    fetched = await self._client.getmany(  # type: ignore[assignment]
                        *topic_partitions,
                        timeout_ms=POLL_MS if are_all_fetched else BUSY_POLL_MS,
                        max_records=FETCH_RECORDS,
                    )
        except TimeoutError:
            fetched = None
        except OffsetOutOfRangeError as error:
            await self._raise_out_of_range(error)
            return {}
        # A client that has lost its group's coordinator may wait in `getmany`, or return
        # immediately.
        if fetched is None or not self._ends.is_member:
            if now - self._fetched_at > REJOIN_TIMEOUT_S:
                raise KafkaError(f"the group was not joined for {REJOIN_TIMEOUT_S:g} s")
            return {}
        self._fetched_at = now
        next_offsets = await self._fetch_offsets(topic_partitions)
        return {
            self._bare(tp): FetchedRecords(fetched.get(tp, ()), next_fetch_offset)
            for tp, next_fetch_offset in next_offsets.items()
        }

    def _check_client(self, now: float) -> None:
        """
        Check that the client and the tasks in the background work; aiokafka does not report it.

        Raises:
            KafkaError: the client cannot commit, or one of its tasks has ended.
        """
        self.raise_bug()
        for task in self._background:
            if task.done():
                task.result()
        if (part := ended_task(self._client)) is not None:
            name, error = part
            raise KafkaError(f"the task of the client that {name} has ended: {error!r}") from error
        self._commits.check(now)

    async def _raise_out_of_range(self, error: OffsetOutOfRangeError) -> None:
        offsets: Mapping[TopicPartition, int] = error.args[0]
        # After a `seek`, the client may report the offset before it once more.
        current = await self._fetch_offsets(offsets)
        refused = {
            self._bare(tp): offset for tp, offset in offsets.items() if current.get(tp) == offset
        }
        if refused:
            raise OutOfRange(refused) from error

    async def _fetch_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> Mapping[TopicPartition, int]:
        # Every partition was given an offset on assignment, so this does not wait. If it did, the
        # records that were fetched would be lost: then the client is replaced.
        assigned = self._client.assignment()
        try:
            with kafka_failures():
                async with asyncio.timeout(CALL_TIMEOUT_S):
                    return {
                        tp: await self._client.position(tp) for tp in partitions if tp in assigned
                    }
        except (TimeoutError, IllegalStateError) as error:
            raise KafkaError("a partition has no position after a fetch") from error

    def seek(self, partition: Partition, next_offset: int) -> None:
        """Fetch from `next_offset` on; ignore a partition that was just revoked."""
        with contextlib.suppress(IllegalStateError):
            self._client.seek(self._in_kafka(partition), next_offset)
            self._client.resume(self._in_kafka(partition))

    def cached_end_offset(self, partition: Partition) -> int | None:
        """Return the last stable offset, as of some seconds ago, None if it is unknown."""
        return self._ends.cached_end_offset(self._in_kafka(partition))

    async def committed(self, partition: Partition) -> int | None:
        """
        Return the group's committed offset, None if there is none.

        Raises:
            KafkaUnavailable: Kafka does not answer.
        """
        async with _kafka_call("the committed offset"):
            return await committed_offset_of(self._client, self._in_kafka(partition))

    async def log_start(self, partition: Partition) -> int:
        """
        Return the lowest offset that the partition has.

        Raises:
            KafkaUnavailable: Kafka does not answer.
        """
        tp = self._in_kafka(partition)
        async with _kafka_call("the first offset"):
            starts: Mapping[TopicPartition, int] = await self._client.beginning_offsets([tp])
            return starts[tp]

    async def end_offset(self, partition: Partition) -> int:
        """
        Return the last stable offset.

        Raises:
            KafkaUnavailable: Kafka does not answer.
        """
        tp = self._in_kafka(partition)
        async with _kafka_call("the last offset"):
            ends: Mapping[TopicPartition, int] = await self._client.end_offsets([tp])
            return ends[tp]

    async def log_identity(self, partition: Partition, *, since: float) -> LogIdentity:
        """Return the identity as `PartitionIdentities` does."""
        return await self._identities.log_identity(self._in_kafka(partition), since=since)

    def commit(self, partition: Partition, next_offset: int) -> None:
        """Commit `next_offset` soon, in the background."""
        self._commits.note(self._in_kafka(partition), next_offset)


@contextlib.asynccontextmanager
async def _kafka_call(what: str) -> AsyncIterator[None]:
    try:
        with kafka_failures():
            async with asyncio.timeout(CALL_TIMEOUT_S):
                yield
    except (KafkaError, TimeoutError) as error:
        raise KafkaUnavailable(f"Kafka did not return {what}: {error!r}") from error
