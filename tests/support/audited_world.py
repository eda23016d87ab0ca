"""Callbacks in every place where an audit looks for them; a test changes one place."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import msgspec
from support.builders import P0, a_body, a_stored_batch, a_stored_record

from consumers.archive import new_segment, segment
from consumers.runtime.batch import Partition, Record
from ops.audit.report import Report
from ops.audit.spool_ends import SpoolEnds
from ops.audit.statistics import Statistics
from ops.audit.tally import Tally
from ops.simulate.ledger import LedgerEntry
from schemas.dead_letter_actions import Action

ORIGIN = "o" * 16
OTHER = "p" * 16


def a_callback(sequence: int, *, origin: str = ORIGIN, text: str = "") -> Record:
    """Return the record of a callback; each has a message of its own."""
    body = a_body(MsgKey=f"{origin}-{sequence}", CloudCustomData=text)
    return a_stored_record(sequence - 1, body, origin=origin)


def headers(record: Record) -> dict[str, bytes]:
    """Return a record's headers by name."""
    return dict(record.headers)


@dataclass(kw_only=True)
class AuditedWorld:
    """Three callbacks of one origin, in every place where they must be; the tests break it."""

    stored: int = 3
    later: int | None = None
    topic: list[Record] = field(default_factory=lambda: [a_callback(n) for n in (1, 2, 3)])
    dead: list[tuple[Record, dict[str, bytes]]] = field(default_factory=list)
    actions: list[Action] = field(default_factory=list)
    archive: list[Record] = field(default_factory=lambda: [a_callback(n) for n in (1, 2, 3)])
    receipts: list[tuple[str, int]] = field(
        default_factory=lambda: [(ORIGIN, n) for n in (1, 2, 3)]
    )
    counts: dict[str, dict[int, tuple[int, int]]] = field(
        default_factory=lambda: {ORIGIN: {P0.number: (3, 6)}}
    )
    messages: int = 3
    log_start: int = 0
    expired: dict[str, tuple[int, int]] = field(default_factory=dict)
    ledger: list[LedgerEntry] = field(default_factory=list)
    rows_of: Callable[[int], Record] | None = None

    def rows(self) -> Iterator[tuple[str, int, str, bytes]]:
        """Yield each receipt with `ce_id` and the digest of its row, the first body of that id."""
        stored = {headers(each)["ce_sequence"]: each for each in (*self.archive, *self.topic)}
        first: dict[bytes, Record] = {}
        for origin, sequence in self.receipts:
            record = stored.get(b"%d" % sequence, a_callback(sequence, origin=origin))
            if self.rows_of is not None:
                record = self.rows_of(sequence)
            ce_id = headers(record)["ce_id"]
            digest = hashlib.sha256(first.setdefault(ce_id, record).value).digest()
            yield origin, sequence, ce_id.decode(), digest

    def audited(self, *, audits_postgres: bool = True, audits_counts: bool = True) -> Report:
        """Return the report."""
        ends = SpoolEnds(by_spool={ORIGIN: {ORIGIN: self.stored}})
        tally = Tally(
            ends, self.ledger, audits_postgres=audits_postgres, audits_counts=audits_counts
        )
        if audits_counts:
            tally.note_statistics(
                Statistics(messages=self.messages, people=None, applied=self.counts)
            )
        tally.note_log_starts({P0.number: self.log_start})
        for record in self.topic:
            tally.add_record(P0.number, record.offset, record.headers, record.value)
        for record, more in self.dead:
            both = [*record.headers, *more.items()]
            tally.add_dead_letter(0, record.offset, both, record.value)
        for taken in self.actions:
            tally.add_action(taken)
        if self.expired:
            tally.note_expired(P0.number, self.expired, last_timestamp_ms=0)
        for record in self.archive:
            add_line(tally, record)
        if audits_postgres:
            tally.add_receipts(self.rows())
        later = SpoolEnds(
            by_spool={ORIGIN: {ORIGIN: self.stored if self.later is None else self.later}}
        )
        tally.origins.replace_ends(ends, later)
        return tally.report()


def add_line(tally: Tally, record: Record, partition: Partition = P0) -> None:
    """Add a record to the archive."""
    _, content = new_segment.of_batch(a_stored_batch(record))
    for line in segment.read_lines(content):
        decoded = msgspec.json.decode(line, type=segment.Line)
        tally.add_line(msgspec.structs.replace(decoded, partition=partition.number))
