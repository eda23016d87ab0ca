"""A set of numbers that may be far apart, and the runs that are not in it."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from ops.audit.numbers import CHUNK, Numbers, without

FAR = st.integers(0, 3 * CHUNK) | st.integers(CHUNK - 3, CHUNK + 3) | st.just(10**18)
RUNS = st.lists(
    st.tuples(st.integers(0, 40), st.integers(0, 40)).map(sorted).map(tuple), max_size=4
)


@given(st.lists(FAR, min_size=1, max_size=30))
def test_what_was_added_is_there_and_what_came_twice_is_told(numbers: list[int]) -> None:
    """As with a plain set."""
    found, plain = Numbers(), set[int]()
    for number in numbers:
        assert found.add(number) == (number not in plain)
        plain.add(number)
    assert (found.count, found.lowest, found.highest) == (len(plain), min(plain), max(plain))
    assert all(number in found for number in plain)
    assert CHUNK * 5 not in found


@given(st.sets(st.integers(0, 60), min_size=1), st.integers(0, 60), st.integers(0, 60))
def test_holes_are_the_runs_that_are_not_there(numbers: set[int], first: int, last: int) -> None:
    """In order, and none touches another."""
    found = Numbers()
    for number in numbers:
        found.add(number + CHUNK - 30)  # over the edge of a chunk
    holes = list(found.holes(first + CHUNK - 30, last + CHUNK - 30))
    absent = [n for low, high in holes for n in range(low, high + 1)]
    assert absent == [
        number + CHUNK - 30 for number in range(first, last + 1) if number not in numbers
    ]
    assert all(left[1] + 1 < right[0] for left, right in itertools.pairwise(holes))


def test_full_chunks_and_absent_ones_are_passed_over() -> None:
    """A hole may be as long as numbers go."""
    found = Numbers()
    for number in (*range(2 * CHUNK), 5 * CHUNK, 10**18):
        found.add(number)
    assert list(found.holes(0, 10**18)) == [
        (2 * CHUNK, 5 * CHUNK - 1),
        (5 * CHUNK + 1, 10**18 - 1),
    ]
    assert list(found.holes(3, 2 * CHUNK - 1)) == []


@given(st.tuples(st.integers(0, 40), st.integers(0, 40)), RUNS)
def test_excused_runs_are_taken_out_of_a_run(
    run: tuple[int, int], excused: list[tuple[int, int]]
) -> None:
    """However they overlap."""
    left = [n for low, high in without(run, excused) for n in range(low, high + 1)]
    taken = {n for low, high in excused for n in range(low, high + 1)}
    assert left == [n for n in range(run[0], run[1] + 1) if n not in taken]
