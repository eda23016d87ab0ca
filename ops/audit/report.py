"""What an audit comes to: per origin and sink, by the sender's ledger, and by what is counted."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

from ops.audit.contents import Difference
from ops.failure import ExitCode

LISTED_MAX = 20

KAFKA = "kafka"
DEAD_LETTERS = "dead_letters"
ARCHIVE = "archive"
POSTGRES = "postgres"
COUNTS = "counts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """
    What one sink holds of an origin.

    `sequences` is how many there are, each counted once. `set_aside`: the sink's consumer wrote
    them to the dead-letter topic in place of the sink. The lists hold the first LISTED_MAX; that of
    what is counted twice is empty, because counts do not tell which.
    """

    sequences: int
    missing: int = 0
    doubled: int = 0
    set_aside: int = 0
    missing_listed: list[int] = field(default_factory=list)
    doubled_listed: list[int] = field(default_factory=list)
    set_aside_listed: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginReport:
    """
    One spool's callbacks. `accepted` is N, None where no spool is known. `sinks` by name.

    `expired`: retention and `hookline archive expire` deleted them everywhere; nothing is said of
    them.
    """

    origin: str
    accepted: int | None
    sinks: dict[str, Held]
    expired: int = 0

    @property
    def missing(self) -> int:
        """Sequences up to N that a sink lacks, over all sinks."""
        return sum(held.missing for held in self.sinks.values())

    @property
    def doubled(self) -> int:
        """Sequences that a sink has more than once, over all sinks."""
        return sum(held.doubled for held in self.sinks.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerReport:
    """
    What the sender noted against what is stored.

    `missing`: by sink, how many were answered OK and are not in it. `changed`: in some sink with
    other bytes than were sent. The list holds the first LISTED_MAX ids of both.
    """

    sent: int
    ok: int
    refused: int
    unanswered: int
    unanswered_but_stored: int
    missing: dict[str, int]
    changed: int
    listed: list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """
    One figure of the statistics against what the records say.

    `least` is what the settled callbacks make, `most` what all that were seen make: they differ
    while traffic runs.
    """

    shown: int
    least: int
    most: int

    @property
    def missing(self) -> int:
        """How much is not counted."""
        return max(0, self.least - self.shown)

    @property
    def doubled(self) -> int:
        """How much is counted too often."""
        return max(0, self.shown - self.most)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """
    The whole proof. `repeats`: callbacks that the sender sent again; no fault.

    `counted` holds the figures that were checked: messages, and people where they are exact.
    `strangers`: records that no ingress wrote; nothing is promised of them. `different`: callbacks
    whose content is not the one of their `ce_id`, or of their number; `different_listed` has the
    first LISTED_MAX. `doubts`: by origin, spool or address, why the proof is not whole and what to
    do. `damaged`: by origin, sequences whose rows are in quarantine. `not_audited`: sinks that were
    not looked at, so that nothing is said of them.
    """

    origins: list[OriginReport]
    ledger: LedgerReport | None
    counted: dict[str, Counted]
    repeats: int
    strangers: int
    different: int
    different_listed: list[Difference]
    doubts: dict[str, str]
    damaged: dict[str, tuple[int, ...]]
    not_audited: list[str]

    @property
    def missing(self) -> int:
        """
        Callbacks that are not where they must be, or not as they were sent, over all sinks.

        Numbers, figures and ledger may all see the same loss, so the largest of the three counts;
        changed ones come on top.
        """
        by_number = sum(origin.missing for origin in self.origins)
        by_figures = sum(figure.missing for figure in self.counted.values())
        by_ledger = sum(self.ledger.missing.values()) if self.ledger else 0
        changed = self.ledger.changed if self.ledger else 0
        return max(by_number, by_figures, by_ledger) + changed

    @property
    def doubled(self) -> int:
        """Callbacks that are in a sink more than once."""
        by_figures = sum(figure.doubled for figure in self.counted.values())
        return max(sum(origin.doubled for origin in self.origins), by_figures)

    @property
    def set_aside(self) -> int:
        """Callbacks that are only dead letters for a sink, or for all sinks."""
        return sum(held.set_aside for origin in self.origins for held in origin.sinks.values())

    @property
    def faults(self) -> int:
        """The number of faults: missing, doubled, different."""
        return self.missing + self.doubled + self.different

    @property
    def unproven(self) -> list[str]:
        """Origins, spools and addresses of which the end is not known or not reliable."""
        return sorted(self.doubts)

    @property
    def proven(self) -> bool:
        """True if every callback is exactly once in every sink that was audited."""
        return not (self.faults or self.unproven or self.set_aside)

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of the command."""
        return ExitCode.of_result(
            faults=bool(self.faults),
            set_aside=bool(self.set_aside),
            unproven=bool(self.unproven),
        )

    def held(self, sink: str) -> int | None:
        """Return how many callbacks a sink holds, None if it was not audited."""
        return _sum(origin.sinks[sink].sequences for origin in self.origins if sink in origin.sinks)

    def as_dict(self) -> dict[str, object]:
        """Return the report for `--json`."""
        return asdict(self) | {
            "different_listed": [
                {
                    "ce_id": each.ce_id,
                    "first": each.first._asdict(),
                    "second": each.second._asdict(),
                }
                for each in self.different_listed
            ],
            "missing": self.missing,
            "doubled": self.doubled,
            "set_aside": self.set_aside,
            "unproven": self.unproven,
            "proven": self.proven,
        }


def _sum(counts: Iterable[int]) -> int | None:
    found = list(counts)
    return sum(found) if found else None
