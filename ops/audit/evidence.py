"""The sequences of an origin by the source that has them, and the range that each must have."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

from pyroaring import BitMap64

from ops.audit.sequence_order import SequenceOrder
from ops.sequences import SequenceRange, Sequences


class RequiredRange(NamedTuple):
    """
    The sequences of an origin that must be everywhere; later ones may still be on their way.

    `last_sequence` is N (spool_ends.py). If no spool of the origin is known, it is the highest
    sequence that Kafka had at the first report, and `is_known` is False (after `ReadAgain`,
    which starts again: at the first report after it). `first_sequence` is above 1 if only callbacks
    since a time are audited.
    """

    last_sequence: int
    is_known: bool
    first_sequence: int = 1


def _no_order() -> defaultdict[int, SequenceOrder]:
    return defaultdict(SequenceOrder)


@dataclass(slots=True)
class Evidence:
    """
    The sequences of one origin, by the source that has them.

    `ingress_dead_letters` were written by the ingress, in place of the main topic.
    `refused_by_kafka` are those of them that were answered OK, and then Kafka refused them.
    `dead_letters_of` has, by sink, the callbacks that the sink's consumer sent to the dead-letter
    topic in place of the sink.
    """

    topic: Sequences = field(default_factory=Sequences)
    ingress_dead_letters: Sequences = field(default_factory=Sequences)
    refused_by_kafka: Sequences = field(default_factory=Sequences)
    archive: Sequences = field(default_factory=Sequences)
    postgres: Sequences = field(default_factory=Sequences)
    dead_letters_of: defaultdict[str, Sequences] = field(
        default_factory=lambda: defaultdict(Sequences)
    )
    # By sink, or INGRESS_DEAD_LETTERS, the callbacks that a person has dropped.
    dropped: defaultdict[str, BitMap64] = field(default_factory=lambda: defaultdict(BitMap64))
    # Dead letters of the ingress that were sent to the main topic again, so it must have them.
    resent: BitMap64 = field(default_factory=BitMap64)
    # Archived from offsets that retention has deleted from the topic; for these, the archive is the
    # evidence.
    below_log_start: BitMap64 = field(default_factory=BitMap64)
    # By partition, the ranges in which sequences have expired from the archive as well.
    expired_ranges: dict[int, list[SequenceRange]] = field(
        default_factory=lambda: defaultdict(list)
    )
    # The ranges of sequences that `hookline sync expire` has deleted from PostgreSQL.
    expired_from_postgres: list[SequenceRange] = field(default_factory=list)
    # By partition, the sequences in the order of offsets: first those that only the archive has,
    # because retention had deleted them when the topic was read first, then those of the topic.
    # Only counts, which cannot name sequences, need an order.
    order_only_archived: defaultdict[int, SequenceOrder] = field(default_factory=_no_order)
    order_in_topic: defaultdict[int, SequenceOrder] = field(default_factory=_no_order)

    @property
    def partitions(self) -> set[int]:
        """The partitions that have sequences of the origin."""
        return self.order_only_archived.keys() | self.order_in_topic.keys()

    def in_order(self, partition: int) -> SequenceOrder:
        """Return the sequences of a partition in the order of their offsets."""
        return self.order_only_archived[partition] + self.order_in_topic[partition]
