"""
Find out which sequences of a partition the counters have not applied, or applied twice. No I/O.

Counts have no sequences, only the number and sum of those that were applied, by origin and
partition: also of repeats, which the numbers of callbacks and messages leave out. Counters apply a
partition in its order. So without a fault the applied sequences are the first `count` of the
partition, with that sum, even while traffic goes on. If they are not, and one sequence that is
missing or doubled explains number and sum, that is the fault. Otherwise only the least number of
faults is known.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from itertools import accumulate, islice

from pyroaring import BitMap64

from consumers.counters.layout import SUM_MODULUS
from ops.audit.report import LISTED_MAX
from ops.audit.sequence_order import SequenceOrder


@dataclass(frozen=True, slots=True, kw_only=True)
class CountFaults:
    """
    The faults of a partition's counts.

    A list has the first LISTED_MAX sequences; it is empty if number and sum do not show which ones
    are missing or doubled.
    `applied_lost` has a sequence that was applied before Kafka lost it. `may_be_lost`: how many
    of the applied sequences may be ones that Kafka lost later. Then as many sequences of the
    topic may be missing in the counts without being in `missing`.
    """

    missing: int = 0
    doubled: int = 0
    missing_listed: list[int] = field(default_factory=list)
    doubled_listed: list[int] = field(default_factory=list)
    applied_lost: list[int] = field(default_factory=list)
    may_be_lost: int = 0


def faults_of(
    sequences: SequenceOrder,
    count: int,
    applied_sum: int,
    *,
    last_sequence: int,
    lost_from_kafka: BitMap64,
) -> CountFaults:
    """
    Compare number and sum of the applied sequences with those of a partition, in order.

    Sequences above `last_sequence` may be applied or not. `lost_from_kafka` are of any partition.
    The result has no faults only if the first `count` sequences have that sum, perhaps with one of
    the lost ones.
    """

    def missing_after(index: int) -> CountFaults:
        return missing_of(
            sequence for sequence in sequences.after(index) if sequence <= last_sequence
        )

    def sum_above_first(number: int) -> int:
        return (applied_sum - sequences.sum_of_first(number)) % SUM_MODULUS

    size = len(sequences)
    if count <= size and not sum_above_first(count):
        return missing_after(count)
    if 0 < count <= size + 1:
        # If the counts have the first `count - 1` sequences and one more, this is that one.
        extra = sum_above_first(count - 1)
        if extra in lost_from_kafka:
            return replace(missing_after(count - 1), applied_lost=[extra])
        if not missing_after(count - 1).missing and sequences.has_within_first(count - 1, extra):
            return CountFaults(doubled=1, doubled_listed=[extra])
    if count < size:
        # If the counts have the first `count + 1` sequences except one, this is that one.
        omitted = -sum_above_first(count + 1) % SUM_MODULUS
        if not missing_after(count + 1).missing and sequences.has_within_first(count + 1, omitted):
            return missing_of([omitted])
    return _least_faults(sequences, count, last_sequence, len(lost_from_kafka))


def _least_faults(
    sequences: SequenceOrder, count: int, last_sequence: int, lost: int
) -> CountFaults:
    """Return the least faults if the first `count` sequences have another sum."""
    size = len(sequences)
    if lost:
        # An unknown part of the lost sequences may have been applied.
        required = sum(sequence <= last_sequence for sequence in sequences)
        return CountFaults(
            missing=max(0, required - count),
            doubled=max(0, count - size - lost),
            may_be_lost=min(lost, max(0, count - required)),
        )
    if count < size:
        missing = missing_of(each for each in sequences.after(count) if each <= last_sequence)
        return CountFaults(missing=missing.missing or 1)
    # With as many sequences as the partition but another sum, at least one is missing and one is
    # doubled. With more, at least those above the partition's number are doubled.
    return CountFaults(missing=int(count == size), doubled=count - size or 1)


def missing_of(sequences: Iterable[int]) -> CountFaults:
    """Return that `sequences` are missing; there may be more than the memory can hold."""
    missing = iter(sequences)
    listed = list(islice(missing, LISTED_MAX))
    return CountFaults(missing=len(listed) + sum(1 for _ in missing), missing_listed=listed)


def least_highest(count: int, applied_sum: int) -> int:
    """Return the least possible highest one of `count` different sequences with this sum."""
    # The sum of the highest sequence and the next lower ones is count * highest - 0 - 1 - 2 - ...
    # A sum that was reduced by SUM_MODULUS only makes the result lower.
    return -(-(applied_sum + count * (count - 1) // 2) // count) if count else 0


def without_dead_letters(sequences: SequenceOrder, dead_letters: BitMap64) -> SequenceOrder:
    """Return `sequences`, in their order, without those in `dead_letters`."""
    if not dead_letters:
        return sequences
    return SequenceOrder(sequence for sequence in sequences if sequence not in dead_letters)


def applied_dead_letters(
    sequences: SequenceOrder, dead_letters: BitMap64, count: int, applied_sum: int
) -> BitMap64:
    """
    Return the dead letters that the counts of a partition include all the same.

    If the counters are killed after they sent dead letters, another release may continue that can
    count these records. From then on it counts every record, so the counts have the first
    `skipped + count` of `sequences`, except the first `skipped` dead letters. Their sum shows which
    `skipped` it is. If no `skipped` has that sum, none of the dead letters is taken as counted.
    """
    skipped = [
        (index, sequence) for index, sequence in enumerate(sequences) if sequence in dead_letters
    ]
    skipped_sums = list(accumulate((sequence for _, sequence in skipped), initial=0))
    after = islice(sequences.after(count), len(skipped))
    sums = list(accumulate(after, initial=sequences.sum_of_first(count)))
    for number in range(len(skipped), -1, -1):
        end = number + count
        if end > len(sequences):
            continue
        if (sums[number] - skipped_sums[number] - applied_sum) % SUM_MODULUS == 0:
            return BitMap64(sequence for index, sequence in skipped[number:] if index < end)
    return BitMap64()
