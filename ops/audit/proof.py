"""
Decide for one origin whether every sequence 1..N is exactly once in Kafka and in each sink.

N is the origin's end (spool_ends.py). With --since, the first sequence since then takes the place
of 1; no earlier one is in the evidence. `expired_at_source` are the sequences that neither Kafka
nor the archive has, and that are in a range of which `hookline archive expire` has deleted
segments; PostgreSQL and the counts may still have them. The audit does not look for them. One that
was lost before its range expired cannot be told apart, so it counts as expired. The rest is decided
by sets, for each sink:

    required      = 1..N - expired_at_source - dead letters of the ingress (no sink gets these)
    lacking       = required - in the sink - dead letters of the sink's consumer - expired from it
    replaced      = dead letters of the sink's consumer - in the sink - expired from it
    dropped       = those of `lacking` or `replaced` that a person has dropped
    missing       = lacking - dropped
    dead_lettered = replaced - dropped
    doubled       = in the sink more than once

If `hookline dead-letters resend` has sent a dead letter of the ingress to the main topic, Kafka and
every sink must have the callback. A dead letter of a consumer that was sent again is judged by what
the sink has, whatever was noted.

Only PostgreSQL has sequences that are expired from it alone, by `hookline sync expire`: each had a
receipt and a row when they were deleted.

The sink is proven if `missing`, `doubled` and `dead_lettered` are empty and N is known. "Missing"
callbacks are lost to the sink. If N is not known, `required` has only the callbacks that are in
Kafka or archived: faults are found, but nothing is proven.

Kafka must have 1..N - expired_at_source, in the main topic or among the dead letters of the
ingress. Sequences that retention has deleted from the topic may be in the archive instead. Counts
have no sequences, only their number and sum by partition (count_faults.py). If sequences of a
partition have expired, the counts include an unknown part of them. Then the sum is not compared,
and it is a fault only if the count is less than the sequences left, or more than these plus the
expired ones. Number and sum may still show that a sequence above N was counted (reporting.py).
Other wrong counts are not noticed.
"""

from collections.abc import Mapping
from dataclasses import replace
from itertools import chain

from pyroaring import BitMap64

from ops.audit.count_faults import (
    CountFaults,
    applied_dead_letters,
    faults_of,
    missing_of,
    without_dead_letters,
)
from ops.audit.evidence import Evidence, RequiredRange
from ops.audit.report import COUNTS, INGRESS_DEAD_LETTERS, LISTED_MAX, POSTGRES, SinkReport
from ops.audit.sequence_order import SequenceOrder
from ops.sequences import Sequences, sequence_bitmap, union

_NONE = BitMap64()


class OriginProof:
    """Compares each sink with the sequences that it must have."""

    def __init__(self, evidence: Evidence, required_range: RequiredRange) -> None:
        self._evidence = evidence
        self._required_range = required_range
        # 1..N; with --since, from the first sequence since then.
        self._in_range = sequence_bitmap(
            required_range.first_sequence, required_range.last_sequence
        )
        # Those that a person has dropped, and whose dead letters retention has deleted since.
        self._dropped_and_gone = (
            self._in_range
            & evidence.dropped[INGRESS_DEAD_LETTERS]
            - evidence.ingress_dead_letters.distinct
            - evidence.topic.distinct
            - evidence.resent
        )
        self._final_ingress_dead_letters = evidence.ingress_dead_letters.distinct - evidence.resent
        self._final_ingress_dead_letters |= self._dropped_and_gone
        self._accounted_for_by_kafka = evidence.topic.distinct | self._final_ingress_dead_letters
        may_be_expired = self._in_expired_ranges(*evidence.expired_ranges)
        self.expired_at_source = (
            may_be_expired - self._accounted_for_by_kafka - evidence.archive.distinct
        )
        self.expired_after_end_max = self._expired_after_end_max(*evidence.expired_ranges)
        self.expired_from_postgres = self._in_range & union(
            evidence.expired_from_postgres, last=required_range.last_sequence
        )
        self._required = self._in_range - self.expired_at_source - self._final_ingress_dead_letters
        if not required_range.is_known:
            self._required &= evidence.topic.distinct | evidence.archive.distinct

    def _in_expired_ranges(self, *partitions: int) -> BitMap64:
        """Return the sequences, of those that are audited, in expired ranges of some partitions."""
        ranges = chain.from_iterable(self._evidence.expired_ranges[each] for each in partitions)
        return self._in_range & union(ranges, last=self._required_range.last_sequence)

    def _expired_after_end_max(self, *partitions: int) -> int:
        """Return how many sequences above N the expired ranges of some partitions may have."""
        ranges = chain.from_iterable(self._evidence.expired_ranges[each] for each in partitions)
        highest = max((last for _, last in ranges), default=0)
        return max(0, highest - self._required_range.last_sequence)

    @property
    def _missing_in_kafka(self) -> BitMap64:
        """The sequences that must be in Kafka and are not; empty if N is not known."""
        if not self._required_range.is_known:
            return BitMap64()
        return (
            self._in_range
            - self.expired_at_source
            - self._accounted_for_by_kafka
            - self._evidence.below_log_start
        )

    def kafka(self) -> SinkReport:
        """Compare both topics together; the number of sequences is that of the main topic alone."""
        topic, dead_letters = self._evidence.topic, self._evidence.ingress_dead_letters
        refused = self._evidence.refused_by_kafka.distinct & self._final_ingress_dead_letters
        dropped = self._evidence.dropped[INGRESS_DEAD_LETTERS]
        in_both = topic.distinct & self._final_ingress_dead_letters
        return _sink_report(
            len(topic.distinct),
            missing=self._missing_in_kafka,
            doubled=topic.doubled | dead_letters.doubled | in_both,
            dead_lettered=refused - dropped,
            # Also malformed callbacks, which were not answered OK: a person has dropped them, too.
            dropped=self._final_ingress_dead_letters & dropped,
        )

    def ingress_dead_letters(self) -> SinkReport:
        """Return the number of dead letters of the ingress; see `SinkReport`."""
        return SinkReport(sequences=len(self._final_ingress_dead_letters))

    def postgres(self) -> SinkReport:
        """Compare what PostgreSQL holds with what it must hold; it need not hold what expired."""
        return self.sink(POSTGRES, self._evidence.postgres, self.expired_from_postgres)

    def sink(self, name: str, in_sink: Sequences, expired_from_it: BitMap64 = _NONE) -> SinkReport:
        """Compare a sink with what it must hold. `expired_from_it`: other sinks may have these."""
        dead_letters, dropped = self._evidence.dead_letters_of[name], self._evidence.dropped[name]
        lacking = self._required - in_sink.distinct - dead_letters.distinct - expired_from_it
        # The sink may have a record with a dead letter: if the consumer is killed after it sent the
        # dead letter, the record is delivered again.
        replaced = dead_letters.distinct - in_sink.distinct - expired_from_it
        return _sink_report(
            len(in_sink.distinct),
            missing=lacking - dropped,
            doubled=in_sink.doubled,
            dead_lettered=replaced - dropped,
            dropped=(lacking | replaced) & dropped,
            expired=expired_from_it - in_sink.distinct,
            returned=expired_from_it & in_sink.distinct,
        )

    def webhook(self, name: str, *, delivered: BitMap64, not_required: BitMap64) -> SinkReport:
        """Compare what a webhook's target has accepted with what it must have; it may repeat."""
        dead_letters, dropped = self._evidence.dead_letters_of[name], self._evidence.dropped[name]
        missing = self._required - delivered - dead_letters.distinct - not_required
        dead_lettered = dead_letters.distinct - delivered
        return _sink_report(
            len(delivered),
            missing=missing - dropped,
            doubled=BitMap64(),
            dead_lettered=dead_lettered - dropped,
            dropped=(missing | dead_lettered) & dropped,
        )

    def counts(self, applied: Mapping[int, tuple[int, int]]) -> SinkReport:
        """Compare with the topic what was `applied`: by partition, number and sum of sequences."""
        dropped = self._evidence.dropped[COUNTS]
        dead_letters = self._evidence.dead_letters_of[COUNTS].distinct | dropped & self._required
        lost = self._missing_in_kafka
        all_faults = []
        for partition in self._evidence.partitions | applied.keys():
            sequences = self._evidence.in_order(partition)
            count, applied_sum = applied.get(partition, (0, 0))
            if partition in self._evidence.expired_ranges:
                sequences = without_dead_letters(sequences, dead_letters)
                all_faults.append(self._faults_beside_expired(partition, sequences, count))
                continue
            if dead_letters:
                dead_letters -= applied_dead_letters(sequences, dead_letters, count, applied_sum)
                sequences = without_dead_letters(sequences, dead_letters)
            partition_faults = faults_of(
                sequences,
                count,
                applied_sum,
                last_sequence=self._required_range.last_sequence,
                lost_from_kafka=lost,
            )
            lost -= BitMap64(partition_faults.applied_lost)
            all_faults.append(partition_faults)
        # A sequence that Kafka has lost is not counted either, unless number or sum may show that.
        may_be_lost = min(len(lost), sum(faults.may_be_lost for faults in all_faults))
        missing = sorted(
            [
                *lost[: 0 if may_be_lost else LISTED_MAX],
                *chain.from_iterable(faults.missing_listed for faults in all_faults),
            ]
        )
        doubled = sorted(chain.from_iterable(faults.doubled_listed for faults in all_faults))
        return SinkReport(
            sequences=sum(count for count, _ in applied.values()),
            missing=len(lost) - may_be_lost + sum(faults.missing for faults in all_faults),
            doubled=sum(faults.doubled for faults in all_faults),
            dead_lettered=len(dead_letters - dropped),
            dropped=len(dead_letters & dropped),
            missing_listed=missing[:LISTED_MAX],
            doubled_listed=doubled[:LISTED_MAX],
            dead_lettered_listed=list((dead_letters - dropped)[:LISTED_MAX]),
        )

    def _faults_beside_expired(
        self, partition: int, sequences: SequenceOrder, count: int
    ) -> CountFaults:
        """Compare the counts of a partition that include an unknown part of expired sequences."""
        last_sequence = self._required_range.last_sequence
        missing = missing_of(
            sequence for sequence in sequences.after(count) if sequence <= last_sequence
        )
        surplus = max(0, count - len(sequences))
        expired = len(self._in_expired_ranges(partition) & self.expired_at_source)
        expired += self._expired_after_end_max(partition)
        doubled = max(0, surplus - expired) if self._required_range.is_known else 0
        return replace(missing, doubled=doubled)


def _sink_report(
    sequences: int,
    *,
    missing: BitMap64,
    doubled: BitMap64,
    dead_lettered: BitMap64,
    expired: BitMap64 = _NONE,
    returned: BitMap64 = _NONE,
    dropped: BitMap64 = _NONE,
) -> SinkReport:
    return SinkReport(
        sequences=sequences,
        missing=len(missing),
        doubled=len(doubled),
        dead_lettered=len(dead_lettered),
        expired=len(expired),
        returned=len(returned),
        dropped=len(dropped),
        missing_listed=list(missing[:LISTED_MAX]),
        doubled_listed=list(doubled[:LISTED_MAX]),
        dead_lettered_listed=list(dead_lettered[:LISTED_MAX]),
    )
