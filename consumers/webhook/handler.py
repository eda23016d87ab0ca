"""
The handler of a webhook: deliver a batch to the target, then move the position in the retry topic.

The position and the callbacks that the batch parks are one transaction. A crash before it repeats
the batch's deliveries with the same ids; nothing is skipped, and first deliveries stay in order.
"""

import asyncio
import contextlib
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from consumers.runtime.batch import Batch, Partition, Position
from consumers.runtime.handler import PositionDiffers, SinkState, Unavailable
from consumers.runtime.ongoing_failure import OngoingFailure
from consumers.runtime.pending_batch import offset_and_place
from consumers.runtime.source import KafkaUnavailable
from consumers.webhook.batch_delivery import BatchDelivery
from consumers.webhook.batch_result import BatchResult
from consumers.webhook.gauges import set_circuit_gauge, set_parked_gauges
from consumers.webhook.outcome import OutcomeKind, target_is_gone
from consumers.webhook.parked_bounds import ParkedBounds
from consumers.webhook.parking import parked
from consumers.webhook.remembered_outcomes import RememberedOutcomes
from consumers.webhook.retries import Retries
from consumers.webhook.retry_partition import OwnershipLost, RetryPartition
from consumers.webhook.retry_record import TargetBegin
from consumers.webhook.retry_state import RetryState
from consumers.webhook.retry_topic import RetryTopic
from schemas.client_parts import mark_retrieved

# A rebalance waits for the end of a claim and of the retries; what they have in flight is dropped.
RELEASE_S_MAX = 1.0


@dataclass(frozen=True, slots=True)
class ClaimedPartition:
    """A partition that this member has claimed, and the task that delivers its parked callbacks."""

    retry_partition: RetryPartition
    closing: contextlib.AsyncExitStack
    retrying: asyncio.Task[None]


class WebhookHandler:
    """Delivers the callbacks of the partitions that the runtime has assigned to this member."""

    def __init__(
        self, topic: RetryTopic, delivery: BatchDelivery, retries: Retries, parked_max: ParkedBounds
    ) -> None:
        self._topic = topic
        self._delivery = delivery
        self._retries = retries
        self.brake = retries.rejections.brake
        self.parked_max = parked_max
        self._claimed: dict[Partition, ClaimedPartition] = {}
        self._remembered: dict[Partition, RememberedOutcomes] = {}
        # The partitions whose state is read, and those whose claim failed, until it is reported.
        self._claiming: dict[Partition, asyncio.Task[RetryPartition]] = {}
        self._closing: set[asyncio.Task[Any]] = set()

    @property
    def states(self) -> list[RetryState]:
        """The states of the partitions that this member has claimed."""
        return [claimed.retry_partition.state for claimed in self._claimed.values()]

    async def measure(self, partitions: Collection[Partition] | None) -> SinkState:
        """Set the gauges; an open circuit is a failure of the target, also if no batch waits."""
        claimed = {at for at, each in self._claimed.items() if not each.retry_partition.is_lost}
        is_known = partitions is not None and claimed >= set(partitions)
        set_parked_gauges(self.states if is_known else None, self.parked_max.fill)
        circuit = self._retries.circuit
        set_circuit_gauge(circuit, in_group=partitions is not None)
        if circuit.opened_at is None or partitions is None:
            return SinkState()
        error = Unavailable(f"the target is down: {circuit.reason}")
        return SinkState(failure=OngoingFailure(error, circuit.opened_at))

    async def position(self, partition: Partition) -> Position | None:
        """
        Return the position in the retry topic; claim the partition if it is not this member's.

        Raises:
            Unavailable: Kafka does not answer.
            Stopped: the retry topic cannot be used, or the target is gone.
        """
        return (await self._current(partition)).state.position

    async def store_first_position(self, partition: Partition, position: Position) -> None:
        """
        Store `position`, unless the retry topic has one of `partition` already.

        Raises:
            Unavailable: Kafka does not answer.
        """
        retry_partition = await self._current(partition)
        if retry_partition.state.position is None:
            await retry_partition.write([TargetBegin(position), position])

    async def handle(self, batch: Batch) -> None:
        """
        Deliver the batch, park the conversations that fail, and move the position.

        Raises:
            Unavailable: the target is down, Kafka does not answer, or too much is parked.
            PositionDiffers: the position is another one, or the target is slow and only a part was
                done.
            Stopped: the target is gone, or refuses too many callbacks.
        """
        retry_partition = await self._current(batch.partition)
        position = retry_partition.state.position
        if position is None or not batch.follows(position):
            raise PositionDiffers(position)
        self._check_room(batch.partition, retry_partition.state)
        remembered = self._remembered.setdefault(
            batch.partition, RememberedOutcomes(batch.partition)
        )
        remembered.forget_before(batch.begins_at)
        result = await self._delivery.deliver(batch, retry_partition.state, remembered)
        _check_answers(result)
        slow_from = result.slow_from()
        reached = batch.reached if slow_from is None else _before(slow_from, batch, position)
        if reached.topic_id is None:
            reached = reached._replace(topic_id=position.topic_id)
        if reached != position:
            await retry_partition.write(
                [*parked(result, reached.next_offset, self._retries.clock_ms()), reached]
            )
        remembered.forget_before(reached.next_offset)
        if slow_from is not None:
            raise PositionDiffers(reached)

    async def release(self, partition: Partition) -> None:
        """Stop delivering parked callbacks of `partition`; another member may claim it."""
        if remembered := self._remembered.get(partition):
            remembered.forget_failures()
        await self._end_claim(partition)
        if claimed := self._drop(partition):
            await asyncio.wait((claimed.retrying,), timeout=RELEASE_S_MAX / 2)

    async def close(self) -> None:
        """Return when nothing of any partition is left."""
        for partition in [*self._claimed, *self._claiming]:
            await self.release(partition)
        if self._closing:
            await asyncio.wait(self._closing)

    async def _current(self, partition: Partition) -> RetryPartition:
        """Return the partition, claimed by this member and by no other one since."""
        if claimed := self._claimed.get(partition):
            if claimed.retrying.done():
                error = claimed.retrying.exception()
                if error is not None:
                    raise error
            try:
                await claimed.retry_partition.check_owned()
            except OwnershipLost:
                self._drop(partition)
            else:
                return claimed.retry_partition
        claiming = self._claiming.get(partition)
        if claiming is None:
            claiming = self._claiming[partition] = asyncio.create_task(self._claim(partition))
        # Reading the state may take longer than one call may: the next one waits for the same task.
        try:
            return await asyncio.shield(claiming)
        finally:
            if claiming.done() and self._claiming.get(partition) is claiming:
                del self._claiming[partition]

    async def _claim(self, partition: Partition) -> RetryPartition:
        async with contextlib.AsyncExitStack() as opened:
            retry_partition = await opened.enter_async_context(self._topic.claim(partition.number))
            if self._claiming.get(partition) is not asyncio.current_task():
                raise OwnershipLost(
                    f"partition {partition.number} was revoked while it was claimed"
                )
            retrying = asyncio.create_task(
                self._retries.run(retry_partition), name=f"retries of {partition}"
            )
            self._claimed[partition] = ClaimedPartition(retry_partition, opened.pop_all(), retrying)
            # Here, because `_current` may be cancelled before: a lost partition is claimed again.
            del self._claiming[partition]
        return retry_partition

    async def _end_claim(self, partition: Partition) -> None:
        """Cancel a claim that has not ended; what it has opened is closed, at the latest later."""
        if claiming := self._claiming.pop(partition, None):
            claiming.cancel()
            claiming.add_done_callback(mark_retrieved)
            self._keep(claiming)
            await asyncio.wait((claiming,), timeout=RELEASE_S_MAX / 2)

    def _keep(self, task: "asyncio.Task[Any]") -> None:
        """Keep a task until it ends; `close` waits for it."""
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    def _drop(self, partition: Partition) -> ClaimedPartition | None:
        claimed = self._claimed.pop(partition, None)
        if claimed is not None:
            claimed.retrying.cancel()
            # In the background: a rebalance must not wait for the clients to close.
            self._keep(asyncio.create_task(_close(claimed)))
        return claimed

    def _check_room(self, partition: Partition, state: RetryState) -> None:
        if self.parked_max.fill(state) >= 1:
            raise Unavailable(
                f"{state.parked_records} callbacks of {state.parked_conversations} conversations "
                f"wait in the retry topic, so partition {partition.number} pauses until some are "
                "delivered. The limits are WEBHOOK_PARKED_RECORDS_MAX and WEBHOOK_PARKED_BYTES_MAX"
            )


async def _close(claimed: ClaimedPartition) -> None:
    await asyncio.wait((claimed.retrying,))
    await claimed.closing.aclose()


def _check_answers(result: BatchResult) -> None:
    """
    Check the answers after which the batch cannot be applied.

    Raises:
        Stopped: the target wants no more callbacks.
        Unavailable: a refused callback is not in the dead-letter topic yet; KafkaUnavailable if
            Kafka is why.
    """
    outcomes = [each.outcome for each in result.undelivered if each.outcome]
    for outcome in outcomes:
        if outcome.kind is OutcomeKind.GONE:
            raise target_is_gone(outcome)
    if any(outcome.kind is OutcomeKind.REFUSED for outcome in outcomes):
        text = "refused callbacks wait for the dead-letter topic"
        for each in result.undelivered:
            if each.no_dead_letter is not None:
                raise KafkaUnavailable(f"{text}: {each.no_dead_letter}")
        raise Unavailable(text)


def _before(offset: int, batch: Batch, position: Position) -> Position:
    """Return the position after the batch's last record before `offset`, if there is one."""
    done = [record for record in batch.records if record.offset < offset]
    if not done:
        return position
    return Position(done[-1].offset + 1, offset_and_place(done[-1]), batch.reached.topic_id)
