"""The outcomes of a partition's callbacks, for a batch that is handled again. No I/O."""

from dataclasses import dataclass, field

from consumers.runtime.batch import OffsetAndPlace, Partition
from consumers.webhook.outcome import Outcome, OutcomeKind


@dataclass(slots=True)
class RememberedOutcomes:
    """
    The outcomes of a partition's callbacks that its position has not moved over.

    A callback is identified by its offset, its origin and its sequence: a log that was restored
    from an older copy has other callbacks at the same offsets.
    """

    partition: Partition
    outcomes: dict[OffsetAndPlace, Outcome] = field(default_factory=dict)
    # The refused callbacks that are in the dead-letter topic.
    dead_letters: set[OffsetAndPlace] = field(default_factory=set)

    def is_done(self, at: OffsetAndPlace) -> bool:
        """Return whether the callback at `at` was delivered or is a dead letter."""
        outcome = self.outcomes.get(at)
        return outcome is not None and (
            outcome.kind is OutcomeKind.DELIVERED or at in self.dead_letters
        )

    def forget_before(self, offset: int) -> None:
        """Forget the callbacks before `offset`."""
        self.outcomes = {at: outcome for at, outcome in self.outcomes.items() if at[0] >= offset}
        self.dead_letters &= self.outcomes.keys()

    def forget_failures(self) -> None:
        """Have all callbacks tried again that were not delivered, and not refused either."""
        self.outcomes = {
            at: outcome
            for at, outcome in self.outcomes.items()
            if outcome.kind in (OutcomeKind.DELIVERED, OutcomeKind.REFUSED)
        }
