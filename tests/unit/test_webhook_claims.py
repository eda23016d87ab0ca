"""A webhook claims a partition: however long it takes to read what is parked there."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest
from support.builders import P0, P1
from support.fakes import ManualClock, MemoryDeadLetters

from consumers.runtime.batch import Partition, Position, Record
from consumers.runtime.brake import Brake
from consumers.webhook.batch_delivery import BatchDelivery
from consumers.webhook.circuit import Circuit
from consumers.webhook.handler import WebhookHandler
from consumers.webhook.outcome import Connection, Outcome, OutcomeKind
from consumers.webhook.parked_bounds import ParkedBounds
from consumers.webhook.rejections import Rejections
from consumers.webhook.retries import Retries
from consumers.webhook.retry_partition import OwnershipLost
from consumers.webhook.retry_state import RetryState
from schemas.telemetry import WEBHOOK_METRICS


class SlowTopic:
    """A retry topic whose partition can be claimed once `is_read` is set."""

    number = 0
    is_lost = False

    def __init__(self) -> None:
        self.is_read = asyncio.Event()
        self.fails = False
        self.is_claimed_elsewhere = False
        self.claims: list[str] = []
        self.state = RetryState()
        self.state.apply(Position(7, None, "topic"))
        self.changed = asyncio.Event()

    @contextlib.asynccontextmanager
    async def claim(self, number: int) -> AsyncIterator[Any]:
        """Claim as `RetryTopic.claim` does."""
        self.claims.append(f"begun {number}")
        try:
            await self.is_read.wait()
            if self.fails:
                raise OwnershipLost("Kafka is away")
            yield self
        finally:
            self.claims.append("closed")

    async def check_owned(self) -> None:
        """Check as `RetryPartition.check_owned` does."""
        if self.is_claimed_elsewhere:
            raise OwnershipLost("another member has claimed it")


class Nowhere:
    """A target to which nothing is sent."""

    async def send(self, _record: Record) -> Outcome:
        """Accept."""
        return Outcome(OutcomeKind.DELIVERED)


@contextlib.asynccontextmanager
async def handler_of(
    topic: SlowTopic, circuit: Circuit | None = None
) -> AsyncIterator[WebhookHandler]:
    """Yield a handler, which closes everything on exit."""
    circuit = circuit or Circuit("crm", ManualClock())
    rejections = Rejections(MemoryDeadLetters(), Brake(1))
    handler = WebhookHandler(
        cast("Any", topic),
        BatchDelivery(
            Nowhere(),
            circuit,
            rejections,
            requests_max=1,
            is_selected=lambda _: True,
            clock=ManualClock(),
        ),
        Retries(Nowhere(), circuit, rejections, requests_max=1),
        ParkedBounds(records=1, bytes=1),
    )
    try:
        yield handler
    finally:
        await handler.close()


async def all_wait() -> None:
    """Return when every task has gone as far as it can: none of them waits for a time."""
    for _ in range(20):
        await asyncio.sleep(0)


async def timed_out(handler: WebhookHandler) -> None:
    """Ask for the position and give up while it cannot be known, as the runtime does in time."""
    asking = asyncio.create_task(handler.position(P0))
    await all_wait()
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_a_state_that_takes_longer_than_a_call_is_read_once() -> None:
    """The next call waits for the same claim."""
    topic = SlowTopic()
    async with handler_of(topic) as handler:
        for _ in range(3):
            await timed_out(handler)
        topic.is_read.set()
        assert await handler.position(P0) == Position(7, None, "topic")
        assert await handler.position(P0) == Position(7, None, "topic")
        assert topic.claims == ["begun 0"]
    assert topic.claims == ["begun 0", "closed"]


async def test_a_partition_that_is_revoked_while_it_is_claimed_is_not_owned() -> None:
    """What the claim has opened is closed; a later claim begins again."""
    topic = SlowTopic()
    async with handler_of(topic) as handler:
        await timed_out(handler)
        await handler.release(P0)
        assert (topic.claims, handler.states) == (["begun 0", "closed"], [])
        topic.is_read.set()
        assert await handler.position(P0) is not None
        assert topic.claims == ["begun 0", "closed", "begun 0"]


async def test_a_claim_that_fails_between_two_calls_is_reported_to_the_next_one() -> None:
    """After it, the partition is claimed again."""
    topic = SlowTopic()
    async with handler_of(topic) as handler:
        await timed_out(handler)
        topic.fails = True
        topic.is_read.set()
        await all_wait()
        with pytest.raises(OwnershipLost):
            await handler.position(P0)
        topic.fails = False
        assert await handler.position(P0) == Position(7, None, "topic")


async def test_a_partition_that_is_lost_after_a_slow_claim_is_claimed_again() -> None:
    """Its old state delivers nothing, also if the claim ended between two calls."""
    topic = SlowTopic()
    async with handler_of(topic) as handler:
        await timed_out(handler)
        topic.is_read.set()
        await all_wait()
        assert await handler.position(P0) == Position(7, None, "topic")
        topic.is_claimed_elsewhere = True
        topic.is_read.clear()
        await timed_out(handler)
        assert topic.claims == ["begun 0", "begun 0", "closed"]


async def test_a_claim_that_failed_and_is_released_leaves_no_complaint() -> None:
    """Its exception was taken."""
    topic = SlowTopic()
    async with handler_of(topic) as handler:
        await timed_out(handler)
        topic.fails = True
        topic.is_read.set()
        await all_wait()


async def test_the_gauges_of_parked_callbacks_are_numbers_only_if_all_partitions_are_claimed() -> (
    None
):
    """Otherwise callbacks may wait in the retry topic that this member has not read."""
    topic = SlowTopic()
    async with handler_of(topic) as handler:

        async def shown(partitions: list[Partition] | None) -> set[str]:
            await handler.measure(partitions)
            names = ("records", "conversations", "fill_ratio", "oldest_seconds", "failing_seconds")
            return {
                str(WEBHOOK_METRICS.get_sample_value(f"webhook_parked_{name}")) for name in names
            }

        assert await shown(None) == {"nan"}
        assert await shown([]) == {"0.0"}
        assert await shown([P0]) == {"nan"}
        topic.is_read.set()
        await handler.position(P0)
        assert await shown([P0]) == {"0.0"}
        assert await shown([P0, P1]) == {"nan"}
        topic.is_lost = True
        assert await shown([P0]) == {"nan"}
        assert await shown(None) == {"nan"}


async def test_an_open_circuit_is_a_failure_of_the_sink_also_if_no_batch_waits() -> None:
    """A closed one is not known to be right while nothing is delivered."""
    circuit = Circuit("crm", ManualClock())
    async with handler_of(SlowTopic(), circuit) as handler:

        async def shown(partitions: list[Partition] | None) -> str:
            await handler.measure(partitions)
            return str(WEBHOOK_METRICS.get_sample_value("webhook_circuit_open"))

        assert (await shown([P0]), await shown(None)) == ("0.0", "nan")
        circuit.note_connection(
            Outcome(OutcomeKind.FAILED, "refused", connection=Connection.NOT_MADE), circuit.now()
        )
        assert (await shown([P0]), await shown(None)) == ("1.0", "1.0")
        failure = (await handler.measure([P0])).failure
        assert failure is not None
        assert str(failure.error) == "the target is down: refused"
