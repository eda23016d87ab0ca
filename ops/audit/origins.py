"""Every origin that an audit knows: its evidence, its end, and the doubts about its end."""

from collections.abc import Mapping

from ops.audit.evidence import Evidence, RequiredRange
from ops.audit.since import Since
from ops.audit.spool_ends import SpoolEnds

# A sequence further above N is not added to the evidence: its origin is in doubt anyway.
ABOVE_END_MAX = 50_000_000


class Origins:
    """The origins of all spools, and those that only Kafka or a sink has."""

    def __init__(self, ends: SpoolEnds, highest_seen: dict[str, int] | None = None) -> None:
        """`highest_seen` has what was seen before, and gets what is seen; see `note_seen`."""
        self._ends = self._later_ends = ends
        self._last_sequences = ends.last_sequences
        self._evidence: dict[str, Evidence] = {
            origin: Evidence() for origin in self._last_sequences
        }
        # By origin, the highest sequence that any source names.
        self._highest_seen = {} if highest_seen is None else highest_seen
        # For origins without a known spool, the highest sequence in Kafka at the first report.
        self._highest_in_first_report: dict[str, int] = {}
        self._note_reported(ends)

    def _note_reported(self, ends: SpoolEnds) -> None:
        for origin, last in ends.highest_reported.items():
            self.note_seen(origin, last)

    def names(self) -> list[str]:
        """Return all origins, in order."""
        return sorted(self._evidence)

    def add_origin(self, origin: str) -> None:
        """Add an origin that a source has, with empty evidence, unless it was added before."""
        if origin not in self._evidence:
            self._evidence[origin] = Evidence()

    def evidence(self, origin: str) -> Evidence:
        """Return the evidence for an origin that was added."""
        return self._evidence[origin]

    def last_sequence(self, origin: str) -> int | None:
        """Return N of an origin, None if it is not known."""
        return self._last_sequences.get(origin)

    def pinned_required_range(self, origin: str) -> RequiredRange:
        """
        Return the sequences that must be everywhere.

        If N is not known, the first call pins the end to the highest sequence in Kafka, so that
        later reports expect no callback that came after the first one.
        """
        last = self._last_sequences.get(origin)
        if last is not None:
            first = self._ends.first_sequence(origin)
            # Without a first sequence nothing is required, and the origin is in doubt.
            return RequiredRange(last, is_known=True, first_sequence=first or last + 1)
        highest = self._evidence[origin].topic.highest
        return RequiredRange(
            self._highest_in_first_report.setdefault(origin, highest), is_known=False
        )

    def note_seen(self, origin: str, sequence: int) -> None:
        """
        Note that a source names a sequence of an origin, perhaps without having the callback.

        This adds neither the origin nor evidence. It matters only if the sequence is above N: then
        the spool's end is wrong, also if the callback has expired since.
        """
        if sequence > self._highest_seen.get(origin, 0):
            self._highest_seen[origin] = sequence

    def add_seen(self, origin: str, sequence: int) -> None:
        """
        Note a sequence that a source names without having the callback, and add its origin.

        With --since, the origin is not added: it may have no callbacks since then. A sequence below
        1 is ignored, as that of a record that no ingress wrote.
        """
        if sequence < 1:
            return
        self.note_seen(origin, sequence)
        if self.since is None:
            self.add_origin(origin)

    def admit(self, origin: str, sequence: int) -> bool:
        """
        Add the origin, note the sequence as seen, and return whether its evidence may have it.

        The caller adds an admitted sequence. One far above N is only noted. With --since, the
        sequences before are not admitted, and none of an origin whose first one is not known.
        """
        self.add_origin(origin)
        self.note_seen(origin, sequence)
        first = self._ends.first_sequence(origin)
        if first is None or sequence < first:
            return False
        return sequence <= (self._last_sequences.get(origin) or 0) + ABOVE_END_MAX

    def replace_ends(self, completed_ends: SpoolEnds, later_ends: SpoolEnds) -> None:
        """
        Replace the ends by those that were asked for after everything was read.

        `later_ends`: the second answer alone, the bound that no sequence may exceed.
        `completed_ends`: the first answer with its gaps filled by the second, so N; unchanged where
        it was known before.
        """
        self._ends, self._later_ends = completed_ends, later_ends
        self._last_sequences = completed_ends.last_sequences
        self._note_reported(later_ends)
        for origin in self._last_sequences:
            self.add_origin(origin)

    @property
    def quarantined(self) -> dict[str, tuple[int, ...]]:
        """By origin, the sequences whose rows are in quarantine in the spool."""
        return {
            origin: later
            for origin, sequences in self._ends.quarantined.items()
            if (
                later := tuple(
                    sequence
                    for sequence in sequences
                    if sequence >= self.pinned_required_range(origin).first_sequence
                )
            )
        }

    @property
    def since(self) -> Since | None:
        """The time since which callbacks are audited, None for all."""
        return self._ends.since

    @property
    def first_sequences(self) -> Mapping[str, int]:
        """With --since: by origin, the first sequence since then, where it is known."""
        return self._ends.first_sequences

    def sequence_bound(self, origin: str) -> int:
        """Return the bound that no sequence of an origin may exceed; 0 if its end is not known."""
        last_sequences = (self._later_ends.last_sequences, self._last_sequences)
        return max(each.get(origin) or 0 for each in last_sequences)

    def doubts(self) -> dict[str, str]:
        """Return, by origin, spool or address, why nothing can be proven, and what to do."""
        doubts = dict(self._ends.doubts)
        for origin in self._evidence:
            last = self._last_sequences.get(origin)
            if last is None:
                doubts.setdefault(
                    origin,
                    f"origin {origin}: Kafka or a sink has callbacks of it, but none of the"
                    " named spools has, so the number of its callbacks is not known; name the"
                    " ingress or the directory that has its spool",
                )
                continue
            if self._ends.first_sequence(origin) is None:
                doubts[origin] = (
                    f"origin {origin}: its spool does not know which callbacks it has stored since"
                    f" {self.since}, because a release before 0.2 has stored some since then,"
                    " because the clock of its ingress was set back since then, or because that is"
                    " too long ago; name a later --since, or audit without it"
                )
                continue
            end = self.sequence_bound(origin)
            seen = self._highest_seen.get(origin, 0)
            if seen > end:
                doubts[origin] = (
                    f"origin {origin}: its spool has stored {end} callbacks, but a source names"
                    f" sequence {seen}; either the spool was restored from an older copy, so its"
                    " end is lost, or its process stopped answering while callbacks came: audit"
                    " again"
                )
        return doubts
