"""The outcomes of a partition's callbacks, for a batch that is handled again. No I/O."""

from dataclasses import dataclass, field

from consumers.runtime.batch import Partition, Record
from consumers.runtime.pending_batch import offset_and_place
from consumers.webhook.outcome import Outcome, Result


@dataclass(slots=True)
class Remembered:
    """
    The outcomes of a partition's callbacks that its position has not moved over.

    A callback is identified by its offset, its origin and its sequence: a log that was restored
    from an older copy has other callbacks at the same offsets.
    """

    partition: Partition
    outcomes: dict[tuple[int, str, int], Outcome] = field(default_factory=dict)
    # The refused callbacks that are in the dead-letter topic.
    dead_letters: set[tuple[int, str, int]] = field(default_factory=set)

    def outcome(self, record: Record) -> Outcome | None:
        """Return the outcome of `record`, None if it has to be tried."""
        return self.outcomes.get(offset_and_place(record))

    def is_done(self, record: Record) -> bool:
        """Return whether `record` was delivered or is a dead letter."""
        outcome = self.outcome(record)
        return outcome is not None and (
            outcome.result is Result.DELIVERED or offset_and_place(record) in self.dead_letters
        )

    def forget_before(self, offset: int) -> None:
        """Forget the callbacks before `offset`."""
        self.outcomes = {at: found for at, found in self.outcomes.items() if at[0] >= offset}
        self.dead_letters &= self.outcomes.keys()

    def forget_failures(self) -> None:
        """Have all callbacks tried again that were not delivered, and not refused either."""
        self.outcomes = {
            at: found
            for at, found in self.outcomes.items()
            if found.result in (Result.DELIVERED, Result.REFUSED)
        }
