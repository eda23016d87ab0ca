"""The interface of the two sources: the topic and the archive."""

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import NamedTuple, Protocol

from consumers.runtime.batch import Partition, Record
from ops.failure import Failure


class SourceIncomplete(Failure):
    """The source lacks records of the range; the replay stops, and does not skip them."""


class Part(NamedTuple):
    """
    The selected records of a part of a partition, in order.

    All records of the partition before `next_offset` are in this part, in an earlier one, or are
    not selected. `size` is how far the progress moves.
    """

    partition: Partition
    records: Sequence[Record]
    next_offset: int
    topic_id: str | None
    size: int


class ReplaySource(Protocol):
    """A source of parts. `notes` are sentences about records of the range that it may lack."""

    notes: list[str]

    async def topic_id(self, partition: Partition) -> str | None:
        """Return the id of the topic whose records the source has, None if it is unknown."""
        ...

    async def size(self, positions: Mapping[Partition, int]) -> int:
        """Return the sum of the sizes of all parts from `positions` on."""
        ...

    def parts(self, positions: Mapping[Partition, int]) -> AsyncGenerator[Part]:
        """
        Yield the parts of every partition from its offset in `positions`, if there is one, on.

        Raises:
            Failure: the source does not answer, is damaged, or lacks records of the range.
        """
        ...
