"""The retries of a webhook: conversations that fail again and again leave slots for the others."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, cast

import pytest
from support.builders import a_stored_record
from support.fakes import ManualClock, MemoryDeadLetters

from consumers.runtime.batch import Record
from consumers.runtime.brake import Brake
from consumers.webhook import retries
from consumers.webhook.circuit import FAILING_MIN, Circuit
from consumers.webhook.outcome import Outcome, OutcomeKind
from consumers.webhook.rejections import Rejections
from consumers.webhook.retries import Retries
from consumers.webhook.retry_partition import OwnershipLost
from consumers.webhook.retry_record import Change, ParkedCallback
from consumers.webhook.retry_state import RetryState


class MemoryRetryPartition:
    """A partition of the retry topic in memory, which no other member claims."""

    number = 0

    def __init__(self, *, loses: bool = False) -> None:
        self.state = RetryState()
        self.changed = asyncio.Event()
        self.written = asyncio.Event()
        self.is_lost = False
        # True: the first write finds that another member has claimed it.
        self._loses = loses

    async def write(self, changes: Sequence[Change]) -> None:
        """Apply the changes."""
        if self._loses:
            self.is_lost = True
            raise OwnershipLost("another member has claimed it")
        for each in changes:
            self.state.apply(each)
        self.changed.set()
        self.written.set()

    async def check_owned(self) -> None:
        """Find that it is owned."""


class HangingTarget:
    """Answers only the conversations without `hanging` in their names."""

    def __init__(self) -> None:
        self.hanging = 0
        self.delivered: list[int] = []
        self.has_all = asyncio.Event()

    async def send(self, record: Record) -> Outcome:
        """Answer or hang."""
        if b"hanging" in (record.key or b""):
            self.hanging += 1
            await asyncio.Event().wait()
        self.delivered.append(record.offset)
        if len(self.delivered) == 10:
            self.has_all.set()
        return Outcome(OutcomeKind.DELIVERED)


class RefusingTarget:
    """Refuses the first callback for good, and takes all others."""

    def __init__(self) -> None:
        self.sent = 0

    async def send(self, _record: Record) -> Outcome:
        """Answer."""
        self.sent += 1
        is_first = self.sent == 1
        return Outcome(OutcomeKind.REFUSED if is_first else OutcomeKind.DELIVERED, "status 400")


@pytest.mark.parametrize(("failed_or_resent_at_ms", "sent"), [(1, 1), (2, 2)])
async def test_a_callback_that_is_sent_again_is_not_taken_for_one_that_is_done(
    failed_or_resent_at_ms: int, sent: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A member that lost the partition before it noted the end of a callback remembers it."""
    monkeypatch.setattr(retries, "RETRY_S", 0.0)
    target = RefusingTarget()
    running = Retries(
        target,
        Circuit("crm", ManualClock()),
        Rejections(MemoryDeadLetters(), Brake(1)),
        requests_max=4,
    )
    parked = ParkedCallback(a_stored_record(0), 1, 0, 1, "status 500")
    lost, claimed_again = MemoryRetryPartition(loses=True), MemoryRetryPartition()
    lost.state.apply(parked)
    await running.run(cast("Any", lost))
    assert (target.sent, lost.state.parked_records) == (1, 1)
    claimed_again.state.apply(parked._replace(failed_or_resent_at_ms=failed_or_resent_at_ms))
    task = asyncio.create_task(running.run(cast("Any", claimed_again)))
    try:
        async with asyncio.timeout(180):
            await claimed_again.written.wait()
    finally:
        task.cancel()
        await asyncio.wait((task,))
    assert (target.sent, claimed_again.state.parked_records) == (sent, 0)


class FailingTarget:
    """Fails with a reason that says how often it was asked, and wants a probe after 600 s."""

    def __init__(self) -> None:
        self.sent = 0

    async def send(self, _record: Record) -> Outcome:
        """Answer."""
        self.sent += 1
        return Outcome(OutcomeKind.FAILED, f"status 503, number {self.sent}", retry_after_s=600)


async def run_until(
    is_true: Callable[[], bool], delivering: Retries, owned: MemoryRetryPartition
) -> None:
    """Run the retries until a condition holds."""
    running = asyncio.create_task(delivering.run(cast("Any", owned)))
    try:
        async with asyncio.timeout(180):
            while not is_true():  # noqa: ASYNC110 - a condition of the state
                await asyncio.sleep(0)
    finally:
        running.cancel()
        await asyncio.wait((running,))


async def test_a_callback_that_was_sent_again_fails_since_its_first_attempt_after_that() -> None:
    """It may have waited for hours while the target was down: that is no failure."""
    resent_at_ms, now_ms = 1_000, 10_000_000
    owned = MemoryRetryPartition()
    owned.state.apply(
        ParkedCallback(a_stored_record(0), 0, resent_at_ms, resent_at_ms, "sent again")
    )
    assert owned.state.first_failed_at_ms() is None
    delivering = Retries(
        FailingTarget(),
        Circuit("crm", ManualClock()),
        Rejections(MemoryDeadLetters(), Brake(1)),
        requests_max=4,
        clock_ms=lambda: now_ms,
    )
    await run_until(owned.written.is_set, delivering, owned)
    assert owned.state.first_failed_at_ms() == now_ms


async def test_a_probe_of_a_parked_callback_has_the_reason_and_the_wait_of_its_own_failure() -> (
    None
):
    """Not those of the failure that opened the circuit. The first callback has the reason."""
    clock, owned = ManualClock(), MemoryRetryPartition()
    circuit = Circuit("crm", clock)
    for number in range(FAILING_MIN):
        circuit.note_failure(b"%d" % number, "status 500")
    clock.now += 60
    for offset in range(2):
        record = a_stored_record(offset)._replace(key=b"%d" % offset)
        owned.state.apply(ParkedCallback(record, 1, offset, 1, "status 500"))
    delivering = Retries(
        FailingTarget(), circuit, Rejections(MemoryDeadLetters(), Brake(1)), requests_max=4
    )
    await run_until(lambda: circuit.reason != "status 500", delivering, owned)
    assert circuit.reason == "status 503, number 1"
    clock.now += 599
    assert not circuit.begin_probe()
    clock.now += 2
    assert circuit.begin_probe()


async def test_conversations_that_fail_again_and_again_hold_half_of_the_slots() -> None:
    """Others are delivered meanwhile, although they are due later."""
    owned, target = MemoryRetryPartition(), HangingTarget()
    for offset in range(20):
        name = b"%d" % offset if offset >= 10 else b"hanging-%d" % offset
        record = a_stored_record(offset)._replace(key=name)
        owned.state.apply(ParkedCallback(record, 2 if offset < 10 else 1, offset, 1, "500"))
    delivering = Retries(
        target,
        Circuit("crm", ManualClock()),
        Rejections(MemoryDeadLetters(), Brake(1)),
        requests_max=4,
    )
    running = asyncio.create_task(delivering.run(cast("Any", owned)))
    try:
        async with asyncio.timeout(180):
            await target.has_all.wait()
        assert target.hanging == 2
    finally:
        running.cancel()
        await asyncio.wait((running,))
