"""Two contents that should be one, and the records in which they were seen."""

from dataclasses import dataclass
from typing import NamedTuple

from schemas.topics import CALLBACKS, DEAD_LETTERS

# Topic, partition and offset in 64 bits. They are only shown to people, so large ones may be cut.
_TOPICS = (CALLBACKS.name, DEAD_LETTERS.name, "another topic")
_TOPIC_NUMBERS = {name: number for number, name in enumerate(_TOPICS)}
_PARTITION_BITS = 14
_OFFSET_BITS = 48


class Location(NamedTuple):
    """The origin and the sequence of a callback, and the record in which it was seen."""

    origin: str
    sequence: int
    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        """Return the location as people read it."""
        where = (
            self.topic if self.offset < 0 else f"{self.topic}/{self.partition} offset {self.offset}"
        )
        return f"origin {self.origin} sequence {self.sequence} ({where})"

    def packed(self) -> int:
        """Return topic, partition and offset in 64 bits."""
        topic = _TOPIC_NUMBERS.get(self.topic, len(_TOPICS) - 1)
        partition = self.partition & (1 << _PARTITION_BITS) - 1
        offset = self.offset & (1 << _OFFSET_BITS) - 1
        return (topic << _PARTITION_BITS | partition) << _OFFSET_BITS | offset


def unpacked(origin: str, sequence: int, packed: int) -> Location:
    """Return the location of a callback whose topic, partition and offset were packed."""
    return Location(
        origin,
        sequence,
        _TOPICS[packed >> _PARTITION_BITS + _OFFSET_BITS],
        packed >> _OFFSET_BITS & (1 << _PARTITION_BITS) - 1,
        packed & (1 << _OFFSET_BITS) - 1,
    )


@dataclass(frozen=True, slots=True)
class Difference:
    """
    Two contents that should be one.

    `ce_id` is the id that both locations share; "" if they have the same origin and sequence. A
    location in the database has no partition and no offset: they are -1.
    """

    ce_id: str
    first: Location
    second: Location

    def __str__(self) -> str:
        """Return the difference as people read it."""
        if self.ce_id:
            return f"different callbacks under one id, {self.ce_id}: {self.first} and {self.second}"
        return f"different content under one sequence: {self.first} and {self.second}"


class Differences:
    """Counts differences, and keeps the first of them."""

    def __init__(self, *, listed_max: int) -> None:
        self._listed_max = listed_max
        self.count = 0
        self._listed: list[tuple[str, Location | None, Location]] = []

    def add(self, ce_id: str, first: Location | None, second: Location) -> None:
        """
        Count a difference.

        `first` is None if the first record with the origin and sequence of `second` is not known.
        """
        self.count += 1
        if len(self._listed) < self._listed_max:
            self._listed.append((ce_id, first, second))

    @property
    def not_located(self) -> set[tuple[str, int]]:
        """Origin and sequence of the differences whose first record is not known."""
        return {second[:2] for _, first, second in self._listed if first is None}

    def listed(self, located: dict[tuple[str, int], Location]) -> list[Difference]:
        """Return the first differences, in order; `located` has the records of `not_located`."""
        return sorted(
            (
                Difference(ce_id, first or located.get(second[:2], second), second)
                for ce_id, first, second in self._listed
            ),
            key=lambda each: (each.first[:2], each.second[:2], each.ce_id),
        )
