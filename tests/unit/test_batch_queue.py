"""The queue of a partition's batches: complete by each limit, in order, no record dropped."""

import pytest
from support.builders import P0, a_record

from consumers.runtime.batch import Batch, Limits, Position, Record
from consumers.runtime.batch_queue import BatchQueue
from consumers.runtime.handler import Stopped
from consumers.runtime.pending_batch import record_sizes
from schemas.outgoing_record import ORIGIN, SEQUENCE

HOUR_MS = 3_600_000


def a_queue(*, records: int = 3, size: int = 1 << 20, age_s: float = 10.0) -> BatchQueue:
    """Return a queue of P0 that begins at offset 5."""
    queue = BatchQueue(P0, Limits(records=records, bytes=size, age_s=age_s, period_s=3600))
    queue.begin(Position(5), refetches_last=False)
    return queue


def add(queue: BatchQueue, records: list[Record], *, now: float) -> None:
    """Add records without a marker after them."""
    queue.add(records, next_fetch_offset=records[-1].offset + 1, now=now)


def due(queue: BatchQueue, now: float) -> Batch | None:
    """Return the batch that is due at `now`."""
    return queue.batch_to_deliver() if queue.complete_if_due(now) else None


def remove(queue: BatchQueue, offset: int) -> None:
    """Remove a record from the first batch."""
    assert queue.first_pending
    queue.first_pending.remove(offset)


def offsets(queue: BatchQueue, now: float) -> list[int]:
    """Return the offsets of the batch that is due at `now`."""
    batch = due(queue, now)
    return [record.offset for record in batch.records] if batch else []


def test_a_batch_is_due_when_it_is_full_or_old() -> None:
    """Until then it is held."""
    queue = a_queue()
    add(queue, [a_record(5), a_record(6)], now=0)
    assert offsets(queue, 9.9) == []
    assert offsets(queue, 10) == [5, 6]


def test_a_batch_is_cut_at_the_number_of_records() -> None:
    """The other records begin the next batch."""
    queue = a_queue()
    add(queue, [a_record(o) for o in (5, 6, 9, 10)], now=0)
    batch = due(queue, 0)
    assert batch
    assert (batch.begins_at, batch.next_offset, len(batch.records)) == (5, 10, 3)
    queue.remove_applied(queue.batch_to_deliver(), 0)
    assert offsets(queue, 0) == []
    assert offsets(queue, 10) == [10]


def test_one_fetch_may_make_many_batches() -> None:
    """Each of them keeps the limits."""
    queue = a_queue(records=2)
    add(queue, [a_record(o) for o in range(5, 12)], now=0)
    cut = []
    while batch_offsets := offsets(queue, 10):
        cut.append(batch_offsets)
        queue.remove_applied(queue.batch_to_deliver(), 0)
    assert cut == [[5, 6], [7, 8], [9, 10], [11]]


def test_a_batch_is_cut_at_its_bytes() -> None:
    """A record above the limit is a batch of its own."""
    size, _ = record_sizes([a_record(5)])
    queue = a_queue(size=size + 1)
    add(queue, [a_record(5), a_record(6), a_record(7, value=b"x" * 9999)], now=0)
    assert offsets(queue, 0) == [5, 6]
    queue.remove_applied(queue.batch_to_deliver(), 0)
    assert offsets(queue, 0) == [7]


def test_a_batch_never_spans_two_hours() -> None:
    """If the broker's clock is set back, its records stay with their neighbours."""
    queue = a_queue(records=10)
    at = 1_700_002_800_000
    add(queue, [a_record(5, timestamp_ms=at), a_record(6, timestamp_ms=at - HOUR_MS)], now=0)
    add(queue, [a_record(7, timestamp_ms=at), a_record(8, timestamp_ms=at + HOUR_MS)], now=0)
    assert offsets(queue, 0) == [5, 6, 7]
    queue.remove_applied(queue.batch_to_deliver(), 0)
    assert offsets(queue, 10) == [8]


def test_a_queue_takes_no_records_before_it_begins() -> None:
    """A fetch may be faster than the sink's answer about its position."""
    queue = BatchQueue(P0, Limits(records=1, bytes=1 << 20, age_s=1))
    add(queue, [a_record(5)], now=0)
    assert (queue.held_bytes, queue.is_empty, queue.applied_end) == (0, True, None)


def test_records_that_the_sink_has_already_are_dropped() -> None:
    """Their offsets are before its position."""
    queue = a_queue(records=1)
    add(queue, [a_record(4), a_record(5)], now=0)
    assert offsets(queue, 0) == [5]


def test_begin_drops_held_records() -> None:
    """The queue continues at the sink's position."""
    queue = a_queue(records=1)
    add(queue, [a_record(5)], now=0)
    queue.begin(Position(3), refetches_last=False)
    assert queue.held_bytes == 0
    add(queue, [a_record(3)], now=0)
    assert offsets(queue, 0) == [3]


def placed(offset: int, origin: str, sequence: int) -> Record:
    """Return a record with this origin and sequence."""
    headers = ((ORIGIN, origin.encode()), (SEQUENCE, b"%d" % sequence))
    return a_record(offset)._replace(headers=headers)


def test_the_sinks_last_record_must_be_the_topics() -> None:
    """It is fetched again, compared, and dropped; the records after it are held."""
    queue = a_queue(records=1)
    queue.begin(Position(5, (4, "a", 7)), refetches_last=True)
    add(queue, [placed(4, "a", 7), placed(5, "a", 8)], now=0)
    assert offsets(queue, 0) == [5]


@pytest.mark.parametrize("first", [placed(4, "b", 7), placed(4, "a", 8), placed(5, "a", 7)])
def test_another_record_at_the_offset_of_the_last_one_stops_the_consumer(first: Record) -> None:
    """The topic was recreated, or it is another cluster's: its offsets are of other records."""
    queue = a_queue()
    queue.begin(Position(5, (4, "a", 7)), refetches_last=True)
    with pytest.raises(Stopped, match="created again"):
        add(queue, [first], now=0)


@pytest.mark.parametrize(
    ("records", "next_fetch_offset"),
    [([placed(4, "a", 7), placed(5, "a", 8)], 6), ([placed(4, "a", 7), placed(7, "b", 1)], 8)],
)
def test_a_record_that_the_sink_should_have_had_stops_the_consumer(
    records: list[Record], next_fetch_offset: int
) -> None:
    """At the offsets of markers, another log has records, which would be skipped."""
    queue = a_queue()
    queue.begin(Position(8, (4, "a", 7)), refetches_last=True)
    # Only the second fetch shows that the log is another one.
    queue.add(records[:1], next_fetch_offset=5, now=0)
    with pytest.raises(Stopped, match="or one between it and offset 8"):
        queue.add(records[1:], next_fetch_offset=next_fetch_offset, now=0)


def test_a_marker_at_the_offset_of_the_last_record_stops_the_consumer() -> None:
    """A fetch reaches past the offset and returns no record; the sink is not written."""
    queue = a_queue()
    queue.begin(Position(8, (4, "a", 7)), refetches_last=True)
    queue.add([], next_fetch_offset=4, now=0)
    with pytest.raises(Stopped, match="restored from an older copy"):
        queue.add([], next_fetch_offset=9, now=0)


def test_a_batch_reaches_its_last_record_even_if_that_was_rejected() -> None:
    """Otherwise it would later look like a record that the sink lacks."""
    queue = a_queue()
    queue.begin(Position(5, (3, "a", 6), "id"), refetches_last=False)
    add(queue, [placed(5, "a", 7), placed(6, "a", 8), placed(7, "a", 9)], now=0)
    assert queue.complete_if_due(0)
    remove(queue, 7)
    assert queue.batch_to_deliver().reached == Position(8, (7, "a", 9), "id")
    queue.halve_first()
    first = queue.batch_to_deliver()
    assert first.reached == Position(6, (5, "a", 7), "id")
    queue.remove_applied(first, 0)
    assert queue.batch_to_deliver().reached == Position(8, (7, "a", 9), "id")
    queue.remove_applied(queue.batch_to_deliver(), 0)
    queue.add([], next_fetch_offset=9, now=0)
    queue.complete()
    assert queue.batch_to_deliver().reached == Position(9, (7, "a", 9), "id")


def test_an_origin_that_no_ingress_gives_is_kept_short_and_without_nul() -> None:
    """Every sink can store it, and the queue recognizes it."""
    queue, record = a_queue(), placed(5, "\0" + "x" * 999, 7)
    add(queue, [record], now=0)
    assert queue.complete_if_due(10)
    reached = queue.batch_to_deliver().reached
    assert reached.last == (5, "\\x00" + "x" * 60, 7)
    queue.begin(reached, refetches_last=True)
    add(queue, [record, placed(6, "a", 1)], now=0)
    assert offsets(queue, 10) == [6]


def test_a_batch_ends_after_the_markers_that_followed_it() -> None:
    """That holds for the last batch; another one ends after its last record."""
    queue = a_queue(records=2)
    queue.add([a_record(o) for o in (5, 6, 8)], next_fetch_offset=10, now=0)
    batch = due(queue, 0)
    assert batch
    assert batch.next_offset == 7
    assert queue.applied_end == 5
    queue.remove_applied(queue.batch_to_deliver(), 0)
    batch = due(queue, 10)
    assert batch
    assert (batch.begins_at, batch.next_offset) == (7, 10)


def test_markers_alone_are_a_batch_without_records() -> None:
    """Otherwise retention would delete them, and the topic would begin after the position."""
    queue = a_queue()
    queue.add([], next_fetch_offset=5, now=0)
    assert due(queue, 10) is None
    queue.add([], next_fetch_offset=9, now=10)
    assert due(queue, 10) is None
    # For the lag: the sink has all records.
    assert queue.applied_end == 9
    batch = due(queue, 20)
    assert batch
    assert (batch.begins_at, batch.next_offset, batch.records) == (5, 9, ())
    queue.remove_applied(queue.batch_to_deliver(), 0)
    assert (queue.is_empty, queue.next_offset) == (True, 9)


def test_markers_that_arrive_during_a_write_are_not_in_its_batch() -> None:
    """Otherwise the next batch would not begin at the sink's position."""
    queue = a_queue(records=1)
    add(queue, [a_record(5)], now=0)
    batch = due(queue, 0)
    assert batch
    queue.add([], next_fetch_offset=9, now=1)
    queue.remove_applied(batch, 2)
    assert (queue.next_offset, queue.applied_end) == (6, 9)
    assert due(queue, 11) is None
    markers = due(queue, 12)
    assert markers
    assert (markers.begins_at, markers.next_offset, markers.records) == (6, 9, ())


def test_a_record_after_markers_begins_its_batchs_age() -> None:
    """Markers may have waited for long, but the record is new."""
    queue = a_queue()
    queue.add([], next_fetch_offset=9, now=0)
    add(queue, [a_record(9)], now=8)
    assert offsets(queue, 12) == []
    assert offsets(queue, 18) == [9]


def test_a_rejected_record_is_removed_from_its_batch() -> None:
    """It is not delivered again, even if the other records of the batch are."""
    queue = a_queue()
    add(queue, [a_record(o) for o in (5, 6, 7)], now=0)
    assert queue.complete_if_due(0)
    remove(queue, 6)
    batch = queue.batch_to_deliver()
    assert ([r.offset for r in batch.records], batch.next_offset) == ([5, 7], 8)


def test_the_halves_of_a_batch_follow_each_other() -> None:
    """The second one ends where the batch ended, after its markers."""
    queue = a_queue()
    queue.add([a_record(o) for o in (5, 7, 9)], next_fetch_offset=12, now=0)
    assert queue.complete_if_due(0)
    queue.halve_first()
    first = queue.batch_to_deliver()
    queue.remove_applied(queue.batch_to_deliver(), 0)
    second = queue.batch_to_deliver()
    assert ([r.offset for r in first.records], first.begins_at, first.next_offset) == ([5], 5, 6)
    assert [r.offset for r in second.records] == [7, 9]
    assert (second.begins_at, second.next_offset) == (6, 12)


def test_a_removed_record_does_not_count_for_its_batch() -> None:
    """Its bytes count neither for the batch's limit nor for the memory."""
    queue = a_queue(records=2)
    add(queue, [a_record(5), a_record(6)], now=0)
    batch = queue.complete_if_due(0)
    assert batch
    before = batch.counted_bytes, batch.unpacked_bytes
    remove(queue, 5)
    assert batch.count == 1
    assert (2 * batch.counted_bytes, 2 * batch.unpacked_bytes) == before


class Offsets:
    """Packed records that take a byte each."""

    def __init__(self) -> None:
        self.offsets: list[int] = []

    @property
    def held_bytes(self) -> int:
        """Return the number of records."""
        return len(self.offsets)

    async def add(self, records: list[Record]) -> None:
        """Keep only the offsets."""
        self.offsets += [record.offset for record in records]


async def test_packed_records_take_less_memory_and_still_count_for_the_limits() -> None:
    """Records that arrive later are packed after them."""
    packed = Offsets()
    queue = a_queue(records=4)
    add(queue, [a_record(5), a_record(6)], now=0)
    assert queue.next_to_pack(1 << 20) is None
    batch = queue.next_to_pack(1)
    assert batch
    await batch.pack_into(packed)
    assert queue.held_bytes == 2
    add(queue, [a_record(7), a_record(8)], now=0)
    batch = queue.complete_if_due(0)
    assert batch
    assert queue.next_to_pack(1 << 20) is batch
    await batch.pack_into(packed)
    delivered = queue.batch_to_deliver()
    assert (delivered.packed, delivered.records, delivered.next_offset) == (packed, (), 9)
    assert packed.offsets == [5, 6, 7, 8]


async def test_records_after_markers_are_packed_too() -> None:
    """Their batch began with the markers, before there was a record to pack."""
    queue, packed = a_queue(), Offsets()
    queue.add([], next_fetch_offset=7, now=0)
    add(queue, [a_record(7)], now=0)
    assert queue.complete_if_due(10)
    batch = queue.next_to_pack(1 << 20)
    assert batch
    await batch.pack_into(packed)
    assert queue.batch_to_deliver().packed is packed
