"""
Deliver the parked callbacks of a partition, each conversation in order, until none is left.

A conversation that fails again waits twice as long as before, up to RETRY_S_MAX; it is tried until
the target takes it or refuses it.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from consumers.runtime.batch import OffsetAndPlace, Partition
from consumers.runtime.handler import Unavailable
from consumers.runtime.pending_batch import offset_and_place
from consumers.webhook.batch_delivery import PROBES_MAX, CallbackSender
from consumers.webhook.circuit import Circuit
from consumers.webhook.outcome import Connection, Outcome, OutcomeKind, target_is_gone
from consumers.webhook.rejections import Rejections
from consumers.webhook.retry_partition import RetryPartition
from consumers.webhook.retry_record import Change, FinishedCallback, ParkedCallback
from consumers.webhook.retry_state import fails_again
from schemas.clients import check_cancellation
from schemas.clock import now_ms
from schemas.topics import CALLBACKS

log = logging.getLogger(__name__)

RETRY_S = 1.0
RETRY_S_MAX = 300.0
# The part by which a wait is shorter or longer at random, so that not all come together.
JITTER = 0.2
# One turn of a conversation: after so many callbacks or so much time the others have theirs.
TURN_RECORDS_MAX = 20
TURN_S_MAX = 2.0
IDLE_S = 1.0
# At most 1/FAILING_DIVISOR of the requests are for conversations that have failed more than once.
FAILING_DIVISOR = 2


# Distinguishes a parked callback from one of another log at the same offset (by origin and
# sequence), and from itself, parked again by `resend` (by the time of the resend or of the first
# failure).
_ParkedId = tuple[OffsetAndPlace, int]


def _id_of(parked: ParkedCallback) -> _ParkedId:
    return offset_and_place(parked.record), parked.failed_or_resent_at_ms


def next_try_ms(attempts: int, outcome: Outcome, at_ms: int) -> int:
    """Return the time of the next attempt after `attempts` failed ones."""
    wait_s = min(RETRY_S * 2 ** min(attempts - 1, 20), RETRY_S_MAX)
    wait_s *= random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret
    return at_ms + int(1000 * max(wait_s, outcome.retry_after_s))


class Retries:
    """Delivers to one target; at most `requests_max` requests are in flight."""

    def __init__(
        self,
        sender: CallbackSender,
        circuit: Circuit,
        rejections: Rejections,
        *,
        requests_max: int,
        clock_ms: Callable[[], int] = now_ms,
    ) -> None:
        self._sender = sender
        self.circuit = circuit
        self.rejections = rejections
        self._slots = asyncio.Semaphore(requests_max)
        # Conversations that fail again and again, each for up to 10 s, leave slots for the others.
        self._failing_max = max(1, requests_max // FAILING_DIVISOR)
        self._failing = 0
        self.clock_ms = clock_ms
        # The callbacks that are done, which the retry topic may not state yet: by partition and
        # offset, with what distinguishes them from another one that is parked there later.
        self._done: dict[tuple[int, int], _ParkedId] = {}

    async def run(self, retry_partition: RetryPartition) -> None:
        """
        Deliver until cancelled, or until the partition is lost.

        Raises:
            Stopped: the target wants no more callbacks, or refuses too many.
        """
        try:
            async with asyncio.TaskGroup() as group:
                while not retry_partition.is_lost:
                    check_cancellation()
                    retry_partition.changed.clear()
                    if self.circuit.is_open:
                        await self._probe(retry_partition)
                    else:
                        await self._begin_due(retry_partition, group)
                    await self._wait(retry_partition)
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None

    async def _begin_due(self, retry_partition: RetryPartition, group: asyncio.TaskGroup) -> None:
        state = retry_partition.state
        while state.next_due_ms(include_failing=self._may_begin_failing) is not None:
            await self._slots.acquire()
            name = state.take_due(self.clock_ms(), include_failing=self._may_begin_failing)
            if name is None or self.circuit.is_open or retry_partition.is_lost:
                self._slots.release()
                if name is not None:
                    state.give_back(name)
                return
            first = state.first(name)
            is_failing = first is not None and fails_again(first)
            on_end = partial(self._note_end, retry_partition, is_failing=is_failing)
            self._failing += is_failing
            turn = group.create_task(self._turn(retry_partition, name, TURN_RECORDS_MAX))
            turn.add_done_callback(on_end)

    @property
    def _may_begin_failing(self) -> bool:
        return self._failing < self._failing_max

    def _note_end(
        self, retry_partition: RetryPartition, _turn: asyncio.Task[Any], *, is_failing: bool
    ) -> None:
        self._failing -= is_failing
        self._slots.release()
        retry_partition.changed.set()

    async def _wait(self, retry_partition: RetryPartition) -> None:
        """Return when a conversation may be due, at the latest after IDLE_S."""
        due_ms = retry_partition.state.next_due_ms(include_failing=self._may_begin_failing)
        seconds = IDLE_S
        if due_ms is not None and not self.circuit.is_open:
            seconds = min(max((due_ms - self.clock_ms()) / 1000, 0.001), IDLE_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await retry_partition.changed.wait()

    async def _probe(self, retry_partition: RetryPartition) -> None:
        """
        While the circuit is open: try some parked conversations that are due, if it is time.

        If there was no connection, try them also before they are due.
        """
        due_ms, until_ms = retry_partition.state.next_due_ms(), self.clock_ms()
        if self.circuit.is_unreachable:
            # The batches wait for this probe: only a time that the target asked for is longer.
            until_ms += int(1000 * RETRY_S_MAX * (1 + JITTER))
        if due_ms is None or due_ms > until_ms or not self.circuit.begin_probe():
            return
        names: list[bytes] = []
        while len(names) < PROBES_MAX and (name := retry_partition.state.take_due(until_ms)):
            names.append(name)
        turns = await asyncio.gather(*(self._turn(retry_partition, name, 1) for name in names))
        failed = [outcome for outcome in turns if outcome is not None]
        if self.circuit.is_open:
            self.circuit.note_failed_probe(
                failed[0].reason if failed else self.circuit.reason,
                retry_after_s=max((each.retry_after_s for each in failed), default=0.0),
            )

    async def _turn(
        self, retry_partition: RetryPartition, name: bytes, records_max: int
    ) -> Outcome | None:
        """Deliver callbacks of a conversation, and state which; return the target's failure."""
        changes: list[Change] = []
        failed: Outcome | None = None
        try:
            # A member that was suspended notices here that it has lost the partition.
            await retry_partition.check_owned()
            clock = asyncio.get_running_loop().time
            until = clock() + TURN_S_MAX
            for parked in retry_partition.state.waiting(name)[:records_max]:
                change, failed = await self._try(retry_partition, parked)
                changes.append(change)
                if not isinstance(change, FinishedCallback) or clock() > until:
                    break
            await retry_partition.write(changes)
        except Unavailable as error:
            log.info("parked callbacks of partition %d wait: %s", retry_partition.number, error)
            await asyncio.sleep(RETRY_S)
        else:
            self._forget(retry_partition, changes)
        finally:
            retry_partition.state.give_back(name)
            retry_partition.changed.set()
        return failed

    async def _try(
        self, retry_partition: RetryPartition, parked: ParkedCallback
    ) -> tuple[Change, Outcome | None]:
        """Try a callback; return what becomes of it, and the outcome if the target failed."""
        parked_at = retry_partition.number, parked.record.offset
        if self._done.get(parked_at) == _id_of(parked):
            return FinishedCallback(parked.record.offset), None
        began_at = self.circuit.now()
        outcome = await self._sender.send(parked.record)
        attempts, at_ms = parked.attempts + 1, self.clock_ms()
        self.circuit.note_connection(outcome, began_at)
        if outcome.kind is OutcomeKind.GONE:
            raise target_is_gone(outcome)
        failed = outcome if outcome.kind is OutcomeKind.FAILED else None
        if outcome.connection is Connection.MADE and not failed and self.circuit.is_open:
            self.circuit.note_answer(b"")
        if outcome.kind is OutcomeKind.REFUSED and not await self._reject(
            retry_partition, parked, outcome
        ):
            outcome = Outcome(OutcomeKind.FAILED, "the dead-letter topic is not available")
        if outcome.kind is OutcomeKind.FAILED:
            parked_again = parked._replace(
                attempts=attempts,
                next_try_ms=next_try_ms(attempts, outcome, at_ms),
                failed_or_resent_at_ms=parked.failing_since_ms or at_ms,
                reason=outcome.reason,
            )
            return parked_again, failed
        if outcome.kind is OutcomeKind.DELIVERED:
            self.rejections.note_delivered(parked.record)
        self._done[parked_at] = _id_of(parked)
        return FinishedCallback(parked.record.offset), None

    async def _reject(
        self, retry_partition: RetryPartition, parked: ParkedCallback, outcome: Outcome
    ) -> bool:
        """Send a refused callback to the dead-letter topic; return whether it is there."""
        try:
            await self.rejections.send(
                Partition(CALLBACKS.name, retry_partition.number),
                parked.record,
                outcome.reason,
                attempts=parked.attempts + 1,
                first_failed_at_ms=parked.failing_since_ms or self.clock_ms(),
            )
        except Unavailable:
            return False
        return True

    def _forget(self, retry_partition: RetryPartition, changes: Sequence[Change]) -> None:
        for each in changes:
            if isinstance(each, FinishedCallback):
                self._done.pop((retry_partition.number, each.offset), None)
