"""Kafka as the runtime sees it: read_committed, no commit but by number, no silent jump."""

import asyncio
import contextlib
import logging
import time
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from typing import NamedTuple, Protocol

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    OffsetOutOfRangeError,
)

from consumers.runtime.batch import Partition, Record
from consumers.runtime.handler import Unavailable
from consumers.runtime.waiting import Waiting
from schemas.client_parts import ended_part, retrieve
from schemas.clients import kafka_failures
from schemas.topic_ids import TopicLog, topic_log

log = logging.getLogger(__name__)

# At once, of all partitions: what is worked on stays in the processor's caches.
FETCH_RECORDS = 1024
POLL_MS = 200
# While some partition wants nothing, because it is busy: it may want more in a moment.
BUSY_POLL_MS = 10
# aiokafka's search for the group's coordinator may never end after a broker's restart, while
# fetches go on; a client that could not commit, or not join, for this long is replaced.
LOST_S = 20.0
REJOIN_S = 40.0  # longer than a rebalance may take, `group.REBALANCE_TIMEOUT_MS`
COMMIT_S = 5.0
COMMIT_PAUSE_S = 0.5
MEASURE_S = 5.0
CALL_S = 10.0
# What is asked for where nothing is wanted: the client has to be polled to stay in its group.
_NONE = TopicPartition("-", 0)


class Fetched(NamedTuple):
    """What came of a partition. The next fetch goes on at `reached`, behind markers too."""

    records: Sequence[Record]
    reached: int


class OutOfRange(Exception):
    """The topic does not have the offsets, per partition, at which it is to be read."""

    def __init__(self, offsets: Mapping[Partition, int]) -> None:
        super().__init__(f"out of range: {offsets}")
        self.offsets = offsets


class Identity(NamedTuple):
    """
    The log of a partition's records. Offsets of two different identities cannot be compared.

    `topic_id` is Kafka's, None if it reports none. `log` differs after every election of a leader
    and every new connection to it: then the log may have been cut, or restored from an older copy.
    """

    topic_id: str | None
    log: object


class Source(Protocol):
    """What the runner needs of Kafka; the simulation has a twin of it."""

    async def fetch(self, partitions: Collection[Partition]) -> Mapping[Partition, Fetched]:
        """
        Return what has arrived of `partitions`, after a short wait at most; often nothing.

        The membership goes on by it, also where `partitions` is empty.

        Raises:
            OutOfRange: until a `seek` of these partitions. Of others nothing is lost.
        """
        ...

    def seek(self, partition: Partition, next_offset: int) -> None:
        """Fetch `partition` from `next_offset` on."""
        ...

    def end(self, partition: Partition) -> int | None:
        """Return the offset behind all that can be read, as it was some seconds ago, if known."""
        ...

    async def committed(self, partition: Partition) -> int | None:
        """Return the group's committed offset."""
        ...

    async def beginning(self, partition: Partition) -> int:
        """Return the lowest offset that the partition still has."""
        ...

    async def ending(self, partition: Partition) -> int:
        """Return the present offset after all records that can be read."""
        ...

    async def identity(self, partition: Partition, *, since: float) -> Identity:
        """
        Return the partition's identity, as it was at `since` (`time.monotonic`) or later.

        Raises:
            Unavailable: Kafka does not answer, or the topic does not exist now.
        """
        ...

    def commit(self, partition: Partition, next_offset: int) -> None:
        """Have it committed soon, for lag tools. Nothing waits for it or depends on it."""
        ...


class KafkaSource:
    """The real one. Partitions come paused, so that no record is fetched before `seek`."""

    def __init__(self, client: AIOKafkaConsumer, waiting: Waiting | None = None) -> None:
        self._client = client
        self._waiting = waiting or Waiting("the consumer")
        self._reached: dict[TopicPartition, int] = {}
        self._ends: Mapping[TopicPartition, int] = {}
        self._to_commit = asyncio.Event()
        # The time since which commits have failed, None if they succeed.
        self._commits_fail_since: float | None = None
        self._fetched_at = time.monotonic()
        self._bug: Exception | None = None
        # Between an assignment, which may be empty, and the next revocation.
        self.is_member = False
        self._background: list[asyncio.Task[None]] = []
        # By broker and topic: the time of the last request, and its answer.
        self._asked: dict[tuple[int, str], tuple[float, asyncio.Task[TopicLog]]] = {}

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
            RuntimeError: even for an error that would look like an outage of Kafka.
        """
        bug, self._bug = self._bug, None
        if bug is not None:
            raise RuntimeError(f"the rebalance listener failed: {bug!r}") from bug

    @contextlib.asynccontextmanager
    async def in_background(self) -> AsyncIterator[None]:
        """Commit and measure meanwhile. Either ends by a bug alone, which the next fetch raises."""
        self._background = [
            asyncio.create_task(self._keep_committing()),
            asyncio.create_task(self._keep_measuring()),
        ]
        try:
            yield
        finally:
            tasks = [*self._background, *(answer for _, answer in self._asked.values())]
            for task in tasks:
                task.cancel()
            # Errors that come now, because the client ends, do not matter.
            await asyncio.gather(*tasks, return_exceptions=True)

    async def fetch(self, partitions: Collection[Partition]) -> Mapping[Partition, Fetched]:
        """
        Return what has arrived of `partitions`, after POLL_MS at most.

        Of the others one fetch stays in the client, and no more: `group.FETCH_BYTES`, or one batch
        of a producer, where that is larger.

        Raises:
            OutOfRange: an offset does not exist in the topic any more, or not yet.
            KafkaError: this client has lost its group, or Kafka refused it; make a new one.
        """
        self.raise_bug()
        for task in self._background:
            if task.done():
                task.result()
        now = time.monotonic()
        self._check_client(now)
        wanted = [TopicPartition(*each) for each in partitions] or [_NONE]
        all_wanted = len(partitions) == len(self._client.assignment())
        try:
            # aiokafka waits for the end of a rebalance without a bound of its own.
            with kafka_failures():
                async with asyncio.timeout(CALL_S):
                    fetched = await self._client.getmany(
                        *wanted,
                        timeout_ms=POLL_MS if all_wanted else BUSY_POLL_MS,
                        max_records=FETCH_RECORDS,
                    )
        except TimeoutError:
            fetched = None
        except OffsetOutOfRangeError as error:
            offsets = error.args[0]
            # A partition that was moved elsewhere meanwhile is told of its old place once more.
            now_at = await self._positions(offsets)
            refused = {Partition(*tp): at for tp, at in offsets.items() if now_at.get(tp) == at}
            if not refused:
                return {}
            raise OutOfRange(refused) from error
        # A client whose group's coordinator is lost may wait here, or return nothing at once.
        if fetched is None or not self.is_member:
            if now - self._fetched_at > REJOIN_S:
                raise KafkaError(f"the group was not joined for {REJOIN_S:g} s")
            return {}
        self._fetched_at = now
        reached = await self._positions(wanted)
        return {
            Partition(*tp): Fetched(
                [
                    Record(r.offset, r.timestamp, r.key, r.value or b"", r.headers)
                    for r in fetched.get(tp, ())
                ],
                position,
            )
            for tp, position in reached.items()
        }

    def _check_client(self, now: float) -> None:
        """
        Check that the client works, because aiokafka does not report it.

        Raises:
            KafkaError: the client cannot commit, or one of its tasks has ended.
        """
        if (part := ended_part(self._client)) is not None:
            name, error = part
            raise KafkaError(f"the task of the client that {name} has ended: {error!r}") from error
        since = self._commits_fail_since
        if since is not None and now - since > LOST_S:
            raise KafkaError(f"no offset could be committed for {LOST_S:g} s")

    async def _positions(self, wanted: Iterable[TopicPartition]) -> Mapping[TopicPartition, int]:
        # Every partition was given a position on assignment, so this waits for nothing. If it did,
        # what was fetched must not be forgotten alone: the client goes, and its positions with it.
        assigned = self._client.assignment()
        try:
            with kafka_failures():
                async with asyncio.timeout(CALL_S):
                    return {tp: await self._client.position(tp) for tp in wanted if tp in assigned}
        except (TimeoutError, IllegalStateError) as error:
            raise KafkaError("a partition has no position after a fetch") from error

    def seek(self, partition: Partition, next_offset: int) -> None:
        """Fetch from `next_offset` on; a partition that has just moved away is no error."""
        with contextlib.suppress(IllegalStateError):
            self._client.seek(TopicPartition(*partition), next_offset)
            self._client.resume(TopicPartition(*partition))

    def end(self, partition: Partition) -> int | None:
        """Return the last stable offset, at most MEASURE_S old."""
        return self._ends.get(TopicPartition(*partition))

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
        return await _offset("the first offset", self._client.beginning_offsets, partition)

    async def ending(self, partition: Partition) -> int:
        """
        Return the last stable offset.

        Raises:
            Unavailable: Kafka does not answer.
        """
        return await _offset("the last offset", self._client.end_offsets, partition)

    async def identity(self, partition: Partition, *, since: float) -> Identity:
        """
        Return the identity that the partition's leader reports; its partitions share an answer.

        Raises:
            Unavailable: Kafka does not answer, or has no such topic now.
        """
        client = self._client._client  # noqa: SLF001
        leader = client.cluster.leader_for_partition(TopicPartition(*partition))
        if leader is None or leader < 0:
            raise Unavailable(f"Kafka reports no leader of {partition}")
        asked_at, answer = self._asked.get((leader, partition.topic), (-1.0, None))
        if answer is None or asked_at < since or _has_failed(answer):
            answer = asyncio.create_task(_ask(client, leader, partition.topic))
            answer.add_done_callback(_has_failed)  # its callers may have been cancelled
            self._asked[leader, partition.topic] = time.monotonic(), answer
        await asyncio.wait((answer,))
        if answer.cancelled():
            raise Unavailable("the client ends")
        with _answering(f"the id of the topic {partition.topic}"):
            found = answer.result()
        return Identity(
            found.topic_id, (leader, found.epochs.get(partition.number), found.connection)
        )

    def commit(self, partition: Partition, next_offset: int) -> None:
        """Have it committed by number, together with what else was reached meanwhile."""
        self._reached[TopicPartition(*partition)] = next_offset
        self._to_commit.set()

    def forget(self) -> None:
        """Commit nothing of what was reached: the partitions are another member's."""
        self._reached.clear()
        self._commits_fail_since = None

    async def _keep_measuring(self) -> None:
        """Ask for the partitions' ends until cancelled; what fails is logged, and asked again."""
        while True:
            if assigned := list(self._client.assignment()):
                try:
                    with kafka_failures():
                        async with asyncio.timeout(CALL_S):
                            self._ends = await self._client.end_offsets(assigned)
                except (KafkaError, TimeoutError) as error:
                    self._waiting.failed(error)
                else:
                    self._waiting.answered()
            elif missing := self._missing_topics():
                self._waiting.failed(KafkaError(f"{missing}; make it with: hookline topics apply"))
            await asyncio.sleep(MEASURE_S)

    def _missing_topics(self) -> str:
        """Say which topic a member waits for, "" if it waits for others to leave partitions."""
        if not self.is_member:
            return ""
        cluster = self._client._client.cluster  # noqa: SLF001
        missing = [t for t in self._client.subscription() if not cluster.partitions_for_topic(t)]
        return f"the topic {', '.join(missing)} is missing" if missing else ""

    async def _keep_committing(self) -> None:
        """Commit what is reached until cancelled. What fails is tried again with what follows."""
        while True:
            await self._to_commit.wait()
            self._to_commit.clear()
            if not (reached := dict(self._reached)):
                continue  # it is forgotten
            try:
                with kafka_failures():
                    await self._commit(reached)
            except (CommitFailedError, IllegalStateError) as error:
                log.info("a partition has moved to another member: %r", error)
                self.forget()
            except (KafkaError, TimeoutError) as error:
                self._note_failed_commit(error)
                self._to_commit.set()
            else:
                self._commits_fail_since = None
                for tp, offset in reached.items():
                    if self._reached.get(tp) == offset:
                        del self._reached[tp]
            await asyncio.sleep(COMMIT_PAUSE_S)

    async def _commit(self, reached: Mapping[TopicPartition, int]) -> None:
        # In a task, so that no time-out cancels it: aiokafka would not clean up after its request,
        # and asyncio would report an error that was never retrieved.
        committing = asyncio.create_task(self._client.commit(dict(reached)))
        committing.add_done_callback(retrieve)  # this task may be cancelled meanwhile
        try:
            await asyncio.wait((committing,), timeout=COMMIT_S)
            if not committing.done():
                self._note_failed_commit(TimeoutError())
                await asyncio.wait((committing,))
            committing.result()
        finally:
            committing.cancel()

    def _note_failed_commit(self, error: Exception) -> None:
        if self._commits_fail_since is None:
            log.info("offsets are not committed, which costs nothing: %r", error)
            self._commits_fail_since = time.monotonic()


async def _offset(
    what: str,
    ask: Callable[[list[TopicPartition]], Awaitable[Mapping[TopicPartition, int]]],
    partition: Partition,
) -> int:
    tp = TopicPartition(*partition)
    with _answering(what):
        async with asyncio.timeout(CALL_S):
            return (await ask([tp]))[tp]


async def _ask(client: AIOKafkaClient, node_id: int, topic: str) -> TopicLog:
    async with asyncio.timeout(CALL_S):
        return await topic_log(client, node_id, topic)


def _has_failed(answer: asyncio.Task[TopicLog]) -> bool:
    return answer.done() and (answer.cancelled() or answer.exception() is not None)


@contextlib.contextmanager
def _answering(what: str) -> Iterator[None]:
    try:
        with kafka_failures():
            yield
    except (KafkaError, TimeoutError) as error:
        raise Unavailable(f"Kafka does not tell {what}: {error!r}") from error
