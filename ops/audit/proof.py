"""
Decide for one origin whether every sequence 1..N is exactly once in Kafka and in each sink.

N is the origin's end (ends.py). Sequences that retention and `hookline archive expire` have deleted
everywhere are `expired`; the audit does not look for them. The rest is decided by sets, for each
sink:

    required      = 1..N - expired - dead letters of the ingress (callbacks that no sink gets)
    missing       = required - in the sink - dead letters of the sink's consumer - expired from it
    doubled       = in the sink more than once
    dead_lettered = dead letters of the sink's consumer - in the sink

Only PostgreSQL has sequences that are expired from it alone, by `hookline sync expire`: each had a
receipt and a row when they were deleted.

The sink is proven if `missing`, `doubled` and `dead_lettered` are empty and N is known. "Missing"
callbacks are lost to the sink. If N is not known, `required` has only the callbacks that are in
Kafka or archived: faults are found, but nothing is proven.

Kafka must have 1..N - expired, in the main topic or among the dead letters of the ingress; below
the topic's first offset, which retention has raised, the archive is the evidence instead. Counts
have no sequences, only their number and sum by partition: they must be the number and the sum of
the partition's first sequences. If sequences of a partition have expired, the counts include an
unknown part of them. Then the sum is not compared, and only a number below the sequences that are
left, or above these and the expired ones together, is a fault: other wrong counts are not noticed.
"""

from array import array
from collections.abc import Mapping
from itertools import accumulate

from pyroaring import BitMap64

from consumers.counters.layout import SUM_MODULUS
from ops.audit.evidence import End, Evidence
from ops.audit.report import COUNTS, LISTED_MAX, POSTGRES, SinkReport
from ops.sequences import Sequences, union, within

_NONE = BitMap64()


class OriginProof:
    """Compares each sink with the sequences that it must have."""

    def __init__(self, evidence: Evidence, end: End) -> None:
        self._evidence = evidence
        self._end = end
        self._up_to_end = within(1, end.last_sequence)
        self._in_kafka = evidence.topic.distinct | evidence.ingress_dead_letters.distinct
        may_be_expired = self._in_ranges(*evidence.expired_ranges)
        self.expired = may_be_expired - self._in_kafka - evidence.archive.distinct
        self.expired_from_postgres = self._up_to_end & union(
            evidence.expired_from_postgres, last=end.last_sequence
        )
        self._required = self._up_to_end - self.expired - evidence.ingress_dead_letters.distinct
        if not end.is_known:
            self._required &= evidence.topic.distinct | evidence.archive.distinct

    def _in_ranges(self, *partitions: int) -> BitMap64:
        """Return the sequences 1..N in the expired ranges of some partitions."""
        ranges = self._evidence.expired_ranges
        in_ranges = (each for partition in partitions for each in ranges[partition])
        return self._up_to_end & union(in_ranges, last=self._end.last_sequence)

    @property
    def _known_lost(self) -> BitMap64:
        """The sequences that must be in Kafka and are not; empty if N is not known."""
        if not self._end.is_known:
            return BitMap64()
        return self._up_to_end - self.expired - self._in_kafka - self._evidence.below_log_start

    def kafka(self) -> SinkReport:
        """Compare the main topic and the dead letters of the ingress, together, with 1..N."""
        topic, dead_letters = self._evidence.topic, self._evidence.ingress_dead_letters
        return _report(
            len(topic.distinct),
            missing=self._known_lost,
            doubled=topic.doubled | dead_letters.doubled | topic.distinct & dead_letters.distinct,
            dead_lettered=self._evidence.refused_by_kafka.distinct,
        )

    def postgres(self) -> SinkReport:
        """Compare what PostgreSQL holds with what it must hold; it need not hold what expired."""
        return self.sink(POSTGRES, self._evidence.postgres, self.expired_from_postgres)

    def sink(self, name: str, held: Sequences, expired: BitMap64 = _NONE) -> SinkReport:
        """Compare what a sink holds with what it must hold; `expired` are expired from it alone."""
        dead = self._evidence.dead_letters_of[name]
        return _report(
            len(held.distinct),
            missing=self._required - held.distinct - dead.distinct - expired,
            doubled=held.doubled,
            # The sink may have a record with a dead letter: if the consumer is killed after it sent
            # the dead letter, the record is delivered again.
            dead_lettered=dead.distinct - held.distinct - expired,
            expired=expired - held.distinct,
            returned=expired & held.distinct,
        )

    def webhook(self, name: str, *, delivered: BitMap64, not_required: BitMap64) -> SinkReport:
        """Compare what a webhook's target has accepted with what it must have; it may repeat."""
        dead = self._evidence.dead_letters_of[name]
        return _report(
            len(delivered),
            missing=self._required - delivered - dead.distinct - not_required,
            doubled=BitMap64(),
            dead_lettered=dead.distinct - delivered,
        )

    def counts(self, applied: Mapping[int, tuple[int, int]]) -> SinkReport:
        """Compare the counts, by partition a number and a sum of sequences, with the topic."""
        dead = self._evidence.dead_letters_of[COUNTS].distinct.copy()
        # A sequence that Kafka has lost is not counted either.
        missing, doubled = list(self._known_lost), 0
        for partition in self._evidence.partitions | applied.keys():
            sequences = self._evidence.in_order(partition)
            number_and_sum = applied.get(partition, (0, 0))
            if dead and partition not in self._evidence.expired_ranges:
                dead -= _counted_dead_letters(sequences, dead, *number_and_sum)
            if dead:
                sequences = array("Q", (each for each in sequences if each not in dead))
            more_missing, more_doubled = self._compare_partition(
                partition, sequences, *number_and_sum
            )
            missing += more_missing
            doubled += more_doubled
        return SinkReport(
            sequences=sum(count for count, _ in applied.values()),
            missing=len(missing),
            doubled=doubled,
            dead_lettered=len(dead),
            missing_listed=sorted(missing)[:LISTED_MAX],
            dead_lettered_listed=list(dead[:LISTED_MAX]),
        )

    def _compare_partition(
        self, partition: int, sequences: "array[int]", count: int, counted_sum: int
    ) -> tuple[list[int], int]:
        """
        Return the sequences of a partition that are not counted, and the number counted twice.

        Counters apply a partition in its order. So the counted sequences must be the first `count`
        of `sequences`, with that sum, even while traffic goes on. The sum is not compared if some
        sequences of the partition have expired.
        """
        missing = [each for each in sequences[count:] if each <= self._end.last_sequence]
        surplus = max(0, count - len(sequences))
        if partition in self._evidence.expired_ranges:
            # The expired sequences were counted, too, but their number and sum are not known.
            expired = len(self._in_ranges(partition) & self.expired)
            return missing, max(0, surplus - expired) if self._end.is_known else 0
        if not surplus and sum(sequences[:count]) % SUM_MODULUS != counted_sum:
            # The number is right, the sum is not: at least one is missing, and one is doubled.
            return [*missing, *sequences[:1]], 1
        return missing, surplus


def _counted_dead_letters(
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


def _report(
    sequences: int,
    *,
    missing: BitMap64,
    doubled: BitMap64,
    dead_lettered: BitMap64,
    expired: BitMap64 = _NONE,
    returned: BitMap64 = _NONE,
) -> SinkReport:
    return SinkReport(
        sequences=sequences,
        missing=len(missing),
        doubled=len(doubled),
        dead_lettered=len(dead_lettered),
        expired=len(expired),
        returned=len(returned),
        missing_listed=list(missing[:LISTED_MAX]),
        doubled_listed=list(doubled[:LISTED_MAX]),
        dead_lettered_listed=list(dead_lettered[:LISTED_MAX]),
    )
