"""Held records of a partition: cut by each bound, in order, none dropped."""

import pytest
from support.builders import P0, a_record

from consumers.runtime.batch import Batch, Limits, Position, Record
from consumers.runtime.batch_queue import BatchQueue
from consumers.runtime.handler import Stopped
from consumers.runtime.pending_batch import weight
from schemas.record import ORIGIN, SEQUENCE

HOUR_MS = 3_600_000


def a_queue(*, records: int = 3, size: int = 1 << 20, age_s: float = 10.0) -> BatchQueue:
    """Return what holds P0 from offset 5 on."""
    made = BatchQueue(P0, Limits(records=records, bytes=size, age_s=age_s, period_s=3600))
    made.begin(Position(5), recognize=False)
    return made


def add(queue: BatchQueue, records: list[Record], *, now: float) -> None:
    """Have records arrive, without a marker behind them."""
    queue.add(records, reached=records[-1].offset + 1, now=now)


def due(queue: BatchQueue, now: float) -> Batch | None:
    """Return the batch that can leave at `now`."""
    return queue.first_batch() if queue.due(now) else None


def remove(queue: BatchQueue, offset: int) -> None:
    """Remove a record from the first batch."""
    assert queue.first
    queue.first.remove(offset)


def offsets(queue: BatchQueue, now: float) -> list[int]:
    """Return what is due at `now`."""
    batch = due(queue, now)
    return [record.offset for record in batch.records] if batch else []


def test_a_batch_is_due_when_it_is_full_or_old() -> None:
    """Not before."""
    queue = a_queue()
    add(queue, [a_record(5), a_record(6)], now=0)
    assert offsets(queue, 9.9) == []
    assert offsets(queue, 10) == [5, 6]


def test_a_batch_is_cut_at_the_number_of_records() -> None:
    """The rest waits for its own bound."""
    queue = a_queue()
    add(queue, [a_record(o) for o in (5, 6, 9, 10)], now=0)
    batch = due(queue, 0)
    assert batch
    assert (batch.begins_at, batch.next_offset, len(batch.records)) == (5, 10, 3)
    queue.remove_applied(queue.first_batch(), 0)
    assert offsets(queue, 0) == []
    assert offsets(queue, 10) == [10]


def test_one_fetch_may_make_many_batches() -> None:
    """Each within its bound."""
    queue = a_queue(records=2)
    add(queue, [a_record(o) for o in range(5, 12)], now=0)
    cut = []
    while found := offsets(queue, 10):
        cut.append(found)
        queue.remove_applied(queue.first_batch(), 0)
    assert cut == [[5, 6], [7, 8], [9, 10], [11]]


def test_a_batch_is_cut_at_its_bytes() -> None:
    """A single record above the bound is a batch of its own."""
    size, _ = weight([a_record(5)])
    queue = a_queue(size=size + 1)
    add(queue, [a_record(5), a_record(6), a_record(7, value=b"x" * 9999)], now=0)
    assert offsets(queue, 0) == [5, 6]
    queue.remove_applied(queue.first_batch(), 0)
    assert offsets(queue, 0) == [7]


def test_a_batch_never_spans_two_hours() -> None:
    """A record that a clock step dated back stays with its neighbours."""
    queue = a_queue(records=10)
    at = 1_700_002_800_000
    add(queue, [a_record(5, timestamp_ms=at), a_record(6, timestamp_ms=at - HOUR_MS)], now=0)
    add(queue, [a_record(7, timestamp_ms=at), a_record(8, timestamp_ms=at + HOUR_MS)], now=0)
    assert offsets(queue, 0) == [5, 6, 7]
    queue.remove_applied(queue.first_batch(), 0)
    assert offsets(queue, 10) == [8]


def test_what_was_not_begun_is_not_held() -> None:
    """A fetch may be quicker than the question where the sink stands."""
    queue = BatchQueue(P0, Limits(records=1, bytes=1 << 20, age_s=1))
    add(queue, [a_record(5)], now=0)
    assert (queue.held_bytes, queue.is_empty, queue.applied_up_to) == (0, True, None)


def test_what_the_sink_has_already_is_dropped() -> None:
    """Records from before its position."""
    queue = a_queue(records=1)
    add(queue, [a_record(4), a_record(5)], now=0)
    assert offsets(queue, 0) == [5]


def test_begin_drops_what_was_held() -> None:
    """The sink's position is where holding goes on."""
    queue = a_queue(records=1)
    add(queue, [a_record(5)], now=0)
    queue.begin(Position(3), recognize=False)
    assert queue.held_bytes == 0
    add(queue, [a_record(3)], now=0)
    assert offsets(queue, 0) == [3]


def placed(offset: int, origin: str, sequence: int) -> Record:
    """Return a record of a place."""
    headers = ((ORIGIN, origin.encode()), (SEQUENCE, b"%d" % sequence))
    return a_record(offset)._replace(headers=headers)


def test_the_sinks_last_record_must_be_the_topics() -> None:
    """Then it is read again, recognized, and dropped; what follows is held."""
    queue = a_queue(records=1)
    queue.begin(Position(5, (4, "a", 7)), recognize=True)
    add(queue, [placed(4, "a", 7), placed(5, "a", 8)], now=0)
    assert offsets(queue, 0) == [5]


@pytest.mark.parametrize("first", [placed(4, "b", 7), placed(4, "a", 8), placed(5, "a", 7)])
def test_another_record_in_its_place_stops_the_consumer(first: Record) -> None:
    """The topic was recreated, or it is another cluster's: its offsets mean something else."""
    queue = a_queue()
    queue.begin(Position(5, (4, "a", 7)), recognize=True)
    with pytest.raises(Stopped, match="created again"):
        add(queue, [first], now=0)


@pytest.mark.parametrize(
    ("records", "reached"),
    [([placed(4, "a", 7), placed(5, "a", 8)], 6), ([placed(4, "a", 7), placed(7, "b", 1)], 8)],
)
def test_a_record_that_the_sink_should_have_had_stops_the_consumer(
    records: list[Record], reached: int
) -> None:
    """Where markers stood, another log has records: it would skip them."""
    queue = a_queue()
    queue.begin(Position(8, (4, "a", 7)), recognize=True)
    # In one fetch, or in two.
    queue.add(records[:1], reached=5, now=0)
    with pytest.raises(Stopped, match="or one between it and offset 8"):
        queue.add(records[1:], reached=reached, now=0)


def test_a_marker_in_the_place_of_the_last_record_stops_the_consumer() -> None:
    """A fetch that goes past it brings no record: no batch leaves, and the sink stays."""
    queue = a_queue()
    queue.begin(Position(8, (4, "a", 7)), recognize=True)
    queue.add([], reached=4, now=0)
    with pytest.raises(Stopped, match="restored from an older copy"):
        queue.add([], reached=9, now=0)


def test_a_batch_reaches_its_last_record_also_if_that_was_set_aside() -> None:
    """Else it would be a record that the sink should have had, and has not."""
    queue = a_queue()
    queue.begin(Position(5, (3, "a", 6), "id"), recognize=False)
    add(queue, [placed(5, "a", 7), placed(6, "a", 8), placed(7, "a", 9)], now=0)
    assert queue.due(0)
    remove(queue, 7)
    assert queue.first_batch().reached == Position(8, (7, "a", 9), "id")
    queue.halve_first()
    first = queue.first_batch()
    assert first.reached == Position(6, (5, "a", 7), "id")
    queue.remove_applied(first, 0)
    assert queue.first_batch().reached == Position(8, (7, "a", 9), "id")
    queue.remove_applied(queue.first_batch(), 0)
    queue.add([], reached=9, now=0)
    queue.complete()
    assert queue.first_batch().reached == Position(9, (7, "a", 9), "id")


def test_an_origin_that_no_ingress_gives_is_kept_short_and_without_nul() -> None:
    """Every sink can hold it, and it is recognized."""
    queue, record = a_queue(), placed(5, "\0" + "x" * 999, 7)
    add(queue, [record], now=0)
    assert queue.due(10)
    reached = queue.first_batch().reached
    assert reached.last == (5, "\\x00" + "x" * 60, 7)
    queue.begin(reached, recognize=True)
    add(queue, [record, placed(6, "a", 1)], now=0)
    assert offsets(queue, 10) == [6]


def test_a_batch_ends_behind_the_markers_that_followed_it() -> None:
    """The last of the line; one that others follow ends behind its last record."""
    queue = a_queue(records=2)
    queue.add([a_record(o) for o in (5, 6, 8)], reached=10, now=0)
    batch = due(queue, 0)
    assert batch
    assert batch.next_offset == 7
    assert queue.applied_up_to == 5
    queue.remove_applied(queue.first_batch(), 0)
    batch = due(queue, 10)
    assert batch
    assert (batch.begins_at, batch.next_offset) == (7, 10)


def test_markers_alone_are_a_batch_without_records() -> None:
    """Otherwise retention would delete them, and the position would be before the beginning."""
    queue = a_queue()
    queue.add([], reached=5, now=0)
    assert due(queue, 10) is None
    queue.add([], reached=9, now=10)
    assert due(queue, 10) is None
    # For lag: there is no record that the sink does not have.
    assert queue.applied_up_to == 9
    batch = due(queue, 20)
    assert batch
    assert (batch.begins_at, batch.next_offset, batch.records) == (5, 9, ())
    queue.remove_applied(queue.first_batch(), 0)
    assert (queue.is_empty, queue.next_offset) == (True, 9)


def test_markers_that_come_while_a_batch_is_on_its_way_are_not_in_it() -> None:
    """Else the next write would name a position at which the sink does not stand."""
    queue = a_queue(records=1)
    add(queue, [a_record(5)], now=0)
    batch = due(queue, 0)
    assert batch
    queue.add([], reached=9, now=1)
    queue.remove_applied(batch, 2)
    assert (queue.next_offset, queue.applied_up_to) == (6, 9)
    assert due(queue, 11) is None
    markers = due(queue, 12)
    assert markers
    assert (markers.begins_at, markers.next_offset, markers.records) == (6, 9, ())


def test_a_record_after_markers_begins_its_batchs_age() -> None:
    """Markers may have waited long; the record is young."""
    queue = a_queue()
    queue.add([], reached=9, now=0)
    add(queue, [a_record(9)], now=8)
    assert offsets(queue, 12) == []
    assert offsets(queue, 18) == [9]


def test_what_is_set_aside_leaves_the_batch_that_waits() -> None:
    """Whatever happens to the rest, it does not come again."""
    queue = a_queue()
    add(queue, [a_record(o) for o in (5, 6, 7)], now=0)
    assert queue.due(0)
    remove(queue, 6)
    batch = queue.first_batch()
    assert ([r.offset for r in batch.records], batch.next_offset) == ([5, 7], 8)


def test_the_halves_of_a_batch_join() -> None:
    """And end where the whole ended, behind its markers."""
    queue = a_queue()
    queue.add([a_record(o) for o in (5, 7, 9)], reached=12, now=0)
    assert queue.due(0)
    queue.halve_first()
    first = queue.first_batch()
    queue.remove_applied(queue.first_batch(), 0)
    second = queue.first_batch()
    assert ([r.offset for r in first.records], first.begins_at, first.next_offset) == ([5], 5, 6)
    assert [r.offset for r in second.records] == [7, 9]
    assert (second.begins_at, second.next_offset) == (6, 12)


def test_what_is_taken_out_of_a_batch_does_not_count_for_it() -> None:
    """Neither its bytes nor its memory."""
    queue = a_queue(records=2)
    add(queue, [a_record(5), a_record(6)], now=0)
    batch = queue.due(0)
    assert batch
    before = batch.limit_bytes, batch.unpacked_bytes
    remove(queue, 5)
    assert batch.count == 1
    assert (2 * batch.limit_bytes, 2 * batch.unpacked_bytes) == before


class Offsets:
    """Packed records of a byte each."""

    def __init__(self) -> None:
        self.offsets: list[int] = []

    @property
    def held_bytes(self) -> int:
        """Return the number of records."""
        return len(self.offsets)

    async def add(self, records: list[Record]) -> None:
        """Keep the offsets alone."""
        self.offsets += [record.offset for record in records]


async def test_packed_records_take_the_memory_of_their_pack() -> None:
    """They still count for the batch's bounds, and leave in order with what came later."""
    packed = Offsets()
    queue = a_queue(records=4)
    add(queue, [a_record(5), a_record(6)], now=0)
    assert queue.next_to_pack(1 << 20) is None
    run = queue.next_to_pack(1)
    assert run
    await run.pack_into(packed)
    assert queue.held_bytes == 2
    add(queue, [a_record(7), a_record(8)], now=0)
    run = queue.due(0)
    assert run
    assert queue.next_to_pack(1 << 20) is run
    await run.pack_into(packed)
    batch = queue.first_batch()
    assert (batch.packed, batch.records, batch.next_offset) == (packed, (), 9)
    assert packed.offsets == [5, 6, 7, 8]
