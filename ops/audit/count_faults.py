"""
Find out which sequences of a partition the counters have not counted, or counted twice. No I/O.

Counts have no sequences, only their number and sum by origin and partition. Counters apply a
partition in its order. So without a fault the counted sequences are the first `count` of the
partition, with that sum, even while traffic goes on. If they are not, and one sequence that is
missing or doubled explains number and sum, that is the fault. Otherwise only the least number of
faults is known.
"""

from array import array
from dataclasses import dataclass, field
from itertools import accumulate

from pyroaring import BitMap64

from consumers.counters.layout import SUM_MODULUS


@dataclass(frozen=True, slots=True, kw_only=True)
class CountFaults:
    """
    The faults of a partition's counts.

    A list is empty if number and sum do not show which sequences are missing or doubled.
    `counted_lost` has a sequence that was counted, and that Kafka has lost since.
    """

    missing: int = 0
    doubled: int = 0
    missing_listed: list[int] = field(default_factory=list)
    doubled_listed: list[int] = field(default_factory=list)
    counted_lost: list[int] = field(default_factory=list)


def faults_of(
    sequences: "array[int]", count: int, counted_sum: int, *, last: int, lost: BitMap64
) -> CountFaults:
    """
    Compare the number and the sum of the counted sequences with those of a partition, in order.

    Sequences above `last` may be counted or not. `lost` are sequences that Kafka has lost, from any
    partition. The result has no faults only if the first `count` sequences have that sum, perhaps
    with one of the lost ones.
    """

    def uncounted(at: int) -> list[int]:
        return [each for each in sequences[at:] if each <= last]

    def more_than_first(at: int) -> int:
        return (counted_sum - sum(sequences[:at])) % SUM_MODULUS

    size = len(sequences)
    if count <= size and not more_than_first(count):
        return _missing(uncounted(count))
    if 0 < count <= size + 1:
        added = more_than_first(count - 1)
        if added in lost:
            missing = uncounted(count - 1)
            return CountFaults(missing=len(missing), missing_listed=missing, counted_lost=[added])
        if added in sequences[: count - 1] and not uncounted(count - 1):
            return CountFaults(doubled=1, doubled_listed=[added])
    if count < size:
        left_out = -more_than_first(count + 1) % SUM_MODULUS
        if left_out in sequences[: count + 1] and not uncounted(count + 1):
            return _missing([left_out])
        return CountFaults(missing=len(uncounted(count)) or 1)
    # As many as there are, but with another sum: one is missing, and another one is doubled.
    return CountFaults(missing=int(count == size), doubled=count - size or 1)


def _missing(sequences: list[int]) -> CountFaults:
    return CountFaults(missing=len(sequences), missing_listed=sequences)


def without(dead: BitMap64, sequences: "array[int]") -> "array[int]":
    """Return `sequences` without the dead letters, in their order."""
    return array("Q", (each for each in sequences if each not in dead)) if dead else sequences


def counted_dead_letters(
    sequences: "array[int]", dead: BitMap64, count: int, counted_sum: int
) -> BitMap64:
    """
    Return the dead letters that the counts of a partition have all the same.

    If the counters are killed after they sent dead letters, and another release continues, it may
    count these records. From then on it counts all: so the counts have the first `skipped + count`
    of `sequences`, except the first `skipped` dead letters, with that sum. If no `skipped` has that
    sum, none of the dead letters is taken as counted.
    """
    dead_at = [index for index, each in enumerate(sequences) if each in dead]
    sums = array("Q", (each % SUM_MODULUS for each in accumulate(sequences, initial=0)))
    dead_sums = list(accumulate((sequences[index] for index in dead_at), initial=0))
    for skipped in range(len(dead_at), -1, -1):
        end = skipped + count
        if end < len(sums) and (sums[end] - dead_sums[skipped] - counted_sum) % SUM_MODULUS == 0:
            return BitMap64(sequences[index] for index in dead_at[skipped:] if index < end)
    return BitMap64()
