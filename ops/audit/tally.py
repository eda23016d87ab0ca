"""
Collect every callback that a source has. Does no I/O but on temporary files.

reporting.py compares the sources with each other, and makes the report.
"""

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from consumers.archive.segment import Line
from consumers.webhook.callback_filter import CallbackFilter
from ops.audit.callback_collector import CallbackCollector
from ops.audit.collected import nothing_collected
from ops.audit.difference import Location
from ops.audit.report import ARCHIVE, INGRESS_DEAD_LETTERS, KAFKA, POSTGRES, SINK_OF_GROUP, Report
from ops.audit.reporting import report_of
from ops.audit.shown_days import ShownDays
from ops.audit.spool_ends import SpoolEnds
from ops.audit.statistics import Statistics
from ops.audit.webhook_check import WebhookCheck
from ops.audit.webhook_log import LogReader
from ops.audit.webhook_report import title
from ops.sequences import Sequences
from ops.simulate.ledger import LedgerEntry
from schemas.callback_record import CallbackRecord
from schemas.dead_letter import CONNECT, GROUP, INGRESS, KAFKA_PRODUCE, STAGE
from schemas.dead_letter_actions import Action, ActionResult
from schemas.topics import CALLBACKS, DEAD_LETTERS


class Tally:
    """
    Adds each callback that a source has to the evidence for its origin.

    The path of one record: `CallbackCollector` parses it, and `Origins` admits its sequence. The
    sequence goes into the source's set in `Evidence`, for proof.py; id, place and digests go into
    `Contents`, for content_check.py. A callback that is new there is counted in `MessageCounts`.
    Webhooks and the ledger note the callback for their own checks.

    `audits_postgres` and `audits_counts` are False for a sink that is not audited. `webhooks` has
    the targets that are, by name. `highest_seen` has, by origin, the highest sequence that a source
    has named; an audit that reads everything again keeps it.
    """

    def __init__(
        self,
        ends: SpoolEnds,
        ledger: Iterable[LedgerEntry],
        *,
        audits_postgres: bool,
        audits_counts: bool,
        webhooks: Mapping[str, CallbackFilter] = MappingProxyType({}),
        highest_seen: dict[str, int] | None = None,
    ) -> None:
        self.record_count = 0
        self.line_count = 0
        self.receipt_count = 0
        self._collected = nothing_collected(
            ends,
            ledger,
            audits_postgres=audits_postgres,
            audits_counts=audits_counts,
            webhooks=webhooks,
            highest_seen=highest_seen,
        )
        self.origins = self._collected.origins
        self._contents = self._collected.contents
        self._collector = CallbackCollector(self._collected)
        self._ledger = self._collected.ledger
        self._sink_of_group = SINK_OF_GROUP | {f"webhook-{name}": title(name) for name in webhooks}
        # By partition of the main topic: its lowest offset now, and at the first reading.
        self._log_starts: dict[int, int] = {}
        self._first_log_starts: dict[int, int] = {}

    @property
    def webhooks(self) -> Mapping[str, WebhookCheck]:
        """The targets that are audited, by name."""
        return self._collected.webhooks

    @property
    def ledger_ids_without_row(self) -> list[str]:
        """The ids in the ledger whose rows in the database were not seen yet."""
        return self._ledger.ids_without_row

    def report(self, logs: Mapping[str, LogReader] = MappingProxyType({})) -> Report:
        """
        Return the result of everything that was added so far; `logs` has those of webhooks.

        Raises:
            AuditFailed: temporary files cannot be read.
        """
        return report_of(self._collected, logs)

    def note_log_starts(self, log_starts: dict[int, int]) -> None:
        """Note the lowest offset that each partition of the main topic still has."""
        self._log_starts = log_starts
        self._first_log_starts = self._first_log_starts or log_starts

    def add_record(
        self, partition: int, offset: int, headers: Iterable[tuple[str, bytes]], value: bytes
    ) -> None:
        """Add a record of the main topic, in the order of its partition."""
        self.record_count += 1
        callback = self._collector.parse_and_admit(value, headers, adds_to_foreign_count=True)
        if callback is None:
            return
        evidence = self.origins.evidence(callback.origin)
        evidence.topic.add(callback.sequence)
        if self._collected.audits_counts:
            evidence.order_in_topic[partition].append(callback.sequence)
        location = _location(callback, CALLBACKS.name, partition, offset)
        self._collector.add_record(callback, location)
        for check in self.webhooks.values():
            check.add_callback(callback, partition, offset, was_in_topic=True)
        self._ledger.match(callback, KAFKA)

    def add_dead_letter(
        self, partition: int, offset: int, headers: Iterable[tuple[str, bytes]], value: bytes
    ) -> None:
        """Add a record of the dead-letter topic."""
        self.record_count += 1
        by_name = dict(headers)
        group = by_name.get(GROUP)
        callback = self._collector.parse_and_admit(
            value, by_name.items(), adds_to_foreign_count=group is None
        )
        if callback is None:
            return
        if group is None and CONNECT + "offset" in by_name:
            # Another tool wrote this dead letter: it came from a topic, but has no group of ours.
            self._collected.foreign_count += 1
            return
        evidence = self.origins.evidence(callback.origin)
        location = _location(callback, DEAD_LETTERS.name, partition, offset)
        self._collector.add_dead_letter(callback, location)
        if group is not None:
            if sink := self._sink_of_group.get(group.decode("utf-8", "replace")):
                evidence.dead_letters_of[sink].add(callback.sequence)
                self._ledger.match(callback, sink)
            return
        evidence.ingress_dead_letters.add(callback.sequence)
        if by_name.get(STAGE) == KAFKA_PRODUCE.encode():
            # Kafka refused a callback that was answered OK, so no sink has it.
            evidence.refused_by_kafka.add(callback.sequence)
            for sink in (KAFKA, ARCHIVE, POSTGRES):
                self._ledger.match(callback, sink)

    def add_action(self, taken: Action) -> None:
        """Add what `hookline dead-letters` has done with dead letters."""
        name = self._sink_of_group.get(taken.consumer, "")
        if taken.consumer == INGRESS:
            name = INGRESS_DEAD_LETTERS
        for letter in taken.letters:
            if letter.sequence < 1 or not self.origins.admit(letter.origin, letter.sequence):
                continue
            evidence = self.origins.evidence(letter.origin)
            if taken.result is ActionResult.DROPPED:
                evidence.dropped[name].add(letter.sequence)
            elif taken.result is ActionResult.RESENT and taken.consumer == INGRESS:
                evidence.resent.add(letter.sequence)

    def add_line(self, line: Line) -> None:
        """Add a line of the archive, in the order of its partition."""
        self.line_count += 1
        headers = [(name, (header or "").encode()) for name, header in line.headers.items()]
        was_in_topic = line.offset >= self._first_log_starts.get(line.partition, 0)
        callback = self._collector.parse_and_admit(
            line.value, headers, adds_to_foreign_count=not was_in_topic
        )
        if callback is None:
            return
        evidence = self.origins.evidence(callback.origin)
        evidence.archive.add(callback.sequence)
        if line.offset < self._log_starts.get(line.partition, 0):
            evidence.below_log_start.add(callback.sequence)
        if self._collected.audits_counts and not was_in_topic:
            evidence.order_only_archived[line.partition].append(callback.sequence)
        location = _location(callback, line.topic, line.partition, line.offset)
        self._collector.add_archived(callback, location)
        for check in self.webhooks.values():
            check.add_callback(callback, line.partition, line.offset, was_in_topic=was_in_topic)
        self._ledger.match(callback, ARCHIVE)

    def note_expired(
        self, partition: int, origins: Mapping[str, tuple[int, int]], *, last_timestamp_ms: int
    ) -> None:
        """
        Note the ranges of sequences in which some have expired from an archive's partition.

        `last_timestamp_ms` is Kafka's time of the last record that has expired.
        """
        if origins:
            self._collected.message_counts.days.note_expired(last_timestamp_ms)
        for origin, expired in origins.items():
            self.origins.add_seen(origin, expired[1])
            # With --since, the ranges have only earlier sequences (archive_reader.py).
            if expired[1] > 0 and self.origins.since is None:
                self.origins.evidence(origin).expired_ranges[partition].append(expired)

    def forget_receipts(self) -> None:
        """Forget all receipts of the database, before they are read again."""
        self._contents.forget_receipts()
        self.receipt_count = 0
        for origin in self.origins.names():
            evidence = self.origins.evidence(origin)
            evidence.postgres = Sequences()
            evidence.expired_from_postgres = []

    def add_receipts(self, receipts: Iterable[tuple[str, int, str, bytes | None]]) -> None:
        """Add origin, sequence, `ce_id`, SHA-256 of the row's body; None: it is not compared."""
        for origin, sequence, ce_id, sha256 in receipts:
            self.receipt_count += 1
            self.origins.add_origin(origin)
            # A row of a foreign record may have a sequence that no spool gives.
            if sequence > 0 and self.origins.admit(origin, sequence):
                self.origins.evidence(origin).postgres.add(sequence)
                self._contents.add_receipt(ce_id, sha256, origin, sequence)

    def add_expired_receipts(self, ranges: Iterable[tuple[str, int, int]]) -> None:
        """Add ranges that `hookline sync expire` has deleted: origin, first and last sequence."""
        for origin, first, last in ranges:
            self.origins.add_seen(origin, last)
            # With --since, an origin without a spool may have no callbacks since then.
            if self.origins.since is None or origin in self.origins.first_sequences:
                self.origins.evidence(origin).expired_from_postgres.append((first, last))

    def add_ledger_row(self, ce_id: str, sha256: str) -> None:
        """Note that the database has a row for a `ce_id` of the ledger, with this digest."""
        self._ledger.compare(ce_id, sha256, POSTGRES)

    def note_statistics(self, statistics: Statistics) -> None:
        """Note the statistics. They must be read before the records of the same round."""
        self._collected.statistics = statistics
        for origin in statistics.applied:
            self.origins.add_origin(origin)

    def note_days(self, shown_days: Mapping[str, ShownDays]) -> None:
        """
        Note the days of the statistics. They must be read before the records of the same round.

        Raises:
            ReadAgain: the zone of an app's days is another one than before.
        """
        self._collected.message_counts.days.note_shown(shown_days)


def _location(callback: CallbackRecord, topic: str, partition: int, offset: int) -> Location:
    return Location(callback.origin, callback.sequence, topic, partition, offset)
