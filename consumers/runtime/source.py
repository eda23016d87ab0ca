"""Kafka as the runtime sees it: read_committed, no commit but by number, no silent jump."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Protocol

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    OffsetOutOfRangeError,
)

from consumers.runtime.batch import Partition, Record
from consumers.runtime.handler import Stopped, Unavailable

log = logging.getLogger(__name__)

FETCH_BYTES = 256 << 10
POLL_MS = 200
# aiokafka's search for the group's coordinator may never end after a broker's restart, while
# fetches go on; a client that could not commit, or not join, for this long is replaced.
LOST_S = 20.0
REJOIN_S = 40.0  # longer than a rebalance may take
COMMIT_S = 5.0
COMMIT_PAUSE_S = 0.5
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


class Fetched(NamedTuple):
    """What came of a partition. The next fetch goes on at `reached`, behind markers too."""

    records: Sequence[Record]
    reached: int


class Source(Protocol):
    """What the runner needs of Kafka; the simulation has a twin of it."""

    async def fetch(self) -> Mapping[Partition, Fetched]:
        """Return what has arrived of every partition, after a short wait at most; often nothing."""
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

    def commit(self, partition: Partition, next_offset: int) -> None:
        """Have it committed soon, for lag tools. Nothing waits for it or depends on it."""
        ...


class KafkaSource:
    """The real one. Partitions come paused, so that no record is fetched before `seek`."""

    def __init__(self, client: AIOKafkaConsumer) -> None:
        self._client = client
        self._reached: dict[TopicPartition, int] = {}
        self._to_commit = asyncio.Event()
        now = time.monotonic()
        self._committed_at = now
        self._fetched_at = now
        # Between an assignment, which may be empty, and the next revocation.
        self.is_member = False

    async def fetch(self) -> Mapping[Partition, Fetched]:
        """
        Return what has arrived of every partition that is ours.

        Raises:
            Stopped: an offset that is wanted does not exist in the topic any more, or not yet.
            KafkaError: this client has lost its group, or Kafka refused it; make a new one.
        """
        now = time.monotonic()
        if self._reached and now - self._committed_at > LOST_S:
            raise KafkaError(f"no offset could be committed for {LOST_S:g} s")
        try:
            # aiokafka waits for the end of a rebalance without a bound of its own.
            async with asyncio.timeout(CALL_S):
                fetched = await self._client.getmany(timeout_ms=POLL_MS)
        except TimeoutError:
            fetched = None
        except OffsetOutOfRangeError as error:
            raise Stopped(_gone(error)) from error
        # A client whose group's coordinator is lost may wait here, or return nothing at once.
        if fetched is None or not self.is_member:
            if now - self._fetched_at > REJOIN_S:
                raise KafkaError(f"the group was not joined for {REJOIN_S:g} s")
            return {}
        self._fetched_at = now
        reached = await self._positions()
        return {
            Partition(tp.topic, tp.partition): Fetched(
                [
                    Record(r.offset, r.timestamp, r.key, r.value or b"", tuple(r.headers))
                    for r in fetched.get(tp, ())
                ],
                position,
            )
            for tp, position in reached.items()
        }

    async def _positions(self) -> Mapping[TopicPartition, int]:
        # Every partition was given a position on assignment, so this waits for nothing. If it did,
        # what was fetched must not be forgotten alone: the client goes, and its positions with it.
        try:
            async with asyncio.timeout(CALL_S):
                return {tp: await self._client.position(tp) for tp in self._client.assignment()}
        except (TimeoutError, IllegalStateError) as error:
            raise KafkaError("a partition has no position after a fetch") from error

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

    def commit(self, partition: Partition, next_offset: int) -> None:
        """Have it committed by number, together with what else was reached meanwhile."""
        if not self._reached:
            self._committed_at = time.monotonic()
        self._reached[TopicPartition(*partition)] = next_offset
        self._to_commit.set()

    def forget(self) -> None:
        """Commit nothing of what was reached: the partitions are another member's."""
        self._reached.clear()

    async def keep_committing(self) -> None:
        """Commit what is reached until cancelled. What fails is tried again with what follows."""
        while True:
            await self._to_commit.wait()
            self._to_commit.clear()
            reached = dict(self._reached)
            try:
                async with asyncio.timeout(COMMIT_S):
                    await self._client.commit(reached)
            except (CommitFailedError, IllegalStateError) as error:
                log.info("a partition has moved to another member: %r", error)
                self.forget()
            except (KafkaError, TimeoutError) as error:
                log.info("offsets are not committed, which costs nothing: %r", error)
                self._to_commit.set()
            else:
                self._committed_at = time.monotonic()
                for tp, offset in reached.items():
                    if self._reached.get(tp) == offset:
                        del self._reached[tp]
            await asyncio.sleep(COMMIT_PAUSE_S)


@contextlib.asynccontextmanager
async def kafka_source(
    *,
    bootstrap_servers: str,
    group: str,
    topic: str,
    assignments: Assignments,
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
    source = KafkaSource(client)
    try:
        async with asyncio.timeout(CALL_S):
            await client.start()
        client.subscribe([topic], listener=_Listener(client, source, assignments))
        committing = asyncio.create_task(source.keep_committing())
        try:
            yield source
        finally:
            committing.cancel()
    finally:
        with contextlib.suppress(TimeoutError, KafkaError):
            async with asyncio.timeout(STOP_S):
                await client.stop()


class _Listener(ConsumerRebalanceListener):
    """Short and without awaits of its own: aiokafka logs what it raises and goes on."""

    def __init__(
        self, client: AIOKafkaConsumer, source: KafkaSource, assignments: Assignments
    ) -> None:
        self._client = client
        self._source = source
        self._assignments = assignments

    async def on_partitions_assigned(self, assigned: Iterable[TopicPartition]) -> None:
        # A position at once, so that aiokafka looks for none by itself.
        for tp in assigned:
            self._client.pause(tp)
            self._client.seek(tp, 0)
        self._source.is_member = True
        self._assignments.given([Partition(*tp) for tp in sorted(assigned)])

    async def on_partitions_revoked(self, _revoked: object) -> None:
        self._source.is_member = False
        self._source.forget()
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
