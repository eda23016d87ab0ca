"""The result of delivering one batch: what is undelivered, and whether the whole target is slow."""

from collections.abc import Sequence
from dataclasses import dataclass

from consumers.runtime.batch import Record
from consumers.runtime.source import KafkaUnavailable
from consumers.webhook.outcome import Outcome

# If at most this part of the conversations that are sent is not through after BEGIN_S_MAX, they are
# parked, because they alone are slow; otherwise the whole target is slow, and nothing is parked.
SLOW_SHARE_MAX = 0.25


@dataclass(frozen=True, slots=True)
class UndeliveredRecords:
    """The rest of a conversation: its records from the first undelivered one on, and its outcome.

    `outcome` None: that record was not tried. `no_dead_letter`: the failure of Kafka for which it
    is not in the dead-letter topic, if it was refused.
    """

    records: Sequence[Record]
    outcome: Outcome | None
    no_dead_letter: KafkaUnavailable | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchResult:
    """
    `following`: records of conversations that were parked before.

    `conversations`: the number of the others that the target is to get, also those that are through
    already. A conversation of which the target wants nothing is not among them.
    """

    undelivered: Sequence[UndeliveredRecords]
    following: Sequence[Record]
    conversations: int

    def slow_from(self) -> int | None:
        """
        Return the first offset of the conversations whose delivery was interrupted; None if few.

        The time limit or the open circuit interrupts it. Up to SLOW_SHARE_MAX of all are few.
        """
        slow = [each.records[0].offset for each in self.undelivered if each.outcome is None]
        return min(slow) if len(slow) > SLOW_SHARE_MAX * self.conversations else None
