"""Held records: cut by each bound, in order, none dropped."""

from builders import P0, P1, a_record

from consumers.runtime.batch import Limits, Partition, Record
from consumers.runtime.held import Held

HOUR_MS = 3_600_000


def held(*, records: int = 3, size: int = 1 << 20, age_s: float = 10.0) -> Held:
    """Return what holds P0 from offset 5 on."""
    made = Held(Limits(records=records, bytes=size, age_s=age_s, period_s=3600))
    made.begin(P0, 5)
    return made


def add(line: Held, partition: Partition, records: list[Record], *, now: float) -> None:
    """Have records arrive, without a marker behind them."""
    line.add(partition, records, reached=records[-1].offset + 1, now=now)


def offsets(line: Held, now: float) -> list[list[int]]:
    """Return what is due at `now`."""
    return [[record.offset for record in batch.records] for batch in line.due(now=now)]


def test_a_batch_is_due_when_it_is_full_or_old() -> None:
    """Not before."""
    line = held()
    add(line, P0, [a_record(5), a_record(6)], now=0)
    assert offsets(line, 9.9) == []
    assert offsets(line, 10) == [[5, 6]]


def test_a_batch_is_cut_at_the_number_of_records() -> None:
    """The rest waits for its own bound."""
    line = held()
    add(line, P0, [a_record(o) for o in (5, 6, 9, 10)], now=0)
    (batch,) = line.due(now=0)
    assert (batch.begins_at, batch.next_offset, len(batch.records)) == (5, 10, 3)
    line.applied(batch)
    assert offsets(line, 0) == []
    assert offsets(line, 10) == [[10]]


def test_a_batch_is_cut_at_its_bytes() -> None:
    """A single record above the bound is a batch of its own."""
    line = held(size=a_record(5).size + 1)
    add(line, P0, [a_record(5), a_record(6), a_record(7, value=b"x" * 9999)], now=0)
    (batch,) = line.due(now=0)
    assert [r.offset for r in batch.records] == [5, 6]
    line.applied(batch)
    assert offsets(line, 0) == [[7]]


def test_a_batch_never_spans_two_hours() -> None:
    """A record that a clock step dated back stays with its neighbours."""
    line = held(records=10)
    at = 1_700_002_800_000
    add(line, P0, [a_record(5, timestamp_ms=at), a_record(6, timestamp_ms=at - HOUR_MS)], now=0)
    add(line, P0, [a_record(7, timestamp_ms=at + HOUR_MS)], now=0)
    assert offsets(line, 0) == [[5, 6]]


def test_what_was_not_begun_is_not_held() -> None:
    """Records of another partition, or from before the position, are dropped."""
    line = held(records=1)
    add(line, P1, [a_record(5)], now=0)
    add(line, P0, [a_record(4)], now=0)
    assert offsets(line, 99) == []
    assert line.size == 0


def test_a_postponed_batch_comes_again_unchanged() -> None:
    """And what arrives meanwhile does not join it."""
    line = held()
    add(line, P0, [a_record(5)], now=0)
    assert offsets(line, 10) == [[5]]
    line.postpone(P0, until=20)
    add(line, P0, [a_record(6)], now=11)
    assert offsets(line, 15) == []
    assert offsets(line, 20) == [[5]]


def test_begin_drops_what_was_held() -> None:
    """The sink's position is where holding goes on."""
    line = held(records=1)
    add(line, P0, [a_record(5)], now=0)
    line.begin(P0, 3)
    assert line.size == 0
    add(line, P0, [a_record(3)], now=0)
    assert offsets(line, 0) == [[3]]


def test_a_batch_ends_behind_the_markers_that_followed_it() -> None:
    """The last of the line; one that others follow ends behind its last record."""
    line = held(records=2)
    line.add(P0, [a_record(o) for o in (5, 6, 8)], reached=10, now=0)
    (batch,) = line.due(now=0)
    assert batch.next_offset == 7
    line.applied(batch)
    (batch,) = line.due(now=10)
    assert (batch.begins_at, batch.next_offset) == (7, 10)


def test_markers_alone_are_a_batch_without_records() -> None:
    """Otherwise retention would delete them, and the position would be before the beginning."""
    line = held()
    line.add(P0, [], reached=5, now=0)
    assert list(line.due(now=10)) == []
    line.add(P0, [], reached=9, now=10)
    assert list(line.due(now=10)) == []
    (batch,) = line.due(now=20)
    assert (batch.begins_at, batch.next_offset, batch.records) == (5, 9, ())
    line.applied(batch)
    assert list(line.idle()) == [(P0, 9)]


def test_what_is_set_aside_leaves_the_batch_that_waits() -> None:
    """Whatever happens to the rest, it does not come again."""
    line = held()
    add(line, P0, [a_record(o) for o in (5, 6, 7)], now=0)
    (batch,) = line.due(now=0)
    line.replace(batch.without(6))
    (batch,) = line.due(now=0)
    assert ([r.offset for r in batch.records], batch.next_offset) == ([5, 7], 8)
