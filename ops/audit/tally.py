"""
Collect every callback that a source has, compare them, and report. Does no I/O.

There are five comparisons: the sequences of each origin with its end (proof.py), the contents of
callbacks with each other (contents.py, row_check.py), the ledger of sent callbacks with the sinks
(ledger_check.py), the statistics with the records (message_counts.py, day_counts.py), and the logs
of webhooks' receivers with the callbacks that are for them (webhook_check.py).
"""

from collections.abc import Iterable, Mapping
from functools import partial
from types import MappingProxyType

from consumers.archive.segment import Line
from consumers.webhook.callback_filter import CallbackFilter
from ops.audit.contents import Contents, Differences, Location
from ops.audit.day_counts import ShownDays
from ops.audit.ends import Ends
from ops.audit.ledger_check import LedgerCheck
from ops.audit.message_counts import MessageCounts, Statistics
from ops.audit.origins import Origins
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
from ops.audit.statistic_report import DaysReport
from ops.audit.webhook_check import checks_of
from ops.audit.webhook_log import LogReader
from ops.audit.webhook_report import title
from ops.sequences import Sequences
from ops.simulate.ledger import LedgerEntry
from schemas.callback_record import CallbackRecord, NotACallback, parse_callback_record
from schemas.dead_letter import CONNECT, GROUP, INGRESS, KAFKA_PRODUCE, STAGE
from schemas.dead_letter_actions import Action, ActionResult
from schemas.identity import IdentifyingParts, content_digest
from schemas.topics import CALLBACKS as MAIN_TOPIC
from schemas.topics import DEAD_LETTERS as DEAD_LETTER_TOPIC

# The sink of each consumer whose dead letters replace a sink's copy, by the consumer's group.
SINK_OF_GROUP = {"archive": ARCHIVE, "sync": POSTGRES, "counters": COUNTS}


class Tally:
    """
    Adds each callback that a source has to the evidence for its origin.

    `audits_postgres` and `audits_counts` are False for a sink that is not audited. `webhooks` has
    the targets that are, by name.
    """

    def __init__(
        self,
        ends: Ends,
        ledger: Iterable[LedgerEntry],
        *,
        audits_postgres: bool,
        audits_counts: bool,
        webhooks: Mapping[str, CallbackFilter] = MappingProxyType({}),
    ) -> None:
        self.records = 0
        self.lines = 0
        self.origins = Origins(ends)
        self._differences = Differences(listed_max=LISTED_MAX)
        self._contents = Contents(self._differences.add)
        self._rows = RowCheck(self._contents)
        self._ledger = LedgerCheck(ledger, audits_postgres=audits_postgres)
        self._audits_postgres = audits_postgres
        self._audits_counts = audits_counts
        self._statistics = Statistics(messages=0, people=None, applied={})
        self._message_counts = MessageCounts(self._contents)
        self.webhooks = checks_of(webhooks, self._contents, self._differences.add)
        self._sink_of_group = SINK_OF_GROUP | {f"webhook-{name}": title(name) for name in webhooks}
        # By partition of the main topic: its lowest offset now, and when it was read first.
        self._log_starts: dict[int, int] = {}
        self._first_log_starts: dict[int, int] = {}
        self._foreign_count = 0
        self._repeat_count = 0

    @property
    def ledger_ids_without_row(self) -> list[str]:
        """The ids in the ledger whose rows in the database were not seen yet."""
        return self._ledger.ids_without_row

    def report(self, logs: Mapping[str, LogReader] = MappingProxyType({})) -> Report:
        """Return the result of everything that was added so far; `logs` has those of webhooks."""
        proofs = {
            origin: OriginProof(self.origins.evidence(origin), self.origins.end(origin))
            for origin in self.origins.names()
        }
        expired = sum(len(proof.expired) for proof in proofs.values())
        audited = {POSTGRES: self._audits_postgres, COUNTS: self._audits_counts}
        webhook_sinks = {check.title: check.sinks(proofs) for check in self.webhooks.values()}
        origins = [
            self._origin_report(origin, proof, webhook_sinks) for origin, proof in proofs.items()
        ]
        webhooks = {
            name: check.report(logs[name], may_be_gone=bool(expired or self._foreign_count))
            for name, check in self.webhooks.items()
        }
        counts = [origin.sinks[COUNTS] for origin in origins if self._audits_counts]
        dead_lettered = sum(sink.dead_lettered + sink.dropped for sink in counts)
        return Report(
            origins=origins,
            ledger=self._ledger.report(
                lambda origin, sequence: sequence in proofs[origin].expired_from_postgres
            ),
            statistics=self._message_counts.compare(
                self._statistics, expired=expired, dead_lettered=dead_lettered
            )
            if self._audits_counts
            else {},
            days=self._days_report(origins, expired, dead_lettered),
            repeats=self._repeat_count,
            foreign=self._foreign_count,
            different=self._differences.count + self._rows.different,
            different_listed=[*self._differences.listed, *self._rows.listed()][:LISTED_MAX],
            doubts=self.origins.doubts()
            | {
                title(name): f"{title(name)}: {'; '.join(webhook.doubts)}"
                for name, webhook in webhooks.items()
                if webhook.doubts
            },
            quarantined=self.origins.quarantined,
            not_audited=[sink for sink, is_audited in audited.items() if not is_audited],
            webhooks=webhooks,
        )

    def _days_report(
        self, origins: list[OriginReport], expired: int, dead_lettered: int
    ) -> DaysReport | None:
        if not self._audits_counts:
            return None
        # Counters may have counted a record before Kafka lost it, and foreign records as well.
        lost = sum(origin.sinks[KAFKA].missing for origin in origins)
        return self._message_counts.days.compare(
            expired=expired,
            unread=lost + self._foreign_count,
            dead_lettered=dead_lettered,
        )

    def _origin_report(
        self, origin: str, proof: OriginProof, webhook_sinks: Mapping[str, Mapping[str, SinkReport]]
    ) -> OriginReport:
        evidence = self.origins.evidence(origin)
        sinks = {
            KAFKA: proof.kafka(),
            INGRESS_DEAD_LETTERS: proof.ingress_dead_letters(),
            ARCHIVE: proof.sink(ARCHIVE, evidence.archive),
        }
        if self._audits_postgres:
            sinks[POSTGRES] = proof.postgres()
        if self._audits_counts:
            sinks[COUNTS] = proof.counts(self._statistics.applied.get(origin, {}))
        sinks |= {name: by_origin[origin] for name, by_origin in webhook_sinks.items()}
        return OriginReport(
            origin=origin,
            last_sequence=self.origins.last_sequence(origin),
            sinks=sinks,
            expired=len(proof.expired),
        )

    def note_later_ends(self, completed_ends: Ends, later_ends: Ends) -> None:
        """Note the ends that were asked for after everything was read, see `Origins`."""
        self.origins.note_later_ends(completed_ends, later_ends)

    def note_log_starts(self, log_starts: dict[int, int]) -> None:
        """Note the lowest offset that each partition of the main topic still has."""
        self._log_starts = log_starts
        self._first_log_starts = self._first_log_starts or log_starts

    def add_record(
        self, partition: int, offset: int, headers: Iterable[tuple[str, bytes]], value: bytes
    ) -> None:
        """Add a record of the main topic, in the order of its partition."""
        self.records += 1
        callback = self._parse(value, headers, is_copy=False)
        if callback is None:
            return
        evidence = self.origins.evidence(callback.origin)
        evidence.topic.add(callback.sequence)
        if self._audits_counts:
            evidence.order_in_topic[partition].append(callback.sequence)
        is_repeat = self._compare_content(callback, MAIN_TOPIC.name, partition, offset)
        for check in self.webhooks.values():
            check.add_callback(callback, partition, offset, in_topic=True)
        self._ledger.match(callback, KAFKA)
        self._count(callback, is_repeat=is_repeat)

    def add_dead_letter(
        self, partition: int, offset: int, headers: Iterable[tuple[str, bytes]], value: bytes
    ) -> None:
        """Add a record of the dead-letter topic."""
        self.records += 1
        by_name = dict(headers)
        group = by_name.get(GROUP)
        callback = self._parse(value, by_name.items(), is_copy=group is not None)
        if callback is None:
            return
        if group is None and CONNECT + "offset" in by_name:
            # Another tool wrote this dead letter: it came from a topic, but has no group of ours.
            self._foreign_count += 1
            return
        evidence = self.origins.evidence(callback.origin)
        self._compare_content(callback, DEAD_LETTER_TOPIC.name, partition, offset)
        if group is not None:
            if sink := self._sink_of_group.get(group.decode("utf-8", "replace")):
                self._add_dead_letter_of(callback, sink)
            return
        evidence.ingress_dead_letters.add(callback.sequence)
        if by_name.get(STAGE) == KAFKA_PRODUCE.encode():
            # Kafka refused a callback that was answered OK, so no sink has it.
            evidence.refused_by_kafka.add(callback.sequence)
            for sink in (KAFKA, ARCHIVE, POSTGRES):
                self._ledger.match(callback, sink)

    def _add_dead_letter_of(self, callback: CallbackRecord, sink: str) -> None:
        self.origins.evidence(callback.origin).dead_letters_of[sink].add(callback.sequence)
        self._ledger.match(callback, sink)

    def add_action(self, taken: Action) -> None:
        """Add what `hookline dead-letters` has done with dead letters."""
        name = self._sink_of_group.get(taken.consumer, "")
        if taken.consumer == INGRESS:
            name = INGRESS_DEAD_LETTERS
        for letter in taken.letters:
            if letter.sequence < 1 or not self.origins.add_origin_and_check(
                letter.origin, letter.sequence
            ):
                continue
            evidence = self.origins.evidence(letter.origin)
            if taken.result is ActionResult.DROPPED:
                evidence.dropped[name].add(letter.sequence)
            elif taken.result is ActionResult.RESENT and taken.consumer == INGRESS:
                evidence.resent.add(letter.sequence)

    def add_line(self, line: Line) -> None:
        """Add a line of the archive, in the order of its partition."""
        self.lines += 1
        headers = [(name, (header or "").encode()) for name, header in line.headers.items()]
        was_in_topic = line.offset >= self._first_log_starts.get(line.partition, 0)
        callback = self._parse(line.value, headers, is_copy=was_in_topic)
        if callback is None:
            return
        evidence = self.origins.evidence(callback.origin)
        evidence.archive.add(callback.sequence)
        if line.offset < self._log_starts.get(line.partition, 0):
            evidence.below_log_start.add(callback.sequence)
        if self._audits_counts and not was_in_topic:
            evidence.order_below_log_start[line.partition].append(callback.sequence)
        is_repeat = self._compare_content(callback, line.topic, line.partition, line.offset)
        for check in self.webhooks.values():
            check.add_callback(callback, line.partition, line.offset, in_topic=was_in_topic)
        self._ledger.match(callback, ARCHIVE)
        self._count(callback, is_repeat=is_repeat)

    def note_expired(
        self, partition: int, origins: Mapping[str, tuple[int, int]], *, last_timestamp_ms: int
    ) -> None:
        """
        Note the ranges of sequences in which some have expired from an archive's partition.

        `last_timestamp_ms` is Kafka's time of the last record that has expired.
        """
        if origins:
            self._message_counts.days.note_expired(last_timestamp_ms)
        for origin, expired in origins.items():
            self.origins.add_origin(origin)
            ranges = self.origins.evidence(origin).expired_ranges
            ranges.setdefault(partition, []).append(expired)

    def forget_receipts(self) -> None:
        """Forget all receipts and rows of the database, before they are read again."""
        self._rows.forget()
        for origin in self.origins.names():
            evidence = self.origins.evidence(origin)
            evidence.postgres = Sequences()
            evidence.expired_from_postgres = []

    def add_receipts(self, receipts: Iterable[tuple[str, int, str, bytes]]) -> None:
        """Add receipts of the database: origin, sequence, `ce_id`, SHA-256 of the row's body."""
        for origin, sequence, ce_id, sha256 in receipts:
            self.origins.add_origin(origin)
            # A row of a foreign record may have a sequence that no spool gives.
            if sequence > 0 and self.origins.add_origin_and_check(origin, sequence):
                self.origins.evidence(origin).postgres.add(sequence)
                self._rows.compare(ce_id, sha256, origin, sequence)

    def add_expired_receipts(self, ranges: Iterable[tuple[str, int, int]]) -> None:
        """Add ranges that `hookline sync expire` has deleted: origin, first and last sequence."""
        for origin, first, last in ranges:
            self.origins.add_origin(origin)
            self.origins.evidence(origin).expired_from_postgres.append((first, last))

    def add_ledger_row(self, ce_id: str, sha256: str) -> None:
        """Note that the database has a row for a `ce_id` of the ledger, with this digest."""
        self._ledger.compare(ce_id, sha256, POSTGRES)

    def note_statistics(self, statistics: Statistics) -> None:
        """Note the statistics. They must be read before the records of the same round."""
        self._statistics = statistics
        for origin in statistics.applied:
            self.origins.add_origin(origin)

    def note_days(self, shown_days: Mapping[str, ShownDays]) -> None:
        """
        Note the days of the statistics. They must be read before the records of the same round.

        Raises:
            ReadAgain: the zone of an app's days is another one than before.
        """
        self._message_counts.days.note_shown(shown_days)

    def _parse(
        self, value: bytes, headers: Iterable[tuple[str, bytes]], *, is_copy: bool
    ) -> CallbackRecord | None:
        """
        Return a record as a callback, None if it is not one, or is not added.

        A foreign record counts once: not if it `is_copy` of a record that the audit also reads.
        """
        try:
            callback = parse_callback_record(value, headers)
        except NotACallback:
            callback = None
        if callback is None or callback.sequence < 1:
            self._foreign_count += not is_copy
            return None
        return (
            callback
            if self.origins.add_origin_and_check(callback.origin, callback.sequence)
            else None
        )

    def _compare_content(
        self, callback: CallbackRecord, topic: str, partition: int, offset: int
    ) -> bool:
        """Compare the content; return whether another sequence had this `ce_id` before."""
        location = Location(callback.origin, callback.sequence, topic, partition, offset)
        parts = IdentifyingParts(
            callback.sdkappid,
            callback.command,
            callback.client_ip,
            callback.opt_platform,
            callback.body,
        )
        is_repeat = self._contents.add(
            callback.id, callback.body, location, partial(content_digest, parts)
        )
        self._repeat_count += is_repeat
        if is_repeat:
            for check in self.webhooks.values():
                check.add_repeat(callback)
        return is_repeat

    def _count(self, callback: CallbackRecord, *, is_repeat: bool) -> None:
        if self._audits_counts:
            last_sequence = self.origins.last_sequence(callback.origin) or 0
            self._message_counts.add(
                callback, is_up_to_end=callback.sequence <= last_sequence, is_repeat=is_repeat
            )
