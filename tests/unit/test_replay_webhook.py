"""Which callbacks a replay sends to a webhook's target, and the position that it stores."""

from collections.abc import Callable, Mapping
from typing import Any, cast

from aiokafka import TopicPartition
from support.builders import P0, P1, a_stored_record

from consumers.runtime.batch import Record
from consumers.webhook.outcome import Outcome, OutcomeKind
from ops.audit.webhook_state import TargetState
from ops.replay.source import Part
from ops.replay.target import RecordState, ReplayCounts
from ops.replay.to_webhook import OFFSETS_UNSAVED_MAX, ToWebhook


class FakeSender:
    """A target that refuses some offsets for good."""

    def __init__(self, refused: set[int]) -> None:
        self.refused = refused

    async def send(self, record: Record) -> Outcome:
        """Return the answer."""
        kind = OutcomeKind.REFUSED if record.offset in self.refused else OutcomeKind.DELIVERED
        return Outcome(kind, "400")


class FakePositions:
    """The committed offsets of a group."""

    def __init__(self) -> None:
        self.at: dict[TopicPartition, int] = {}

    def assignment(self) -> set[TopicPartition]:
        """Return the only partition."""
        return {TopicPartition(*P0)}

    async def committed(self, partition: TopicPartition) -> int | None:
        """Return the offset of a partition."""
        return self.at.get(partition)

    async def commit(self, offsets: Mapping[TopicPartition, int]) -> None:
        """Store offsets."""
        self.at |= offsets


def a_target(
    state: TargetState,
    sender: object = None,
    positions: object = None,
    is_wanted: Callable[[Record], bool] = lambda _: True,
) -> ToWebhook:
    """Return a target of a replay."""
    return ToWebhook(cast("Any", sender), is_wanted, state, cast("Any", positions))


def a_part(start: int, end: int) -> Part:
    """Return a part of these offsets."""
    return Part(P0, [a_stored_record(n) for n in range(start, end)], end, None, 1)


async def test_a_target_gets_only_what_its_webhook_has_delivered() -> None:
    """The webhook sends by itself what waits in the retry topic, and what it has not reached."""
    state = TargetState(positions={0: 3}, parked={0: {1: ("o" * 16, 2)}})
    target = a_target(state, is_wanted=lambda record: record.offset != 2)
    records = [a_stored_record(n) for n in range(4)]
    assert await target.states(Part(P0, records, 4, None, 4)) == [
        *(RecordState.THERE, RecordState.UNREAD, RecordState.UNWANTED, RecordState.UNREAD),
    ]
    assert await target.states(Part(P1, records[:1], 4, None, 4)) == [RecordState.UNREAD]


async def test_what_a_target_refuses_is_tried_again_by_the_next_run() -> None:
    """A run that ends after refusals continues before the first one of the partition."""
    state = TargetState(positions={0: 1_000_000})
    sender, positions = FakeSender({5, 7}), FakePositions()
    target = a_target(state, sender, positions)
    assert await target.write(a_part(0, 3)) == ReplayCounts(written=3)
    assert await target.positions() == {P0: 3}
    assert await target.write(a_part(3, 10)) == ReplayCounts(written=5, rejected=2)
    assert await target.write(a_part(10, 12)) == ReplayCounts(written=2)
    await target.write(Part(P0, [], 12 + OFFSETS_UNSAVED_MAX, None, 1))
    again = a_target(state, sender, positions)
    assert await again.positions() == {P0: 5}
    sender.refused.clear()
    assert await again.write(a_part(5, 12)) == ReplayCounts(written=7)
    assert await again.positions() == {P0: 12}


async def test_a_first_callback_that_is_refused_leaves_no_position() -> None:
    """So the next run begins at the beginning of the range."""
    state = TargetState(positions={0: 1_000_000})
    target = a_target(state, FakeSender({0}), positions := FakePositions())
    assert await target.write(a_part(0, 3)) == ReplayCounts(written=2, rejected=1)
    assert await a_target(state, positions=positions).positions() == {}
