"""An order of sequences is that of a list, in a fraction of its memory."""

import tracemalloc
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ops.audit import sequence_order
from ops.audit.sequence_order import SequenceOrder

orders = st.lists(st.integers(1, 10**18), max_size=20)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sequence_order, "CHUNK_SEQUENCES", 4)


@given(first=orders, later=orders, number=st.integers(0, 45))
def test_an_order_is_that_of_a_list(first: list[int], later: list[int], number: int) -> None:
    """Sequences may come in any order, and more than once; added orders stay as they are."""
    both = [*first, *later]
    order = SequenceOrder(first) + SequenceOrder(later)
    for each, expected in ((order, both), (order + SequenceOrder(), both)):
        assert (list(each), len(each)) == (expected, len(expected))
        assert list(each.after(number)) == expected[number:]
        assert each.sum_of_first(number) == sum(expected[:number])
    for sequence in (*both, 7):
        assert order.has_within_first(number, sequence) is (sequence in both[:number])
    order.append(5)
    assert list(islice(order, len(both), None)) == [5]


def test_rising_sequences_take_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every twelfth sequence, more or less, is in a partition."""
    monkeypatch.undo()
    tracemalloc.start()
    order = SequenceOrder(number * 12 + number % 7 for number in range(51_200))
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert taken < 2 * len(order)
