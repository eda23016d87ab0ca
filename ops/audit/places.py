"""Where the sequences of one origin were seen, and what that comes to, sink by sink. Pure."""

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from consumers.counters.layout import SUM_MODULUS
from ops.audit import report
from ops.audit.report import Held


class Settled(NamedTuple):
    """
    Up to which sequence an origin is judged; what came later may still be on its way.

    N where a spool gave it, else what Kafka had when the audit began: then `known` is False.
    """

    until: int
    known: bool


class Sequences:
    """How often each sequence of one origin was seen in one place."""

    def __init__(self) -> None:
        # A byte a sequence; index 0 is never used.
        self._times = bytearray()
        self.highest = 0

    def add(self, sequence: int) -> None:
        """Count one more."""
        if sequence >= len(self._times):
            self._times.extend(bytes(max(sequence + 1 - len(self._times), len(self._times))))
        self._times[sequence] = min(self._times[sequence] + 1, 255)
        self.highest = max(self.highest, sequence)

    def __getitem__(self, sequence: int) -> int:
        return self._times[sequence] if sequence < len(self._times) else 0

    @property
    def distinct(self) -> int:
        """How many sequences were seen at all."""
        return len(self._times) - self._times.count(0)


@dataclass(slots=True)
class Places:
    """One origin's sequences, place by place."""

    callbacks: Sequences = field(default_factory=Sequences)
    dead_letters: Sequences = field(default_factory=Sequences)
    archived: Sequences = field(default_factory=Sequences)
    synced: Sequences = field(default_factory=Sequences)
    # By sink, the sequences that its consumer set aside; for Kafka, those that it refused.
    set_aside: dict[str, Sequences] = field(default_factory=dict)
    # The highest sequence that is too high to be counted.
    beyond: int = 0
    # Archived from offsets that the topic's retention has deleted: the archive's word counts.
    expired: Sequences = field(default_factory=Sequences)
    # By partition, between which sequences some were expired from the archive as well.
    expired_runs: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    # By partition, in the order of the topic: what retention has deleted, and what is there.
    order_expired: dict[int, "array[int]"] = field(default_factory=dict)
    order: dict[int, "array[int]"] = field(default_factory=dict)

    @property
    def highest(self) -> int:
        """The highest sequence that was seen anywhere."""
        seen = (self.callbacks, self.dead_letters, self.archived, self.synced)
        return max(self.beyond, *(each.highest for each in (*seen, *self.set_aside.values())))

    def in_kafka(self, settled: Settled) -> Held:
        """Hold the topic and the dead letters of the ingress together against 1..N."""
        highest = max(self.callbacks.highest, self.dead_letters.highest)
        doubled = [
            sequence
            for sequence in range(1, highest + 1)
            if self.callbacks[sequence] + self.dead_letters[sequence] > 1
        ]
        refused = self.set_aside.get(report.KAFKA, Sequences())
        aside = [each for each in range(1, refused.highest + 1) if refused[each]]
        return _held(self.callbacks.distinct, self._nowhere(settled), doubled, aside)

    def _nowhere(self, settled: Settled) -> list[int]:
        if not settled.known:
            return []  # nobody can say what there must be
        return [
            sequence
            for sequence in range(1, settled.until + 1)
            if not (
                self.callbacks[sequence]
                or self.dead_letters[sequence]
                or self.expired[sequence]
                or self._may_be_expired(sequence)
            )
        ]

    def _may_be_expired(self, sequence: int) -> bool:
        """Tell whether it is neither in Kafka nor archived, and among what was expired."""
        return not (
            self.callbacks[sequence] or self.dead_letters[sequence] or self.archived[sequence]
        ) and any(
            low <= sequence <= high for runs in self.expired_runs.values() for low, high in runs
        )

    def unprovable(self, settled: Settled) -> int:
        """Return how many sequences are nowhere and were expired, as far as anybody can say."""
        if not self.expired_runs:
            return 0
        return sum(map(self._may_be_expired, range(1, settled.until + 1)))

    def _expired_of(self, partition: int, settled: Settled) -> int:
        """Return how many sequences of a partition have expired, at most."""
        return sum(
            any(low <= sequence <= high for low, high in self.expired_runs[partition])
            and self._may_be_expired(sequence)
            for sequence in range(1, settled.until + 1)
        )

    def _owed(self, settled: Settled) -> Iterator[int]:
        """Yield what every sink must have: 1..N less dead letters, or else what Kafka has."""
        for sequence in range(1, settled.until + 1):
            if self.dead_letters[sequence] or self._may_be_expired(sequence):
                continue
            if settled.known or self.callbacks[sequence] or self.archived[sequence]:
                yield sequence

    def in_sink(self, sink: str, sequences: Sequences, settled: Settled) -> Held:
        """Hold what a sink has against what it must have, and tell what was set aside instead."""
        set_aside = self.set_aside.get(sink, Sequences())
        lacking = [each for each in self._owed(settled) if not sequences[each]]
        doubled = [each for each in range(1, sequences.highest + 1) if sequences[each] > 1]
        return _held(
            sequences.distinct,
            [each for each in lacking if not set_aside[each]],
            doubled,
            [each for each in range(1, set_aside.highest + 1) if set_aside[each] > sequences[each]],
        )

    def in_counts(self, applied: Mapping[int, tuple[int, int]], settled: Settled) -> Held:
        """
        Hold numbers and sums, by partition, against the topic.

        Within a partition an origin's sequences are counted in the topic's order, so what is
        counted is a prefix of it, also while traffic goes on: of so many, with that sum. Where the
        first of them were expired from Kafka and archive, it is at least as many as there are, and
        at most as many more as have expired.
        """
        set_aside = self.set_aside.get(report.COUNTS, Sequences())
        # What is nowhere is not counted either.
        missing = self._nowhere(settled)
        aside = [sequence for sequence in range(1, set_aside.highest + 1) if set_aside[sequence]]
        total, doubled = 0, 0
        for partition in {*self.order, *self.order_expired, *applied}:
            sequences = [
                sequence
                for part in (self.order_expired, self.order)
                for sequence in part.get(partition, ())
                if not set_aside[sequence]
            ]
            count, counted_sum = applied.get(partition, (0, 0))
            total += count
            missing += [each for each in sequences[count:] if each <= settled.until]
            if partition in self.expired_runs:
                if settled.known:
                    expired = self._expired_of(partition, settled)
                    doubled += max(0, count - len(sequences) - expired)
                continue
            doubled += max(0, count - len(sequences))
            if count <= len(sequences) and sum(sequences[:count]) % SUM_MODULUS != counted_sum:
                # As many as there are, but others: one at least is missing and one is doubled.
                missing += sequences[:1]
                doubled += 1
        return _held(total, sorted(missing), doubled, aside)


def _held(
    sequences: int, missing: list[int], doubled: list[int] | int, aside: Sequence[int] = ()
) -> Held:
    return Held(
        sequences=sequences,
        missing=len(missing),
        doubled=doubled if isinstance(doubled, int) else len(doubled),
        set_aside=len(aside),
        missing_listed=missing[: report.LISTED_MAX],
        doubled_listed=[] if isinstance(doubled, int) else doubled[: report.LISTED_MAX],
        set_aside_listed=list(aside[: report.LISTED_MAX]),
    )
