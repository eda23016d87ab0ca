"""The sequences of a partition in the order of their offsets, compressed."""

import zlib
from array import array
from collections.abc import Iterable, Iterator
from itertools import accumulate, islice
from operator import sub
from typing import NamedTuple

# The number of sequences that are compressed together. They usually take some 1.5 bytes each.
CHUNK_SEQUENCES = 1024


class _Chunk(NamedTuple):
    length: int
    sum: int
    differences: bytes

    def sequences(self) -> Iterator[int]:
        """Yield the sequences."""
        return accumulate(array("q", zlib.decompress(self.differences)))


def _chunk(sequences: "array[int]") -> _Chunk:
    # Sequences mostly rise by little, so their differences are compressed.
    before = array("q", [0]) + sequences[:-1]
    steps = array("q", map(sub, sequences, before))
    return _Chunk(len(sequences), sum(sequences), zlib.compress(steps.tobytes(), 1))


class SequenceOrder:
    """Sequences in an order; one may be there more than once."""

    def __init__(self, sequences: Iterable[int] = ()) -> None:
        self._chunks: list[_Chunk] = []
        self._open_chunk = array("q")
        for sequence in sequences:
            self.append(sequence)

    def append(self, sequence: int) -> None:
        """Add a sequence after all others."""
        self._open_chunk.append(sequence)
        if len(self._open_chunk) >= CHUNK_SEQUENCES:
            self._chunks.append(_chunk(self._open_chunk))
            self._open_chunk = array("q")

    def __len__(self) -> int:
        """Return the number of sequences."""
        return sum(chunk.length for chunk in self._chunks) + len(self._open_chunk)

    def __iter__(self) -> Iterator[int]:
        """Yield the sequences in order."""
        return self.after(0)

    def __add__(self, later: "SequenceOrder") -> "SequenceOrder":
        """Return these sequences, and the later ones after them."""
        both = SequenceOrder()
        both._chunks = [*self._chunks, *([_chunk(self._open_chunk)] if self._open_chunk else [])]
        both._chunks += later._chunks
        both._open_chunk = later._open_chunk[:]
        return both

    def sum_of_first(self, number: int) -> int:
        """Return the sum of the first `number` sequences."""
        total = 0
        for chunk in self._chunks:
            if number < chunk.length:
                return total + sum(islice(chunk.sequences(), number))
            total += chunk.sum
            number -= chunk.length
        return total + sum(self._open_chunk[:number])

    def after(self, number: int) -> Iterator[int]:
        """Yield the sequences after the first `number`, in order."""
        for chunk in self._chunks:
            if number < chunk.length:
                yield from islice(chunk.sequences(), number, None)
            number = max(0, number - chunk.length)
        yield from self._open_chunk[number:]

    def has_within_first(self, number: int, sequence: int) -> bool:
        """Return whether a sequence is one of the first `number`."""
        return sequence in islice(self, number)
