"""The result of an audit: by origin and sink, by the ledger, and by the statistics."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

from ops.audit.difference import Difference
from ops.audit.ledger_report import LedgerReport
from ops.audit.statistic_report import DaysReport, StatisticReport, doubled_by, missing_by
from ops.audit.webhook_report import WebhookReport
from ops.failure import ExitCode

# The number of sequences, ids and differences that a report lists.
LISTED_MAX = 20

# The names of the sinks in a report. KAFKA is judged by its two topics together: each callback must
# be in one of them. INGRESS_DEAD_LETTERS has only a count, of those in the dead-letter topic; its
# faults are reported at KAFKA.
KAFKA = "kafka"
INGRESS_DEAD_LETTERS = "ingress_dead_letters"
ARCHIVE = "archive"
POSTGRES = "postgres"
COUNTS = "counts"
# The sink of each consumer whose dead letters replace a sink's copy, by the consumer's group.
SINK_OF_GROUP = {"archive": ARCHIVE, "sync": POSTGRES, "counters": COUNTS}


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkReport:
    """
    The numbers of one sink for one origin, see proof.py.

    `sequences`: the number of distinct sequences that the sink has; of KAFKA, those in the main
    topic; of counts, the number that was applied, doubled ones included. INGRESS_DEAD_LETTERS has
    no other number: dead letters of the ingress that were not sent again, also dropped ones that
    retention has deleted. `dropped`: the number that the sink lacks because a person has dropped
    them (`hookline dead-letters drop`). `dead_lettered`: the number that the sink lacks, without
    those, because its consumer sent them to the dead-letter topic; of KAFKA, because it refused
    them after they were answered OK. `expired`: the number that `hookline sync expire` has deleted;
    `returned`: the number of those that are in the sink again.
    The lists have the first LISTED_MAX sequences; those of counts may have fewer, because counts
    show which sequence is missing or doubled only if it is the only one in its partition.
    """

    sequences: int
    missing: int = 0
    doubled: int = 0
    dead_lettered: int = 0
    expired: int = 0
    returned: int = 0
    dropped: int = 0
    missing_listed: list[int] = field(default_factory=list)
    doubled_listed: list[int] = field(default_factory=list)
    dead_lettered_listed: list[int] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginReport:
    """
    The callbacks of one origin. `last_sequence` is N, None if no spool is known. `first_sequence`
    is above 1 if only callbacks since a time were audited. `sinks` by name: KAFKA,
    INGRESS_DEAD_LETTERS, and the others that were audited.

    `expired`: retention deleted them from Kafka and `hookline archive expire` from the archive, so
    the audit does not look for them; other sinks may still have them.
    """

    origin: str
    last_sequence: int | None
    sinks: dict[str, SinkReport]
    expired: int = 0
    first_sequence: int = 1

    @property
    def stored(self) -> int | None:
        """The number of callbacks that its spool has stored; with --since, since then."""
        return None if self.last_sequence is None else self.last_sequence + 1 - self.first_sequence

    @property
    def missing(self) -> int:
        """Sequences up to N that a sink lacks, over all sinks."""
        return sum(sink.missing for sink in self.sinks.values())

    @property
    def doubled(self) -> int:
        """Sequences that a sink has more than once, over all sinks."""
        return sum(sink.doubled for sink in self.sinks.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """
    The result for all origins and sinks.

    Not faults: `repeats`, callbacks of a `ce_id` after its first one; `foreign`, records that
    no ingress wrote. `statistics`: messages, and people if they are exact. `days`: None if the
    statistics were not audited.
    `different`: callbacks, copies, rows in PostgreSQL and lines of a webhook's log that differ in
    content from another one of their `ce_id` or sequence; `different_listed` has the first
    LISTED_MAX. `doubts`: by origin, spool, address or webhook, why
    the proof is incomplete, and what to do. `quarantined`: by origin, the rows in quarantine.
    `not_audited`: sinks that were not named. `webhooks`: by name of the target. `since`: the time
    since which callbacks were audited, None for all.
    """

    origins: list[OriginReport]
    ledger: LedgerReport | None
    statistics: dict[str, StatisticReport]
    days: DaysReport | None
    repeats: int
    foreign: int
    different: int
    different_listed: list[Difference]
    doubts: dict[str, str]
    quarantined: dict[str, tuple[int, ...]]
    not_audited: list[str]
    webhooks: dict[str, WebhookReport] = field(default_factory=dict)
    since: str | None = None

    @property
    def missing_at_least(self) -> int:
        """
        The least number of missing copies, over all sinks: a callback that two lack counts twice.

        It is `missing` in the JSON. Sequences, messages, people, days and the ledger may all show
        the same loss, so it is the largest of the numbers, not their sum.
        """
        by_sequence = sum(origin.missing for origin in self.origins)
        by_ledger = sum(self.ledger.missing.values()) if self.ledger else 0
        by_day = self.days.missing if self.days else 0
        return max(by_sequence, missing_by(self.statistics), by_day, by_ledger)

    @property
    def changed(self) -> int:
        """Callbacks of the ledger that are in a sink, but not as they were sent."""
        return self.ledger.changed if self.ledger else 0

    @property
    def doubled_at_least(self) -> int:
        """The least number of doubled copies, over all sinks; see missing_at_least."""
        by_sequence = sum(origin.doubled for origin in self.origins)
        by_day = self.days.doubled if self.days else 0
        return max(by_sequence, doubled_by(self.statistics), by_day)

    @property
    def different_days(self) -> int:
        """Days of apps whose counts differ from the records, perhaps by callbacks of other days."""
        return self.days.different if self.days else 0

    @property
    def dead_lettered(self) -> int:
        """Callbacks that are in the dead-letter topic instead of in a sink, over all sinks."""
        return sum(sink.dead_lettered for origin in self.origins for sink in origin.sinks.values())

    @property
    def dropped(self) -> int:
        """Callbacks that are not in a sink because a person has dropped them, over all sinks."""
        return sum(sink.dropped for origin in self.origins for sink in origin.sinks.values())

    @property
    def unknown_deliveries(self) -> int:
        """Requests that a webhook's target has accepted, with an id that no callback has."""
        return sum(webhook.unknown for webhook in self.webhooks.values())

    @property
    def has_faults(self) -> bool:
        """True if anything is missing, changed, doubled, different or unknown."""
        # Not a number: one fault may be several of these, as a row that was altered.
        return any(
            (
                self.missing_at_least,
                self.changed,
                self.doubled_at_least,
                self.different,
                self.unknown_deliveries,
                self.different_days,
            )
        )

    @property
    def has_expired(self) -> bool:
        """True if callbacks have expired, everywhere or from one sink: not missing there."""
        return any(
            origin.expired or any(sink.expired for sink in origin.sinks.values())
            for origin in self.origins
        )

    @property
    def names_in_doubt(self) -> list[str]:
        """The origins, spools, addresses and webhooks for which the proof is incomplete, sorted."""
        return sorted(self.doubts)

    @property
    def proven(self) -> bool:
        """
        True if every sink that was audited has every callback once, a webhook at least once.

        Callbacks that have expired or that a person has dropped are excepted.
        """
        return not (self.has_faults or self.names_in_doubt or self.dead_lettered)

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of the command."""
        return ExitCode.of_result(
            faults=self.has_faults,
            dead_lettered=bool(self.dead_lettered),
            incomplete=bool(self.names_in_doubt),
        )

    def sequences_in(self, sink: str) -> int | None:
        """Return the number of sequences that a sink has, None if it was not audited."""
        return _sum(origin.sinks[sink].sequences for origin in self.origins if sink in origin.sinks)

    def as_dict(self) -> dict[str, object]:
        """Return the report for `--json`."""
        return asdict(self) | {
            "ledger": self.ledger.as_dict() if self.ledger else None,
            "different_listed": [
                {
                    "ce_id": difference.ce_id,
                    "first": difference.first._asdict(),
                    "second": difference.second._asdict(),
                }
                for difference in self.different_listed
            ],
            "missing": self.missing_at_least,
            "changed": self.changed,
            "doubled": self.doubled_at_least,
            "unknown_deliveries": self.unknown_deliveries,
            "dead_lettered": self.dead_lettered,
            "dropped": self.dropped,
            "in_doubt": self.names_in_doubt,
            "proven": self.proven,
        }


def _sum(counts: Iterable[int]) -> int | None:
    listed = list(counts)
    return sum(listed) if listed else None
