"""The places in which an origin's sequences were seen, and its end, up to which each must be."""

from array import array
from collections import defaultdict
from dataclasses import dataclass, field
from typing import NamedTuple

from pyroaring import BitMap64

from ops.sequences import Range, Sequences


class End(NamedTuple):
    """
    The last sequence of an origin that must be everywhere; later ones may still be on their way.

    It is N, the number of callbacks that the origin's spool stored. If no spool of the origin is
    known, it is the highest sequence that Kafka had at the first report (after `ReadAgain`: at the
    first one since), and `known` is False.
    """

    sequence: int
    known: bool


def _no_order() -> "defaultdict[int, array[int]]":
    return defaultdict(lambda: array("Q"))


@dataclass(slots=True)
class Evidence:
    """
    The sequences of one origin, by the place in which they were seen.

    `ingress_dead_letters` were written by the ingress, in place of the main topic.
    `dead_letters_of` has, by sink, the callbacks that the sink's consumer sent to the dead-letter
    topic in place of the sink; for Kafka, those of `ingress_dead_letters` that Kafka refused.
    """

    topic: Sequences = field(default_factory=Sequences)
    ingress_dead_letters: Sequences = field(default_factory=Sequences)
    archive: Sequences = field(default_factory=Sequences)
    postgres: Sequences = field(default_factory=Sequences)
    dead_letters_of: defaultdict[str, Sequences] = field(
        default_factory=lambda: defaultdict(Sequences)
    )
    # Archived from offsets below the topic's first one, which retention has raised: for these
    # offsets the archive is the evidence.
    below_log_start: BitMap64 = field(default_factory=BitMap64)
    # By partition, the ranges in which sequences have expired from the archive as well.
    expired_ranges: dict[int, list[Range]] = field(default_factory=dict)
    # By partition, the sequences in the order of offsets: first those that only the archive has,
    # then those of the topic. Only counts, which cannot name sequences, need an order.
    order_below_log_start: "defaultdict[int, array[int]]" = field(default_factory=_no_order)
    order_in_topic: "defaultdict[int, array[int]]" = field(default_factory=_no_order)
    # The highest sequence that was not added because it is too high.
    highest_ignored: int = 0

    @property
    def highest(self) -> int:
        """The highest sequence that was seen anywhere."""
        places = (self.topic, self.ingress_dead_letters, self.archive, self.postgres)
        seen = (*places, *self.dead_letters_of.values())
        return max(self.highest_ignored, *(each.highest for each in seen))

    @property
    def partitions(self) -> set[int]:
        """The partitions in which sequences were seen."""
        return self.order_below_log_start.keys() | self.order_in_topic.keys()

    def in_order(self, partition: int) -> "array[int]":
        """Return the sequences of a partition in the order of their offsets."""
        return self.order_below_log_start[partition] + self.order_in_topic[partition]
