"""
Check that a handler keeps the runtime's contract; docs/consumers.md shows how to run the checks.

This is test code. It is in the package so that the tests of a handler's author can import it. It is
not about the format of records (docs/contract.md). Each check takes an empty `StoreUnderTest`;
`CHECKS` has all checks.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from consumers.runtime.batch import Batch, OffsetAndPlace, Partition, Position, Record
from consumers.runtime.handler import Handler, PositionDiffers
from schemas.outgoing_record import ReceivedCallback, main_topic_record, with_place_and_id
from schemas.topics import CALLBACKS

ORIGIN = "0123456789abcdef"
# The ids of two topics with one name, in Kafka's form.
TOPIC_ID, OTHER_TOPIC_ID = "Gr4Zb0xqTZ6B5x0o4YFqDw", "p1p7vXr8R0Swbc8qHV0Wjg"
HERE = Partition(CALLBACKS.name, 0)
THERE = Partition(CALLBACKS.name, 1)


@dataclass(frozen=True, slots=True)
class StoreUnderTest:
    """A handler, another one on the same store, and the number of records whose effect it has."""

    handler: Handler
    rival: Handler
    effects: Callable[[], Awaitable[int]]

    async def next_offset(self) -> int | None:
        """Return the offset that the store expects next, as the rival reads it."""
        position = await self.rival.position(HERE)
        return position.next_offset if position else None

    async def refused(self, batch: Batch) -> int | None:
        """Check that the store refuses `batch`; return the offset that it expects instead."""
        try:
            await self.handler.handle(batch)
        except PositionDiffers as differs:
            position = differs.position
        else:
            raise AssertionError(f"the batch that begins at {batch.begins_at} was applied")
        assert position == await self.rival.position(HERE)
        return position.next_offset if position else None


def a_record(offset: int) -> Record:
    """Return the record of a callback; records of other offsets differ."""
    body = (
        b'{"CallbackCommand": "C2C.CallbackAfterSendMsg", "From_Account": "ann",'
        b' "To_Account": "bob", "MsgKey": "%d", "MsgBody": []}' % offset
    )
    record = main_topic_record(
        ReceivedCallback(
            sdkappid="1400000001",
            url_command="",
            client_ip="192.0.2.1",
            opt_platform="Web",
            received_at_ms=1_700_000_000_000 + offset,
            body=body,
        )
    )
    headers = tuple(with_place_and_id(record.headers, ORIGIN, offset + 1))
    return Record(offset, 1_700_000_000_000 + offset, record.key, record.value, headers)


def a_batch(
    first: int,
    count: int,
    *,
    begins_at: int | None = None,
    next_offset: int | None = None,
    last: OffsetAndPlace | None = None,
    topic_id: str | None = TOPIC_ID,
) -> Batch:
    """
    Return a batch of `count` records, which may begin and end with transaction markers.

    `last` is the last record before its end, if the batch has no record.
    """
    next_offset = first + count if next_offset is None else next_offset
    if count:
        last = (first + count - 1, ORIGIN, first + count)
    return Batch(
        partition=HERE,
        begins_at=first if begins_at is None else begins_at,
        reached=Position(next_offset, last, topic_id),
        records=tuple(a_record(offset) for offset in range(first, first + count)),
    )


async def an_empty_store_has_no_position_until_it_is_begun(store: StoreUnderTest) -> None:
    """The first call of `store_first_position` sets the position, of one partition only."""
    assert await store.handler.position(HERE) is None
    await store.handler.store_first_position(HERE, Position(7, None, TOPIC_ID))
    await store.rival.store_first_position(HERE, Position(9, None, TOPIC_ID))
    assert await store.next_offset() == 7
    assert await store.handler.position(THERE) is None


async def effect_and_position_move_together(store: StoreUnderTest) -> None:
    """The position also moves over transaction markers around the batch."""
    await store.handler.store_first_position(HERE, Position(0, None, TOPIC_ID))
    await store.handler.handle(a_batch(1, 3, begins_at=0))
    assert (await store.next_offset(), await store.effects()) == (4, 3)
    await store.handler.handle(a_batch(6, 2, begins_at=4, next_offset=9))
    assert (await store.next_offset(), await store.effects()) == (9, 5)


async def the_same_batch_again_is_refused(store: StoreUnderTest) -> None:
    """The runtime delivers a batch again if the answer of the first write was lost."""
    await store.handler.store_first_position(HERE, Position(0, None, TOPIC_ID))
    await store.handler.handle(a_batch(0, 3))
    assert await store.refused(a_batch(0, 3)) == 3
    assert await store.effects() == 3


async def a_batch_that_does_not_begin_at_the_position_is_refused(store: StoreUnderTest) -> None:
    """After a rival's write, a batch that begins before or after the position writes nothing."""
    await store.handler.store_first_position(HERE, Position(0, None, TOPIC_ID))
    await store.rival.handle(a_batch(0, 5))
    for zombie in (a_batch(0, 7), a_batch(3, 4), a_batch(6, 2)):
        assert await store.refused(zombie) == 5
    assert (await store.next_offset(), await store.effects()) == (5, 5)


async def an_emptied_store_refuses(store: StoreUnderTest) -> None:
    """A handler never sets a first position by itself; only the runtime does."""
    assert await store.refused(a_batch(3, 2)) is None
    assert (await store.next_offset(), await store.effects()) == (None, 0)


async def a_batch_without_records_moves_the_position(store: StoreUnderTest) -> None:
    """All its records were rejected, or there were only markers. It must not come again."""
    await store.handler.store_first_position(HERE, Position(0, None, TOPIC_ID))
    await store.handler.handle(a_batch(0, 0, next_offset=1))
    assert (await store.next_offset(), await store.effects()) == (1, 0)
    await store.handler.handle(a_batch(1, 1))
    assert (await store.next_offset(), await store.effects()) == (2, 1)


async def partitions_do_not_mix(store: StoreUnderTest) -> None:
    """Each partition has its own position."""
    await store.handler.store_first_position(HERE, Position(0, None, TOPIC_ID))
    await store.handler.store_first_position(THERE, Position(40, None, TOPIC_ID))
    await store.handler.handle(a_batch(0, 3))
    assert await store.rival.position(THERE) == Position(40, None, TOPIC_ID)


async def the_last_record_is_stored_with_the_position(store: StoreUnderTest) -> None:
    """With the last record the runtime detects another log of the same name; see `Position`."""
    await store.handler.store_first_position(HERE, Position(0, None, TOPIC_ID))
    assert await store.handler.position(HERE) == Position(0, None, TOPIC_ID)
    await store.handler.handle(a_batch(3, 1, begins_at=0, next_offset=6))
    last = (3, ORIGIN, 4)
    assert await store.rival.position(HERE) == Position(6, last, TOPIC_ID)
    await store.handler.handle(a_batch(6, 0, next_offset=7, last=last))
    assert await store.rival.position(HERE) == Position(7, last, TOPIC_ID)


async def a_rival_of_another_topic_is_refused(store: StoreUnderTest) -> None:
    """Two clusters, or a topic that was recreated: the offsets are equal, the records are not."""
    await store.handler.store_first_position(HERE, Position(0, None, TOPIC_ID))
    await store.rival.store_first_position(HERE, Position(0, None, OTHER_TOPIC_ID))
    assert await store.rival.position(HERE) == Position(0, None, TOPIC_ID)
    for count in (0, 3):
        other = a_batch(0, count, next_offset=3, topic_id=OTHER_TOPIC_ID)
        assert await store.refused(other) == 0
    await store.handler.handle(a_batch(0, 3))
    assert await store.refused(a_batch(3, 2, topic_id=OTHER_TOPIC_ID)) == 3
    assert (await store.next_offset(), await store.effects()) == (3, 3)


async def an_unknown_topic_id_equals_any_other(store: StoreUnderTest) -> None:
    """An older broker reports no ids. The store keeps the first id that it gets."""
    await store.handler.store_first_position(HERE, Position(0))
    await store.handler.handle(a_batch(0, 2, topic_id=None))
    assert await store.rival.position(HERE) == Position(2, (1, ORIGIN, 2))
    await store.handler.handle(a_batch(2, 2))
    await store.handler.handle(a_batch(4, 2, topic_id=None))
    assert await store.rival.position(HERE) == Position(6, (5, ORIGIN, 6), TOPIC_ID)
    await store.handler.handle(a_batch(6, 0, next_offset=8, last=(5, ORIGIN, 6), topic_id=None))
    assert await store.rival.position(HERE) == Position(8, (5, ORIGIN, 6), TOPIC_ID)
    assert await store.refused(a_batch(8, 2, topic_id=OTHER_TOPIC_ID)) == 8
    assert await store.effects() == 6


CHECKS = (
    an_empty_store_has_no_position_until_it_is_begun,
    effect_and_position_move_together,
    the_same_batch_again_is_refused,
    a_batch_that_does_not_begin_at_the_position_is_refused,
    an_emptied_store_refuses,
    a_batch_without_records_moves_the_position,
    partitions_do_not_mix,
    the_last_record_is_stored_with_the_position,
    a_rival_of_another_topic_is_refused,
    an_unknown_topic_id_equals_any_other,
)
