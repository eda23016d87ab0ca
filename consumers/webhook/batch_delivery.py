"""
Deliver the records of one batch: each conversation in order, conversations in parallel.

A conversation ends at its first callback that is neither delivered nor a dead letter. Outcomes are
remembered until the position has moved over their offsets, so a batch that is handled again sends
no callback again that was delivered or refused, and no dead letter either.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from consumers.runtime.batch import Batch, Record
from consumers.runtime.handler import Unavailable
from consumers.runtime.pending_batch import offset_and_place
from consumers.runtime.source import KafkaUnavailable
from consumers.webhook.batch_result import BatchResult, UndeliveredRecords
from consumers.webhook.circuit import Circuit
from consumers.webhook.outcome import Connection, Outcome, OutcomeKind
from consumers.webhook.rejections import Rejections
from consumers.webhook.remembered_outcomes import RememberedOutcomes
from consumers.webhook.retry_record import conversation
from consumers.webhook.retry_state import RetryState
from schemas.clock import now_ms

# After this time a batch begins no request any more. The longest request takes 10 s, so 6 s of the
# runtime's limit for a call, `HANDLE_TIMEOUT_S`, remain for the check of the owner and the write.
BEGIN_S_MAX = 4.0
PROBES_MAX = 5
# How long a call waits for an open circuit to close before it reports that the target is down.
CIRCUIT_WAIT_S = 3.0


class CallbackSender(Protocol):
    """Sends one callback; a `Sender`, or a simulated target."""

    async def send(self, record: Record) -> Outcome:
        """Make one attempt to deliver `record`."""
        ...


class BatchDelivery:
    """Delivers batches to one target; at most `requests_max` requests are in flight."""

    def __init__(
        self,
        sender: CallbackSender,
        circuit: Circuit,
        rejections: Rejections,
        *,
        requests_max: int,
        is_selected: Callable[[Record], bool],
        clock: Callable[[], float],
    ) -> None:
        self._sender = sender
        self._circuit = circuit
        self._rejections = rejections
        self._slots = asyncio.Semaphore(requests_max)
        self._is_selected = is_selected
        self._clock = clock

    async def deliver(
        self, batch: Batch, state: RetryState, remembered: RememberedOutcomes
    ) -> BatchResult:
        """
        Try each conversation that is not parked, until all is delivered or its first failure.

        A refused callback is in the dead-letter topic before a later one of its conversation is
        sent. If it could not be sent there, the result has it as undelivered.

        Raises:
            Unavailable: the target is down; what was delivered is remembered.
            Braked: the target refuses too many callbacks.
        """
        following = []
        waiting: dict[bytes, list[Record]] = {}
        for record in filter(self._is_selected, batch.records):
            if state.is_parked(conversation(record)):
                following.append(record)
            else:
                waiting.setdefault(conversation(record), []).append(record)
        deadline = self._clock() + BEGIN_S_MAX
        if self._circuit.is_open and waiting:
            await self._probe(waiting, remembered, deadline)
        undelivered = await self._all(waiting, remembered, deadline)
        is_unreachable = self._circuit.is_unreachable and bool(following)
        if self._circuit.is_open and (
            is_unreachable or any(each.outcome is None or _failed(each) for each in undelivered)
        ):
            remembered.forget_failures()
            raise self._down()
        return BatchResult(undelivered=undelivered, following=following, conversations=len(waiting))

    async def _probe(
        self, waiting: Mapping[bytes, list[Record]], remembered: RememberedOutcomes, deadline: float
    ) -> None:
        """
        Return once the circuit is closed, or if nothing is left to be sent.

        Raises:
            Unavailable: it stays open.
        """
        await self._circuit.wait(CIRCUIT_WAIT_S)
        remembered.forget_failures()
        heads = _heads(waiting, remembered)
        if not self._circuit.is_open or not heads:
            return
        if not self._circuit.begin_probe():
            raise self._down()
        undelivered = await self._all(heads, remembered, deadline, probing=True)
        remembered.forget_failures()
        if self._circuit.is_open:
            failed = [each.outcome for each in undelivered if each.outcome]
            self._circuit.note_failed_probe(
                failed[0].reason if failed else self._circuit.reason,
                retry_after_s=max((each.retry_after_s for each in failed), default=0.0),
            )
            raise self._down()

    async def _all(
        self,
        waiting: Mapping[bytes, list[Record]],
        remembered: RememberedOutcomes,
        deadline: float,
        *,
        probing: bool = False,
    ) -> list[UndeliveredRecords]:
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._one(records, remembered, deadline, probing=probing))
                    for records in waiting.values()
                ]
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [undelivered for task in tasks if (undelivered := task.result()) is not None]

    async def _one(
        self,
        records: Sequence[Record],
        remembered: RememberedOutcomes,
        deadline: float,
        *,
        probing: bool,
    ) -> UndeliveredRecords | None:
        for index, record in enumerate(records):
            at = offset_and_place(record)
            if remembered.is_done(at):
                continue
            outcome = remembered.outcomes.get(at)
            if outcome is None:
                async with self._slots:
                    is_paused = self._circuit.is_open and not probing
                    if is_paused or self._clock() > deadline:
                        return UndeliveredRecords(records[index:], None)
                    began_at = self._circuit.now()
                    outcome = await self._sender.send(record)
                remembered.outcomes[at] = outcome
                self._note(record, outcome, began_at)
            no_dead_letter = None
            if outcome.kind is OutcomeKind.REFUSED:
                no_dead_letter = await self._reject(record, outcome.reason, remembered, deadline)
            if not remembered.is_done(at):
                return UndeliveredRecords(records[index:], outcome, no_dead_letter)
        return None

    def _note(self, record: Record, outcome: Outcome, began_at: float) -> None:
        self._circuit.note_connection(outcome, began_at)
        if outcome.kind is OutcomeKind.DELIVERED:
            self._rejections.note_delivered(record)
        if outcome.kind is OutcomeKind.FAILED and outcome.connection is not Connection.NOT_TRIED:
            self._circuit.note_failure(
                conversation(record), outcome.reason, retry_after_s=outcome.retry_after_s
            )
        elif outcome.connection is Connection.MADE:
            self._circuit.note_answer(conversation(record))

    async def _reject(
        self, record: Record, reason: str, remembered: RememberedOutcomes, deadline: float
    ) -> KafkaUnavailable | None:
        """Send a refused record to the dead-letter topic; return Kafka's failure, if it has one."""
        try:
            await self._rejections.send(
                remembered.partition,
                record,
                reason,
                attempts=1,
                first_failed_at_ms=now_ms(),
                may_begin=lambda: self._clock() <= deadline,
            )
        except KafkaUnavailable as error:
            return error
        except Unavailable:
            return None
        remembered.dead_letters.add(offset_and_place(record))
        return None

    def _down(self) -> Unavailable:
        return Unavailable(f"the target is down: {self._circuit.reason}")


def _failed(undelivered: UndeliveredRecords) -> bool:
    return undelivered.outcome is not None and undelivered.outcome.kind is OutcomeKind.FAILED


def _heads(
    waiting: Mapping[bytes, list[Record]], remembered: RememberedOutcomes
) -> dict[bytes, list[Record]]:
    """Return the next record of some conversations that are not through."""
    heads: dict[bytes, list[Record]] = {}
    for name, records in waiting.items():
        waiting_records = [
            record for record in records if not remembered.is_done(offset_and_place(record))
        ]
        if waiting_records and len(heads) < PROBES_MAX:
            heads[name] = waiting_records[:1]
    return heads
