"""The interface of a consumer that gets callbacks again, and the counts of a replay."""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple, Protocol

from consumers.runtime.batch import Partition, Position, Record
from ops.failure import Failure
from ops.replay.source import Part
from ops.terminal import say

REJECTIONS_SHOWN_MAX = 20
# A position is stored without records after so many offsets, so that little is read again.
OFFSETS_UNSAVED_MAX = 50_000


class CannotReplay(Failure):
    """Callbacks cannot be replayed to a consumer; the text says what to do instead."""


class RecordState(StrEnum):
    """
    The state of a record, by which a replay decides.

    LACKING: the database of sync lacks the callback. EXPIRED: the database lacks the callback
    because `hookline sync expire` deleted it. DONE: the database has it; or the target of a webhook
    got it, or refused it: a replay to a webhook sends these again. PENDING: the replay leaves the
    callback to the consumer, which has not read it yet, or tries it again. UNWANTED: it is not for
    the consumer, by the settings of the consumer, or because the consumer began after it.
    """

    LACKING = "lacking"
    EXPIRED = "expired"
    DONE = "done"
    PENDING = "pending"
    UNWANTED = "unwanted"


class ReplayCounts(NamedTuple):
    """
    The numbers of records of a replay, by result.

    `written`: in the database, or sent to a target. `unchanged`: they were in the database.
    `pending`: they were left to the consumer.
    """

    written: int = 0
    unchanged: int = 0
    rejected: int = 0
    pending: int = 0

    def __add__(self, other: object) -> "ReplayCounts":
        """Return the sum of two results."""
        if not isinstance(other, ReplayCounts):
            return NotImplemented
        return ReplayCounts(*(a + b for a, b in zip(self, other, strict=True)))


class RejectionLog:
    """Prints the first reasons why records were rejected."""

    def __init__(self) -> None:
        self._left = REJECTIONS_SHOWN_MAX

    def note(self, partition: Partition, record: Record, reason: str) -> None:
        """Print that `record` was rejected."""
        if self._left:
            self._left -= 1
            say(f"partition {partition.number} offset {record.offset} was rejected: {reason}")


class ReplayTarget(Protocol):
    """One consumer that gets callbacks again."""

    async def positions(self) -> Mapping[Partition, Position]:
        """Return the positions that an interrupted replay of the same selection has reached."""
        ...

    async def states(self, part: Part) -> Sequence[RecordState]:
        """Return the state of each record; nothing is changed."""
        ...

    async def write(self, part: Part) -> ReplayCounts:
        """
        Apply the records and store the position after them.

        The stored position is never after the first record of the partition that was rejected.

        Raises:
            Failure: some may have been applied; the same command continues.
        """
        ...

    async def finish(self) -> None:
        """Remove the positions: the same selection begins again next time."""
        ...
