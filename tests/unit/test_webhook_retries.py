"""The retries of a webhook: conversations that fail again and again leave slots for the others."""

import asyncio
from collections.abc import Sequence
from typing import Any, cast

from support.builders import a_stored_record
from support.fakes import ManualClock, MemoryDeadLetters

from consumers.runtime.batch import Record
from consumers.runtime.brake import Brake
from consumers.webhook.circuit import Circuit
from consumers.webhook.outcome import Outcome, OutcomeKind
from consumers.webhook.rejections import Rejections
from consumers.webhook.retries import Retries
from consumers.webhook.retry_record import Change, ParkedCallback
from consumers.webhook.retry_state import RetryState


class MemoryRetryPartition:
    """A partition of the retry topic in memory, which no other member claims."""

    number = 0
    is_lost = False

    def __init__(self) -> None:
        self.state = RetryState()
        self.changed = asyncio.Event()

    async def write(self, changes: Sequence[Change]) -> None:
        """Apply the changes."""
        for each in changes:
            self.state.apply(each)
        self.changed.set()

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


async def test_conversations_that_fail_again_and_again_hold_half_of_the_slots() -> None:
    """Others are delivered meanwhile, although they are due later."""
    owned, target = MemoryRetryPartition(), HangingTarget()
    for offset in range(20):
        name = b"%d" % offset if offset >= 10 else b"hanging-%d" % offset
        record = a_stored_record(offset)._replace(key=name)
        owned.state.apply(ParkedCallback(record, 2 if offset < 10 else 1, offset, 1, "500"))
    retries = Retries(
        target,
        Circuit("crm", ManualClock()),
        Rejections(MemoryDeadLetters(), Brake(1)),
        requests_max=4,
    )
    running = asyncio.create_task(retries.run(cast("Any", owned)))
    try:
        async with asyncio.timeout(180):
            await target.has_all.wait()
        assert target.hanging == 2
    finally:
        running.cancel()
        await asyncio.wait((running,))
