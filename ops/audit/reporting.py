"""
Compare everything that was collected, and make the report. Does no I/O but on temporary files.

There are five comparisons: the sequences of each origin with its end (proof.py), the contents of
callbacks with each other (content_check.py, row_check.py), the ledger of sent callbacks with the
sinks (ledger_check.py), the statistics with the records (message_counts.py, day_counts.py), and the
logs of webhooks' receivers with the callbacks that are for them (webhook_check.py).
"""

from collections.abc import Mapping
from itertools import starmap

from ops.audit.collected import Collected
from ops.audit.content_check import ContentCheck
from ops.audit.count_faults import least_highest
from ops.audit.difference import Differences
from ops.audit.proof import OriginProof
from ops.audit.report import (
    ARCHIVE,
    COUNTS,
    INGRESS_DEAD_LETTERS,
    KAFKA,
    LISTED_MAX,
    POSTGRES,
    OriginReport,
    Report,
    SinkReport,
)
from ops.audit.row_check import RowCheck
from ops.audit.statistic_report import DaysReport, StatisticReport
from ops.audit.webhook_log import LogReader
from ops.audit.webhook_report import WebhookReport, title


def report_of(collected: Collected, logs: Mapping[str, LogReader]) -> Report:
    """
    Return the result of everything that was collected so far; `logs` has those of webhooks.

    Raises:
        AuditFailed: temporary files cannot be read.
    """
    return _Reporting(collected).report(logs)


class _Reporting:
    """Makes one report."""

    def __init__(self, collected: Collected) -> None:
        self._collected = collected
        origins = collected.origins
        self._proofs = {
            origin: OriginProof(origins.evidence(origin), origins.pinned_required_range(origin))
            for origin in origins.names()
        }
        # The counts and webhooks had callbacks above N, too, if the spool is an older copy now.
        self._expired = sum(
            len(proof.expired_at_source) + proof.expired_after_end_max
            for proof in self._proofs.values()
        )
        self._differences = Differences(listed_max=LISTED_MAX)
        self._content_check = ContentCheck(self._differences)
        self._expected_counts = collected.message_counts.days.expected_counts()
        self._compare_contents()

    def _compare_contents(self) -> None:
        row_check = RowCheck(self._collected.contents, self._differences)
        webhooks = self._collected.webhooks.values()
        for webhook in webhooks:
            webhook.begin_report()
        for group in self._collected.contents.groups():
            self._content_check.compare(group)
            row_check.compare(group)
            self._expected_counts.leave_out_repeats(
                callback.key_or_webhook for callback in group.callbacks
            )
            for webhook in webhooks:
                webhook.compare(group, self._differences)

    def report(self, logs: Mapping[str, LogReader]) -> Report:
        """Return the result."""
        collected = self._collected
        webhook_sinks = {
            check.title: check.sinks(self._proofs) for check in collected.webhooks.values()
        }
        origins = [
            self._origin(origin, proof, webhook_sinks) for origin, proof in self._proofs.items()
        ]
        counts = [origin.sinks[COUNTS] for origin in origins if collected.audits_counts]
        need_not_be_counted = sum(sink.dead_lettered + sink.dropped for sink in counts)
        # Counters may have counted a record before Kafka lost it, and foreign records as well.
        unread = sum(origin.sinks[KAFKA].missing for origin in origins) + collected.foreign_count
        webhooks = self._webhooks(logs)
        contents = collected.contents
        return Report(
            origins=origins,
            ledger=collected.ledger.report(
                lambda origin, sequence: sequence in self._proofs[origin].expired_from_postgres
            ),
            statistics=self._statistics(unread, need_not_be_counted),
            days=self._days(unread, need_not_be_counted),
            repeats=self._content_check.repeats,
            foreign=collected.foreign_count,
            different=self._differences.count,
            different_listed=self._differences.listed(
                contents.locations(self._differences.not_located)
            ),
            doubts=self._count_doubts() | collected.origins.doubts() | _doubts(webhooks),
            quarantined=collected.origins.quarantined,
            not_audited=self._not_audited(),
            webhooks=webhooks,
            since=str(collected.origins.since) if collected.origins.since else None,
        )

    def _not_audited(self) -> list[str]:
        audits = {
            POSTGRES: self._collected.audits_postgres,
            COUNTS: self._collected.audits_counts,
        }
        return [sink for sink, is_audited in audits.items() if not is_audited]

    def _count_doubts(self) -> dict[str, str]:
        """Return the origins of which the counts have a higher sequence than the spool."""
        doubts = {}
        for origin, applied in self._collected.statistics.applied.items():
            end = self._collected.origins.sequence_bound(origin)
            # In other partitions, any wrong number or sum is a fault.
            expired_ranges = self._collected.origins.evidence(origin).expired_ranges
            beside_expired = (applied[each] for each in applied.keys() & expired_ranges.keys())
            least = max(starmap(least_highest, beside_expired), default=0)
            if least > end:
                doubts[origin] = (
                    f"origin {origin}: its spool has stored {end} callbacks, but by their number"
                    f" and sum, the counts have sequence {least} or a higher one; either the spool"
                    " was restored from an older copy, so its end is lost, or the counts have a"
                    " callback twice, or its process stopped answering while callbacks came: audit"
                    " again"
                )
        return doubts

    def _webhooks(self, logs: Mapping[str, LogReader]) -> dict[str, WebhookReport]:
        may_be_gone = bool(self._expired or self._collected.foreign_count)
        return {
            name: check.report(logs[name], may_be_gone=may_be_gone)
            for name, check in self._collected.webhooks.items()
        }

    def _statistics(self, unread: int, need_not_be_counted: int) -> dict[str, StatisticReport]:
        if not self._collected.audits_counts:
            return {}
        return self._collected.message_counts.compare(
            self._collected.statistics,
            self._expected_counts,
            unread=self._expired + unread,
            need_not_be_counted=need_not_be_counted,
        )

    def _days(self, unread: int, need_not_be_counted: int) -> DaysReport | None:
        if not self._collected.audits_counts:
            return None
        return self._collected.message_counts.days.compare(
            self._expected_counts,
            expired=self._expired,
            unread=unread,
            need_not_be_counted=need_not_be_counted,
        )

    def _origin(
        self, origin: str, proof: OriginProof, webhook_sinks: Mapping[str, Mapping[str, SinkReport]]
    ) -> OriginReport:
        evidence = self._collected.origins.evidence(origin)
        sinks = {
            KAFKA: proof.kafka(),
            INGRESS_DEAD_LETTERS: proof.ingress_dead_letters(),
            ARCHIVE: proof.sink(ARCHIVE, evidence.archive),
        }
        if self._collected.audits_postgres:
            sinks[POSTGRES] = proof.postgres()
        if self._collected.audits_counts:
            sinks[COUNTS] = proof.counts(self._collected.statistics.applied.get(origin, {}))
        sinks |= {name: by_origin[origin] for name, by_origin in webhook_sinks.items()}
        return OriginReport(
            origin=origin,
            last_sequence=self._collected.origins.last_sequence(origin),
            sinks=sinks,
            expired=len(proof.expired_at_source),
            first_sequence=self._collected.origins.pinned_required_range(origin).first_sequence,
        )


def _doubts(webhooks: Mapping[str, WebhookReport]) -> dict[str, str]:
    return {
        title(name): f"{title(name)}: {'; '.join(webhook.doubts)}"
        for name, webhook in webhooks.items()
        if webhook.doubts
    }
