"""Which callbacks a replay sends to a webhook's target, and the position that it stores."""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, cast

import pytest
from aiokafka import TopicPartition
from aiokafka.structs import OffsetAndMetadata
from support.builders import P0, P1, a_stored_record
from support.kafka.access import plaintext

from consumers.runtime.batch import Position, Record
from consumers.webhook.outcome import Outcome, OutcomeKind
from ops.audit.webhook_state import TargetState
from ops.replay.source import Part
from ops.replay.target import OFFSETS_UNSAVED_MAX, RecordState, ReplayCounts
from ops.replay.to_webhook import ToWebhook

REQUESTS_MAX = 3


class FakeSender:
    """A target that refuses some offsets for good."""

    def __init__(self, refused: set[int]) -> None:
        self.refused = refused
        self.in_flight = self.in_flight_max = 0

    async def send(self, record: Record) -> Outcome:
        """Return the answer, in a later turn of the event loop."""
        self.in_flight += 1
        self.in_flight_max = max(self.in_flight_max, self.in_flight)
        await asyncio.sleep(0)
        self.in_flight -= 1
        kind = OutcomeKind.REFUSED if record.offset in self.refused else OutcomeKind.DELIVERED
        return Outcome(kind, "400")


class FakePositions:
    """The committed offsets of a group, with their metadata."""

    def __init__(self) -> None:
        self.at: dict[TopicPartition, OffsetAndMetadata] = {}
        self._coordinator = self

    def assignment(self) -> set[TopicPartition]:
        """Return the only partition."""
        return {TopicPartition(*P0)}

    async def fetch_committed_offsets(
        self, partitions: Iterable[TopicPartition]
    ) -> Mapping[TopicPartition, OffsetAndMetadata]:
        """Return the offsets of partitions."""
        return {each: self.at[each] for each in partitions if each in self.at}

    async def commit(self, offsets: Mapping[TopicPartition, OffsetAndMetadata]) -> None:
        """Store offsets."""
        self.at |= offsets


def a_target(
    state: TargetState,
    sender: object = None,
    positions: object = None,
    is_wanted: Callable[[Record], bool] = lambda _: True,
    kafka_id: str | None = None,
) -> ToWebhook:
    """Return a target of a replay."""
    return ToWebhook(
        cast("Any", sender),
        is_wanted,
        state,
        kafka_id,
        cast("Any", positions),
        kafka=plaintext(""),
        requests_max=REQUESTS_MAX,
    )


def a_part(start: int, end: int) -> Part:
    """Return a part of these offsets."""
    return Part(P0, [a_stored_record(n) for n in range(start, end)], end, None, 1)


async def test_a_target_gets_only_what_its_webhook_has_delivered() -> None:
    """The webhook sends by itself those in the retry topic, and those that it has not reached."""
    state = TargetState(positions={0: Position(3)}, parked={0: {1: ("o" * 16, 2)}})
    target = a_target(state, is_wanted=lambda record: record.offset != 2)
    records = [a_stored_record(n) for n in range(4)]
    assert await target.states(Part(P0, records, 4, None, 4)) == [
        *(RecordState.DONE, RecordState.PENDING, RecordState.UNWANTED, RecordState.PENDING),
    ]
    assert await target.states(Part(P1, records[:1], 4, None, 4)) == [RecordState.PENDING]


async def test_what_a_target_refuses_is_tried_again_by_the_next_run() -> None:
    """A run that ends after refusals continues before the first one of the partition."""
    state = TargetState(positions={0: Position(1_000_000)})
    sender, positions = FakeSender({5, 7}), FakePositions()
    target = a_target(state, sender, positions)
    assert await target.write(a_part(0, 3)) == ReplayCounts(written=3)
    assert await target.positions() == {P0: Position(3)}
    assert await target.write(a_part(3, 10)) == ReplayCounts(written=5, rejected=2)
    assert await target.write(a_part(10, 12)) == ReplayCounts(written=2)
    await target.write(Part(P0, [], 12 + OFFSETS_UNSAVED_MAX, None, 1))
    again = a_target(state, sender, positions)
    assert await again.positions() == {P0: Position(5)}
    sender.refused.clear()
    assert await again.write(a_part(5, 12)) == ReplayCounts(written=7)
    assert await again.positions() == {P0: Position(12)}


async def test_no_attempt_begins_before_there_is_a_connection_for_it() -> None:
    """Its time would be over while it waits."""
    sender = FakeSender(set())
    target = a_target(TargetState(positions={0: Position(99)}), sender, FakePositions())
    part = a_part(0, 20)
    records = [each._replace(key=b"%d" % each.offset) for each in part.records]
    assert await target.write(part._replace(records=records)) == ReplayCounts(written=20)
    assert sender.in_flight_max == REQUESTS_MAX


async def test_a_first_callback_that_is_refused_leaves_no_position() -> None:
    """So the next run begins at the beginning of the range."""
    state = TargetState(positions={0: Position(1_000_000)})
    target = a_target(state, FakeSender({0}), positions := FakePositions())
    assert await target.write(a_part(0, 3)) == ReplayCounts(written=2, rejected=1)
    assert await a_target(state, positions=positions).positions() == {}


DONE, PENDING, UNWANTED = RecordState.DONE, RecordState.PENDING, RecordState.UNWANTED


@pytest.mark.parametrize(
    ("topic_id", "begun", "position", "states"),
    [
        ("new", Position(1, None, "new"), Position(3, None, "new"), [UNWANTED, DONE, PENDING]),
        # The topic was created again, and the webhook reads the new one.
        ("new", Position(3, None, "old"), Position(3, None, "new"), [DONE, DONE, PENDING]),
        ("old", Position(2, None, "old"), Position(0, None, "new"), [UNWANTED, DONE, DONE]),
        ("old", Position(0, None, "new"), Position(9, None, "new"), [UNWANTED] * 3),
        # The webhook has not read the new topic yet.
        ("new", Position(0, None, "old"), Position(9, None, "old"), [PENDING] * 3),
        # Kafka reports no ids.
        (None, Position(1), Position(2), [UNWANTED, PENDING, PENDING]),
    ],
)
async def test_offsets_of_two_topics_are_not_compared(
    topic_id: str | None, begun: Position, position: Position, states: list[RecordState]
) -> None:
    """Callbacks before the webhook's beginning are not sent, nor those that it sends itself."""
    state = TargetState(begun={0: begun}, positions={0: position})
    records = [a_stored_record(n) for n in (0, 2, 4)]
    target = a_target(state, kafka_id="new")
    assert await target.states(Part(P0, records, 5, topic_id, 5)) == states


async def test_a_callback_of_another_topic_at_a_parked_offset_is_not_parked() -> None:
    """A parked callback is known by its origin and sequence."""
    state = TargetState(positions={0: Position(3)}, parked={0: {1: ("other", 2)}})
    part = Part(P0, [a_stored_record(1)], 2, None, 1)
    assert await a_target(state).states(part) == [DONE]


async def test_a_position_has_the_id_of_its_topic() -> None:
    """So that a later run does not continue there in another topic."""
    target = a_target(
        TargetState(positions={0: Position(9)}), FakeSender(set()), positions := FakePositions()
    )
    await target.write(a_part(0, 3)._replace(topic_id="an id"))
    later = a_target(TargetState(), positions=positions)
    assert await later.positions() == {P0: Position(3, None, "an id")}
