"""Which sequences of one origin were seen: a bit each, however far apart they are. Pure."""

from collections.abc import Iterable, Iterator

CHUNK = 1 << 16


class Numbers:
    """A set of numbers from 0 up."""

    def __init__(self) -> None:
        self._chunks: dict[int, bytearray] = {}
        self.count = 0

    def add(self, number: int) -> bool:
        """Add `number`; return False if it was there already."""
        chunk = self._chunks.setdefault(number // CHUNK, bytearray(CHUNK // 8))
        at, bit = number % CHUNK // 8, 1 << number % 8
        if chunk[at] & bit:
            return False
        chunk[at] |= bit
        self.count += 1
        return True

    def __contains__(self, number: int) -> bool:
        chunk = self._chunks.get(number // CHUNK)
        return chunk is not None and bool(chunk[number % CHUNK // 8] & 1 << number % 8)

    @property
    def lowest(self) -> int:
        """The lowest number; there must be one."""
        key = min(self._chunks)
        whole = int.from_bytes(self._chunks[key], "little")
        return key * CHUNK + (whole & -whole).bit_length() - 1

    @property
    def highest(self) -> int:
        """The highest number; there must be one."""
        key = max(self._chunks)
        return key * CHUNK + int.from_bytes(self._chunks[key], "little").bit_length() - 1

    def holes(self, first: int, last: int) -> Iterator[tuple[int, int]]:
        """Yield the runs of numbers from `first` to `last` that are not there, in order."""
        expected = first
        for key in sorted(self._chunks):
            chunk = self._chunks[key]
            low, high = max(first, key * CHUNK), min(last, key * CHUNK + CHUNK - 1)
            full = chunk.count(b"\xff") == len(chunk)
            for number in (low,) if full and low <= high else range(low, high + 1):
                if chunk[number % CHUNK // 8] & 1 << number % 8:
                    if expected < number:
                        yield expected, number - 1
                    expected = high + 1 if full else number + 1
        if expected <= last:
            yield expected, last


def without(run: tuple[int, int], excused: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield what is left of a run of numbers when the `excused` runs are taken out of it."""
    first, last = run
    for low, high in sorted(excused):
        if first > last:
            return
        if low > first:
            yield first, min(last, low - 1)
        first = max(first, high + 1)
    if first <= last:
        yield first, last
