"""Sets of sequences: duplicates, gaps, and sequences that are far apart."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from ops.sequences import Sequences, gaps, sequence_bitmap, subtract, union

# The bitmaps change their form at multiples of 65536.
EDGE = 1 << 16
SEQUENCES = st.integers(0, 3 * EDGE) | st.integers(EDGE - 3, EDGE + 3) | st.just(10**18)
RANGES = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 40)).map(sorted).map(tuple), max_size=4
)


@given(st.lists(SEQUENCES, max_size=30))
def test_every_sequence_is_seen_once_or_doubled(added: list[int]) -> None:
    """A plain set is the model."""
    sequences, seen, doubled = Sequences(), set[int](), set[int]()
    for sequence in added:
        assert sequences.add(sequence) == (sequence not in seen)
        (doubled if sequence in seen else seen).add(sequence)
    assert (set(sequences.distinct), set(sequences.doubled)) == (seen, doubled)
    assert sequences.highest == max(seen, default=0)


@given(st.sets(st.integers(0, 60)), st.integers(0, 60), st.integers(0, 60))
def test_gaps_are_the_ranges_of_absent_sequences(numbers: set[int], first: int, last: int) -> None:
    """In order, and no two of them adjoin."""
    at = EDGE - 30
    sequences = Sequences()
    for number in numbers:
        sequences.add(at + number)
    ranges = list(gaps(sequences.distinct, at + first, at + last))
    absent = [sequence for low, high in ranges for sequence in range(low, high + 1)]
    assert absent == [at + number for number in range(first, last + 1) if number not in numbers]
    assert all(left[1] + 1 < right[0] for left, right in itertools.pairwise(ranges))


def test_without_sequences_the_whole_range_is_a_gap() -> None:
    """Also from 0 on, which is no higher than the highest sequence of an empty bitmap."""
    assert list(gaps(Sequences().distinct, 0, 5)) == [(0, 5)]


def test_a_gap_may_be_too_long_for_a_bitmap() -> None:
    """A forged header may have any sequence up to 10^18."""
    sequences = Sequences()
    for sequence in (*range(2 * EDGE), 5 * EDGE, 10**18):
        sequences.add(sequence)
    assert list(gaps(sequences.distinct, 0, 10**18)) == [
        (2 * EDGE, 5 * EDGE - 1),
        (5 * EDGE + 1, 10**18 - 1),
    ]
    assert list(gaps(sequences.distinct, 3, 2 * EDGE - 1)) == []


@given(RANGES, st.integers(0, 40))
def test_a_union_of_ranges_ends_at_its_last_sequence(
    ranges: list[tuple[int, int]], last: int
) -> None:
    """However the ranges overlap; an empty range adds nothing."""
    expected = {n for low, high in ranges for n in range(low, high + 1) if n <= last}
    assert set(union(ranges, last=last)) == expected
    assert set(sequence_bitmap(3, 2)) == set()


@given(st.tuples(st.integers(0, 40), st.integers(0, 40)), RANGES)
def test_excused_ranges_are_removed_from_a_range(
    whole: tuple[int, int], excused: list[tuple[int, int]]
) -> None:
    """However they overlap."""
    left = [n for low, high in subtract(whole, excused) for n in range(low, high + 1)]
    removed = {n for low, high in excused for n in range(low, high + 1)}
    assert left == [n for n in range(whole[0], whole[1] + 1) if n not in removed]
