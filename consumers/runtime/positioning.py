"""
Find the offset at which a partition continues: the sink's position, compared with the topic.

The sink is asked on assignment, if its position is uncertain, and at intervals while the partition
is idle. A refused write reports the position, if there is one. Kafka is asked for the topic's id
before each write.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass

from consumers.runtime.backoff import Backoff, RepeatedWarning
from consumers.runtime.batch import Partition, Position
from consumers.runtime.batch_queue import BatchQueue
from consumers.runtime.consumer_parts import ConsumerParts
from consumers.runtime.continuity import check_not_emptied, check_offsets, check_topic
from consumers.runtime.handler import HANDLE_TIMEOUT_S, PositionDiffers, Stopped, Unavailable
from consumers.runtime.source import LogIdentity, Source

log = logging.getLogger(__name__)

# At this interval Kafka is asked whether the topic is still the same, and the sink of an idle
# partition whether its position is. A write would show both, but after a topic was recreated, or a
# sink was restored to an older state, the next record may come late.
RECHECK_INTERVAL_S = 10.0


class PositionUncertain(Exception):
    """
    The sink has to be asked for its position again; held records are dropped before.

    The known position may be wrong: the topic may be another one, other members may have moved the
    position while a batch was held, or the sink may have applied a batch that took too long.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class LocatedPosition:
    """
    The sink's position, and the log in which it is.

    `identity` and `log_start` are the topic's identity and first offset, as Kafka reported them
    before the sink was last asked. The offset of a position that a refused write has reported is
    not checked here; the next fetch shows whether Kafka has it.
    """

    position: Position
    identity: LogIdentity
    log_start: int


class Positioning:
    """Finds the sink's position, and makes the partition's queue and fetches begin there."""

    def __init__(
        self,
        partition: Partition,
        source: Source,
        parts: ConsumerParts,
        queue: BatchQueue,
        backoff: Backoff,
    ) -> None:
        self._partition = partition
        self._name_in_kafka = parts.name_in_kafka(partition)
        self._source = source
        self._parts = parts
        self._queue = queue
        self._backoff = backoff
        self._warning = RepeatedWarning(parts.clock)
        # The group's committed offset when the sink's position was asked for last.
        self.committed_then: int | None = None
        # The topic's identity when the sink's position was compared with the topic.
        self._identity: LogIdentity | None = None
        self._checked_at = parts.clock()
        # `out_of_range`: the offset that Kafka reported missing, not yet handled.
        # `_out_of_range_before`: the one handled last, None once a batch is applied. If the offset
        # recurs, asking the sink did not help, and the consumer stops.
        self.out_of_range: int | None = None
        self._out_of_range_before: int | None = None

    async def find_or_store_position(self) -> LocatedPosition:
        """
        Return the sink's position; a sink without one first gets that of the topic's beginning.

        Retry as long as the sink or Kafka does not answer.

        Raises:
            Stopped: the topic in Kafka does not continue the position, or the sink was emptied.
        """
        while True:
            try:
                located = await self._find_or_store_once()
            except Unavailable as error:
                self._warn_no_position(error)
                await self._backoff.wait(error)
            else:
                self._backoff.note_success()
                return located

    async def _find_or_store_once(self) -> LocatedPosition:
        """Do the same once; raise Unavailable if the sink or Kafka does not answer."""
        name, where = self._parts.name, self._name_in_kafka
        # The order matters. First ask Kafka: the records that it has committed or deleted by then
        # must be in the sink's answer. Answers about a topic after its id are of that topic or of a
        # later one.
        identity = await self._source.log_identity(self._partition, since=self._parts.clock())
        self.committed_then = await self._source.committed(self._partition)
        log_start = await self._source.log_start(self._partition)
        async with self._time_limit("did not return its position"):
            position = await self._parts.handler.position(self._partition)
        if position is None:
            if not self._parts.may_refill_sink:
                check_not_emptied(name, where, self.committed_then)
            position = await self._store_first(Position(log_start, None, identity.topic_id))
        check_topic(name, where, position, identity.topic_id)
        end_offset = await self._source.end_offset(self._partition)
        check_offsets(name, where, position, log_start=log_start, end_offset=end_offset)
        return LocatedPosition(position=position, identity=identity, log_start=log_start)

    async def _store_first(self, position: Position) -> Position:
        """Make the sink begin at `position`; if another member was first, return its position."""
        async with self._time_limit("did not store its first position"):
            await self._parts.handler.store_first_position(self._partition, position)
            stored_position = await self._parts.handler.position(self._partition)
        if stored_position is None:
            raise Unavailable("the sink has no position although it has stored one")
        return stored_position

    def continue_at(self, located: LocatedPosition) -> None:
        """
        Make the queue and the fetches begin at the sink's position; commit it, if it is later.

        Raises:
            Stopped: the position is of another topic.
        """
        position, identity = located.position, located.identity
        check_topic(self._parts.name, self._name_in_kafka, position, identity.topic_id)
        self.out_of_range = None
        self._identity = identity
        # A last record that retention has deleted cannot be compared.
        refetches_last = position.last is not None and position.last[0] >= located.log_start
        if position.topic_id is None and refetches_last:
            # The id is known from here on: no batch is written before the last record is found.
            position = position._replace(topic_id=identity.topic_id)
        log.info(
            "%s continues with %s at offset %d",
            *(self._parts.name, self._name_in_kafka, position.next_offset),
        )
        self._queue.begin(position, refetches_last=refetches_last)
        # The last record is fetched again, to be compared.
        fetch_offset = (
            position.last[0] if position.last and refetches_last else position.next_offset
        )
        self._source.seek(self._partition, fetch_offset)
        # If the last owner has not committed its last batch, an idle partition would seem to lag.
        if position.next_offset > (self.committed_then or 0):
            self._source.commit(self._partition, position.next_offset)

    async def confirm_topic(self, *, since: float) -> bool:
        """
        Return True if the topic was the same at `since` or later, False if Kafka does not answer.

        A client fetches by the topic's name, and does not notice that another topic has this name
        now. So Kafka is asked for the id after the fetch: an id is never used again.

        Raises:
            PositionUncertain: the topic is another one, or its log may have been truncated or
                restored meanwhile. The sink's position has to be compared again with the topic's id
                and with the record before the position.
        """
        try:
            identity = await self._source.log_identity(self._partition, since=since)
        except Unavailable as error:
            text = "%s cannot confirm the topic id of %s now; it asks Kafka before it writes: %s"
            self._warning.log(text, self._parts.name, self._name_in_kafka, error)
            return False
        if identity != self._identity:
            raise PositionUncertain("the topic, or the log of the partition, may be another one")
        return True

    async def recheck(self) -> None:
        """
        Each RECHECK_INTERVAL_S, ask Kafka for the topic again and, if nothing is held, the sink.

        Raises:
            PositionUncertain: the topic, or the log of the partition, may be another one.
            PositionDiffers: the sink has another position, for example that of an older copy.
            Stopped: the topic is another one or an older copy, or the sink was emptied.
        """
        now = self._parts.clock()
        if now - self._checked_at < RECHECK_INTERVAL_S:
            return
        self._checked_at = now
        if not self._queue.is_empty:
            await self.confirm_topic(since=now)
            return
        next_offset = self._queue.next_offset
        try:
            located = await self._find_or_store_once()
        except Unavailable as error:
            self._backoff.note(error)
            self._warn_no_position(error)
            return
        self._backoff.note_success()
        if located.identity != self._identity:
            raise PositionUncertain("the topic, or the log of the partition, may be another one")
        # Records that were fetched meanwhile are held, not applied, so they change no position.
        if located.position.next_offset != next_offset:
            raise PositionDiffers(located.position)

    def check_range(self) -> None:
        """
        Check that Kafka had the offset at which the partition was to be fetched.

        Raises:
            PositionUncertain: Kafka did not have it. Another member may have moved the sink's
                position.
            Stopped: the sink was asked, and expects the same offset.
        """
        offset, self.out_of_range = self.out_of_range, None
        if offset is None:
            return
        if offset == self._out_of_range_before:
            raise Stopped(
                f"The sink of {self._parts.name} expects {self._name_in_kafka} at {offset}, which "
                "the topic does not have. Either retention deleted records before they were in the "
                "sink, or the topic was created again. To continue in silence would hide the loss; "
                "see 'A consumer stops' in docs/runbook.md."
            )
        self._out_of_range_before = offset
        raise PositionUncertain(f"the topic does not have offset {offset}")

    def note_applied(self) -> None:
        """Note that the sink's position has moved on: Kafka had all offsets before it."""
        self._out_of_range_before = None

    def _warn_no_position(self, error: Unavailable) -> None:
        text = "%s cannot find the position of its sink in %s: %s"
        self._warning.log(text, self._parts.name, self._name_in_kafka, error)

    @contextlib.asynccontextmanager
    async def _time_limit(self, failure: str) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(HANDLE_TIMEOUT_S):
                yield
        except TimeoutError as error:
            raise Unavailable(f"the sink {failure} within {HANDLE_TIMEOUT_S:g} s") from error
