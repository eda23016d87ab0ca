"""Sets of sequences of one origin, as compressed bitmaps (docs/decisions/0023-bitmaps.md)."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from pyroaring import BitMap64

# A first and a last sequence; both belong to the range.
SequenceRange: TypeAlias = tuple[int, int]


class Sequences:
    """Sequences that were added: `distinct` at least once, `doubled` at least twice."""

    def __init__(self) -> None:
        self.distinct = BitMap64()
        self.doubled = BitMap64()

    def add(self, sequence: int) -> bool:
        """Add a sequence; return False if it had been added before."""
        if sequence in self.distinct:
            self.doubled.add(sequence)
            return False
        self.distinct.add(sequence)
        return True

    @property
    def highest(self) -> int:
        """The highest sequence, 0 if there is none."""
        return highest(self.distinct)


def highest(sequences: BitMap64) -> int:
    """Return the highest sequence of a bitmap, 0 if it is empty."""
    return sequences.max() if sequences else 0


def sequence_bitmap(first: int, last: int) -> BitMap64:
    """Return the sequences from `first` to `last`."""
    return BitMap64(range(first, last + 1))


def union(ranges: Iterable[SequenceRange], *, last: int) -> BitMap64:
    """Return the sequences of all `ranges` that are not above `last`."""
    return BitMap64().union(*(sequence_bitmap(low, min(high, last)) for low, high in ranges))


def gaps(sequences: BitMap64, first: int, last: int) -> Iterator[SequenceRange]:
    """
    Yield the ranges from `first` to `last` that are not in `sequences`, in order.

    Two sequences may be so far apart that no bitmap could hold the gap: none is built.
    """
    while first <= last:
        if not sequences or sequences.max() < first:
            yield first, last
            return
        present = sequences.next_set_bit(first)
        if first < present:
            yield first, min(present - 1, last)
        first = _first_absent(sequences, present)


def _first_absent(sequences: BitMap64, present: int) -> int:
    """Return the lowest sequence above `present` that is not in `sequences`."""

    def is_whole(end: int) -> bool:
        # BitMap64.contains_range is wrong if a block of 65536 sequences is missing.
        return sequences.range_cardinality(present, end) == end - present

    size = 1
    while is_whole(present + 2 * size):
        size *= 2
    ends = range(present + size, present + 2 * size)
    return ends[bisect_left(ends, 1, key=lambda end: not is_whole(end + 1))]


def subtract(
    whole: SequenceRange, removed_ranges: Iterable[SequenceRange]
) -> Iterator[SequenceRange]:
    """Yield the parts of a range that are in none of the `removed_ranges`."""
    first, last = whole
    for low, high in sorted(removed_ranges):
        if first > last:
            return
        if low > first:
            yield first, min(last, low - 1)
        first = max(first, high + 1)
    if first <= last:
        yield first, last
