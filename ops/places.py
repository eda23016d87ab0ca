"""Where the sequences of one origin were seen, and what that comes to, sink by sink. Pure."""

from dataclasses import dataclass, field

from ops import report
from ops.report import Held


class Sequences:
    """How often each sequence of one origin was seen in one place."""

    def __init__(self) -> None:
        # A byte a sequence; index 0 is never used.
        self._times = bytearray()

    def add(self, sequence: int) -> None:
        """Count one more."""
        if sequence >= len(self._times):
            self._times.extend(bytes(max(sequence + 1 - len(self._times), len(self._times))))
        self._times[sequence] = min(self._times[sequence] + 1, 255)

    def __getitem__(self, sequence: int) -> int:
        return self._times[sequence] if sequence < len(self._times) else 0

    @property
    def distinct(self) -> int:
        """How many sequences were seen at all."""
        return len(self._times) - self._times.count(0)

    @property
    def reach(self) -> int:
        """No sequence above this was seen."""
        return len(self._times)


@dataclass(slots=True)
class Places:
    """One origin's sequences, place by place."""

    callbacks: Sequences = field(default_factory=Sequences)
    dead_letters: Sequences = field(default_factory=Sequences)
    archived: Sequences = field(default_factory=Sequences)
    synced: Sequences = field(default_factory=Sequences)
    # By sink, what its consumer set aside.
    set_aside: dict[str, Sequences] = field(default_factory=dict)
    # Archived from offsets that the topic's retention has deleted: the archive's word counts.
    expired: Sequences = field(default_factory=Sequences)

    def in_kafka(self, accepted: int | None) -> Held:
        """Hold the topic and the dead letters of the ingress together against 1..N."""
        missing, doubled = [], []
        reach = max(self.callbacks.reach, self.dead_letters.reach)
        for sequence in range(1, max(accepted or 0, reach) + 1):
            times = self.callbacks[sequence] + self.dead_letters[sequence]
            # What came after N was read may still be on its way.
            if not times and sequence <= (accepted or 0) and not self.expired[sequence]:
                missing.append(sequence)
            if times > 1:
                doubled.append(sequence)
        return _held(self.callbacks, missing, doubled)

    def in_sink(self, sink: str, sequences: Sequences, accepted: int | None) -> Held:
        """Hold what a sink has against 1..N, less what went to the dead letters on the way."""
        set_aside = self.set_aside.get(sink, Sequences())
        missing = [
            sequence
            for sequence in range(1, (accepted or 0) + 1)
            if not (sequences[sequence] or self.dead_letters[sequence] or set_aside[sequence])
        ]
        doubled = [
            sequence for sequence in range(1, sequences.reach + 1) if sequences[sequence] > 1
        ]
        return _held(sequences, missing, doubled)

    def in_counts(self, applied: int, applied_sum: int, accepted: int | None) -> Held:
        """Hold a number and a sum against what must be counted at least and can be at most."""
        set_aside = self.set_aside.get(report.COUNTS, Sequences())
        least = sum(
            not (self.dead_letters[sequence] or set_aside[sequence])
            for sequence in range(1, (accepted or 0) + 1)
        )
        most = [
            sequence
            for sequence in range(1, max(self.callbacks.reach, self.archived.reach) + 1)
            if (self.callbacks[sequence] or self.archived[sequence]) and not set_aside[sequence]
        ]
        # As many as there are, but others: one at least is missing, and one is counted twice.
        swapped = int(applied == len(most) and applied_sum != sum(most))
        return Held(
            sequences=applied,
            missing=max(0, least - applied) or swapped,
            doubled=max(0, applied - len(most)) or swapped,
        )


def _held(sequences: Sequences, missing: list[int], doubled: list[int]) -> Held:
    return Held(
        sequences=sequences.distinct,
        missing=len(missing),
        doubled=len(doubled),
        missing_listed=missing[: report.LISTED_MAX],
        doubled_listed=doubled[: report.LISTED_MAX],
    )
