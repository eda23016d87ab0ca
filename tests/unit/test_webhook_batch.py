"""One batch of a webhook: dead letters, the brake, and the outcomes that are remembered."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from support.builders import P0, a_stored_record, reached
from support.fakes import ManualClock, MemoryDeadLetters

from consumers.runtime.batch import Batch, Record
from consumers.runtime.brake import Brake, Braked
from consumers.runtime.handler import Unavailable
from consumers.runtime.pending_batch import record_sizes
from consumers.webhook.batch_delivery import BEGIN_S_MAX, BatchDelivery
from consumers.webhook.batch_result import BatchResult
from consumers.webhook.circuit import FAILING_MIN, Circuit
from consumers.webhook.outcome import Connection, Outcome, OutcomeKind
from consumers.webhook.rejections import Rejections
from consumers.webhook.remembered_outcomes import RememberedOutcomes
from consumers.webhook.retry_record import ParkedCallback
from consumers.webhook.retry_state import RetryState
from schemas.telemetry import CONSUMER_METRICS


class Target:
    """Refuses the offsets in `refused`, fails for those in `failing`, and accepts the others."""

    def __init__(self) -> None:
        self.refused: set[int] = set()
        self.failing: set[int] = set()
        self.connection_of_failures = Connection.MADE
        # Those that are no callbacks.
        self.foreign: set[int] = set()
        self.sent: list[int] = []
        # By offset, how long the answer takes.
        self.answer_s: dict[int, float] = {}
        self.dead_letters = MemoryDeadLetters()
        self.clock = ManualClock()
        self.circuit = Circuit("crm", self.clock)
        self.remembered = RememberedOutcomes(P0)
        self.brake = Brake(5)
        self.delivery = BatchDelivery(
            self,
            self.circuit,
            Rejections(self.dead_letters, self.brake),
            requests_max=10,
            is_selected=lambda record: record.key != b"unwanted",
            clock=self.clock,
        )

    @property
    def dead(self) -> list[int]:
        """The offsets of the dead letters, each of which has one failed attempt."""
        assert self.dead_letters.attempts == [1] * len(self.dead_letters.offsets)
        return self.dead_letters.offsets

    async def send(self, record: Record) -> Outcome:
        """Answer a request."""
        if record.offset in self.foreign:
            return Outcome(OutcomeKind.REFUSED, "not a callback", connection=Connection.NOT_TRIED)
        self.sent.append(record.offset)
        self.clock.now += self.answer_s.get(record.offset, 0.0)
        if record.offset in self.failing:
            return Outcome(OutcomeKind.FAILED, "500", connection=self.connection_of_failures)
        return Outcome(
            OutcomeKind.REFUSED if record.offset in self.refused else OutcomeKind.DELIVERED, "400"
        )

    async def deliver(
        self, records: Sequence[Record], state: RetryState | None = None
    ) -> BatchResult:
        """Deliver one batch."""
        batch = Batch(
            partition=P0,
            begins_at=records[0].offset,
            reached=reached(records),
            records=tuple(records),
        )
        return await self.delivery.deliver(batch, state or RetryState(), self.remembered)


def a_record(offset: int, key: bytes) -> Record:
    """Return a callback of a conversation."""
    return a_stored_record(offset)._replace(key=key)


async def test_callbacks_that_the_target_does_not_get_do_not_release_its_brake() -> None:
    """A target that refuses all of the few that it wants stops."""
    target = Target()
    target.refused = set(range(10_000))

    async def deliver_many() -> None:
        for first in range(0, 10_000, 100):
            unwanted = [a_record(first + n, b"unwanted") for n in range(1, 100)]
            await target.deliver([a_record(first, b"wanted"), *unwanted])

    with pytest.raises(Braked, match="5 of the last 5"):
        await deliver_many()
    assert target.dead == [0, 100, 200, 300, 400]


async def test_callbacks_that_the_target_accepts_release_its_brake() -> None:
    """They count once, also if the batch is handled again."""
    target = Target()
    target.refused = {0, 1}
    for _ in range(2):
        await target.deliver([a_record(n, b"%d" % n) for n in range(10)])
    assert target.brake.rejected_lately == 2
    assert len(target.brake._rejected) == 10  # noqa: SLF001


async def test_a_batch_that_is_handled_again_sends_no_dead_letter_twice() -> None:
    """As after a batch of which only a part was done in time."""
    target = Target()
    target.refused = {2}
    records = [a_record(n, b"key") for n in range(1, 5)]
    await target.deliver(records)
    target.remembered.forget_before(2)
    target.remembered.forget_failures()
    await target.deliver(records[1:])
    assert (target.sent, target.dead) == ([1, 2, 3, 4], [2])
    target.remembered.forget_before(5)
    assert (target.remembered.outcomes, target.remembered.dead_letters) == ({}, set())


async def test_nothing_follows_a_refused_callback_that_is_not_a_dead_letter_yet() -> None:
    """Neither in the same batch nor as a probe: a crash would then deliver it afterwards."""
    target = Target()
    target.refused, target.dead_letters.away = {1}, 100
    target.failing = set(range(10, 10 + 2 * FAILING_MIN))
    pair = [a_record(1, b"A"), a_record(2, b"A")]
    others = [a_record(offset, b"%d" % offset) for offset in sorted(target.failing)]
    for _ in range(3):
        with pytest.raises(Unavailable):
            await target.deliver([*pair, *others])
        assert target.circuit.is_open
        target.clock.now += 120
    assert (target.sent.count(1), target.sent.count(2), target.dead) == (1, 0, [])
    target.dead_letters.away, target.failing = 0, set()
    await target.deliver([*pair, *others])
    assert target.dead == [1]
    assert (target.sent.count(1), target.sent.count(2)) == (1, 1)


async def test_a_dead_letter_without_time_is_not_called_a_failure_of_kafka() -> None:
    """Also if Kafka failed for another one before: that may be long ago."""
    target = Target()
    target.refused, target.dead_letters.away = {1, 2}, 1
    (first,) = (await target.deliver([a_record(1, b"A")])).undelivered
    assert str(first.no_dead_letter) == "by the test"
    target.answer_s[2] = BEGIN_S_MAX + 1
    (second,) = (await target.deliver([a_record(2, b"B")])).undelivered
    assert (second.no_dead_letter, target.dead) == (None, [])
    assert not (await target.deliver([a_record(1, b"A"), a_record(2, b"B")])).undelivered
    assert sorted(target.dead) == [1, 2]


async def test_a_dead_letter_whose_time_another_one_took_has_the_failure_of_that() -> None:
    """They are sent one at a time, also those of several partitions."""
    target = Target()
    target.refused = {1, 2}
    send = target.dead_letters.send

    async def fails_late(*args: Any, **options: Any) -> None:
        await asyncio.sleep(0.01)  # both are refused by then
        target.clock.now += BEGIN_S_MAX + 1
        await send(*args, **options)

    target.dead_letters.away = 1
    target.dead_letters.send = fails_late  # type: ignore[method-assign]
    result = await target.deliver([a_record(1, b"A"), a_record(2, b"B")])
    assert [str(each.no_dead_letter) for each in result.undelivered] == ["by the test"] * 2


async def test_callbacks_of_a_parked_conversation_are_not_parked_without_a_connection() -> None:
    """They pause in place; if the target only fails, they follow into the retry topic."""
    target, state = Target(), RetryState()
    state.apply(ParkedCallback(a_record(1, b"A"), 1, 0, 0, "500"))
    following = [a_record(2, b"A"), a_record(3, b"A")]
    assert (await target.deliver(following, state)).following == following
    target.circuit.note_connection(
        Outcome(OutcomeKind.FAILED, "refused", connection=Connection.NOT_MADE), target.circuit.now()
    )
    for _ in range(3):
        with pytest.raises(Unavailable, match="the target is down: refused"):
            await target.deliver(following, state)
    target.circuit.note_connection(Outcome(OutcomeKind.FAILED, "500"), target.circuit.now())
    assert (await target.deliver(following, state)).following == following


async def test_a_record_that_is_not_sent_does_not_close_the_circuit() -> None:
    """It is refused without a request, so the target has not answered."""
    target = Target()
    target.circuit.note_connection(
        Outcome(OutcomeKind.FAILED, "refused", connection=Connection.NOT_MADE), target.circuit.now()
    )
    target.clock.now += 60
    target.foreign = {1}
    with pytest.raises(Unavailable):
        await target.deliver([a_record(1, b"A")])
    target.clock.now += 60
    # It is done, so the batch does not wait for the target.
    await target.deliver([a_record(1, b"A")])
    assert (target.dead, target.circuit.is_unreachable) == ([1], True)


async def test_attempts_that_tried_no_connection_do_not_open_the_circuit() -> None:
    """As if no connection was free: the target has not failed. Their conversations are parked."""
    target = Target()
    target.failing = set(range(2 * FAILING_MIN))
    target.connection_of_failures = Connection.NOT_TRIED
    records = [a_record(n, b"%d" % n) for n in sorted(target.failing)]
    result = await target.deliver(records)
    assert [len(each.records) for each in result.undelivered] == [1] * len(records)
    assert not target.circuit.is_open


async def test_accepted_callbacks_alone_are_counted_as_records_in_the_sink() -> None:
    """Not those that the target does not want, refuses or fails for; each once."""
    target = Target()
    target.refused, target.failing = {1}, {2}

    def counted() -> tuple[float, float]:
        names = ("consumer_records_total", "consumer_bytes_total")
        records, size = (CONSUMER_METRICS.get_sample_value(name) or 0.0 for name in names)
        return records, size

    before = counted()
    records = [a_record(n, b"%d" % n) for n in range(5)]
    for _ in range(2):
        await target.deliver([*records, a_record(9, b"unwanted")])
    size = record_sizes([records[at] for at in (0, 3, 4)]).counted_bytes
    assert counted() == (before[0] + 3, before[1] + size)


async def test_another_callback_at_a_remembered_offset_is_sent() -> None:
    """A broker that was restored from an older copy gives an offset again."""
    target = Target()
    await target.deliver([a_record(1, b"key")])
    another = a_record(1, b"key")
    headers = [(name, b"99" if name == "ce_sequence" else value) for name, value in another.headers]
    await target.deliver([another, another._replace(headers=headers)])
    assert target.sent == [1, 1]


async def test_a_slow_target_is_recognized_by_the_conversations_that_it_is_to_get() -> None:
    """Not by those that it does not want, nor by those that are parked already."""
    target, state = Target(), RetryState()
    state.apply(ParkedCallback(a_record(0, b"parked"), 1, 0, 0, "500"))
    others = [
        *(a_record(n, b"parked") for n in range(1, 100)),
        *(a_record(n, b"unwanted") for n in range(100, 200)),
    ]
    wanted = [a_record(n, b"%d" % n) for n in range(200, 210)]
    # The first six are sent; then the time is over.
    target.answer_s = dict.fromkeys(range(200, 210), BEGIN_S_MAX / 5)
    result = await target.deliver([*others, *wanted], state)
    slow = [each.records[0].offset for each in result.undelivered]
    assert (slow, result.conversations) == ([206, 207, 208, 209], 10)
    assert result.slow_from() == 206


async def test_few_slow_conversations_are_parked() -> None:
    """Up to a quarter of those that were to be sent."""
    target = Target()
    target.answer_s = dict.fromkeys(range(10), BEGIN_S_MAX / 7)
    result = await target.deliver([a_record(n, b"%d" % n) for n in range(10)])
    assert (len(result.undelivered), result.slow_from()) == (2, None)
