"""Counts have a number and a sum of sequences; one fault of a partition is named from them."""

from collections.abc import Collection

from hypothesis import assume, given
from hypothesis import strategies as st
from pyroaring import BitMap64

from consumers.counters.layout import SUM_MODULUS
from ops.audit.count_faults import CountFaults, faults_of
from ops.audit.sequence_order import SequenceOrder

orders = st.lists(st.integers(1, 10**15), unique=True, min_size=1, max_size=30)


def faults(
    order: list[int], counted: list[int], *, last: int | None = None, lost: Collection[int] = ()
) -> CountFaults:
    """Return the faults of counts that have counted these sequences of a partition."""
    return faults_of(
        SequenceOrder(order),
        len(counted),
        sum(counted) % SUM_MODULUS,
        last_sequence=max(order) if last is None else last,
        lost_from_kafka=BitMap64(lost),
    )


@given(order=orders, at=st.integers(0, 29), lag=st.integers(0, 5))
def test_one_fault_is_named_exactly(order: list[int], at: int, lag: int) -> None:
    """A sequence that was left out, counted twice, or counted before Kafka lost it."""
    at %= len(order)
    one, others = order[at], order[:at] + order[at + 1 :]
    assert faults(order, order) == CountFaults()
    assert faults(order, others) == CountFaults(missing=1, missing_listed=[one])
    assert faults(order, [*order, one]) == CountFaults(doubled=1, doubled_listed=[one])
    if others:
        assert faults(others, order, lost=[one]) == CountFaults(applied_lost=[one])
    late = order[max(0, len(order) - lag) :]
    counted = order[: len(order) - len(late)]
    assert faults(order, counted) == CountFaults(missing=len(late), missing_listed=late)


@given(order=orders, more=orders, at=st.integers(0, 29), counted=st.integers(0, 30))
def test_the_fault_is_named_while_traffic_goes_on(
    order: list[int], more: list[int], at: int, counted: int
) -> None:
    """Sequences above the end may be counted or not."""
    last = max(order)
    more = [last + each for each in more]
    one = order[at % len(order)]
    some = [*order, *more[:counted]]
    assert faults(order + more, some, last=last) == CountFaults()
    doubled = faults(order + more, [*some, one], last=last)
    assert doubled == CountFaults(doubled=1, doubled_listed=[one])
    left_out = faults(order + more, [each for each in some if each != one], last=last)
    assert left_out == CountFaults(missing=1, missing_listed=[one])


@given(order=orders, weights=st.lists(st.integers(0, 3), min_size=30, max_size=30))
def test_no_other_counts_are_without_a_fault(order: list[int], weights: list[int]) -> None:
    """Several faults of a partition are noticed, unless number and sum are right by chance."""
    counted = [each for each, times in zip(order, weights, strict=False) for _ in range(times)]
    expected = order[: len(counted)]
    assume(sum(counted) % SUM_MODULUS != sum(expected) % SUM_MODULUS or len(counted) != len(order))
    count_faults = faults(order, counted)
    assert count_faults.missing or count_faults.doubled
    assert len(count_faults.missing_listed) in (0, count_faults.missing)
    assert len(count_faults.doubled_listed) in (0, count_faults.doubled)


# No two lists of these, with each less than 8 times, have one sum.
places = [8**exponent for exponent in range(10)]


@given(
    lost=st.sets(st.sampled_from(places), max_size=4),
    late=st.integers(0, 3),
    times=st.lists(st.sampled_from([0, 1, 1, 1, 2]), min_size=10, max_size=10),
)
def test_no_more_faults_are_reported_than_there_are(
    lost: set[int], late: int, times: list[int]
) -> None:
    """Also if Kafka has lost several sequences that were applied before."""
    order = [each for each in places if each not in lost]
    last = max([*lost, *order[: len(order) - late]])
    applied = [each for each, number in zip(places, times, strict=True) for _ in range(number)]
    count_faults = faults(order, applied, last=last, lost=lost)
    absent = len(lost) - len(count_faults.applied_lost) - count_faults.may_be_lost
    required = {each for each in places if each <= last}
    assert 0 <= absent + count_faults.missing <= len(required - set(applied))
    assert count_faults.doubled <= len(applied) - len(set(applied))
