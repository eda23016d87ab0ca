"""Sequences that have expired everywhere are neither missing nor proven; the others must exist."""

import hashlib

import msgspec
from support.archive.archives import ORIGIN, numbered
from support.builders import P0, a_body

from consumers.archive import new_segment, segment
from consumers.archive.segment import Line
from consumers.runtime.batch import Batch, Position
from ops.audit.report import ARCHIVE, COUNTS, KAFKA, POSTGRES, Report
from ops.audit.spool_ends import SpoolEnds
from ops.audit.statistics import Statistics
from ops.audit.tally import Tally


def audited(
    archive: list[int],
    *,
    expired: tuple[int, int] | None = (1, 4),
    topic: list[int] | None = None,
    database: list[int] | None = None,
    expired_receipts: list[tuple[int, int]] | None = None,
    counts: tuple[int, int] | None = None,
    messages: int = 0,
) -> Report:
    """Return the report on 8 callbacks of which these are left; Kafka begins at the seventh."""
    tally = Tally(
        SpoolEnds(by_spool={ORIGIN: {ORIGIN: 8}}),
        [],
        audits_postgres=database is not None,
        audits_counts=counts is not None,
    )
    if counts is not None:
        applied = {ORIGIN: {P0.number: counts}}
        tally.note_statistics(Statistics(messages=messages, people=2, applied=applied))
    tally.note_log_starts({P0.number: 6})
    records = {
        sequence: numbered(sequence, a_body(MsgKey=f"key-{sequence}"))._replace(offset=sequence - 1)
        for sequence in range(1, 9)
    }
    for sequence in topic or [7, 8]:
        record = records[sequence]
        tally.add_record(P0.number, record.offset, record.headers, record.value)
    if expired:
        tally.note_expired(P0.number, {ORIGIN: expired}, last_timestamp_ms=0)
    archived = [records[sequence] for sequence in archive]
    _, content = new_segment.of_batch(
        Batch(partition=P0, begins_at=0, reached=Position(8), records=archived)
    )
    for line in segment.read_lines(content):
        tally.add_line(msgspec.json.decode(line, type=Line))
    if database is not None:
        tally.add_receipts(
            (
                ORIGIN,
                n,
                dict(records[n].headers)["ce_id"].decode(),
                hashlib.sha256(records[n].value).digest(),
            )
            for n in database
        )
    tally.add_expired_receipts((ORIGIN, *each) for each in expired_receipts or [])
    return tally.report()


def test_nothing_is_claimed_of_expired_sequences() -> None:
    """The report counts them separately."""
    report = audited([5, 6, 7, 8])
    assert (report.missing_at_least, report.doubled_at_least, report.proven) == (0, 0, True)
    assert report.origins[0].expired == 4


def test_without_expiry_the_same_sequences_are_missing() -> None:
    """They are missing in the topic and in the archive."""
    report = audited([5, 6, 7, 8], expired=None)
    assert (report.missing_at_least, report.origins[0].expired) == (8, 0)


def test_sequences_lost_after_the_expired_ones_are_missing() -> None:
    """Also if the topic still has them, and within the expired range."""
    assert audited([5, 7, 8]).origins[0].sinks[KAFKA].missing_listed == [6]
    assert audited([5, 6, 7]).origins[0].sinks[ARCHIVE].missing_listed == [8]
    report = audited([5, 6, 8], topic=[7, 8], expired=(1, 7))
    assert report.origins[0].sinks[ARCHIVE].missing_listed == [7]
    assert report.origins[0].expired == 4


def test_the_database_need_not_have_expired_sequences() -> None:
    """It may have them or not, but must have all others."""
    for database in ([5, 6, 7, 8], [1, 2, 3, 4, 5, 6, 7, 8]):
        assert audited([5, 6, 7, 8], database=database).proven
    report = audited([5, 6, 7, 8], database=[1, 2, 3, 4, 6, 7, 8])
    assert report.origins[0].sinks[POSTGRES].missing_listed == [5]


def test_what_has_expired_from_the_database_alone_must_be_elsewhere() -> None:
    """The database need not have it; the archive must, and all others must be in the database."""
    report = audited([5, 6, 7, 8], database=[7, 8], expired_receipts=[(2, 3), (5, 6)])
    assert report.proven
    assert report.origins[0].sinks[POSTGRES].expired == 4
    report = audited([5, 7, 8], database=[7], expired_receipts=[(5, 6)])
    assert report.origins[0].sinks[ARCHIVE].missing_listed == [6]
    assert report.origins[0].sinks[KAFKA].missing_listed == [6]
    assert report.origins[0].sinks[POSTGRES].missing_listed == [8]


def test_an_expired_receipt_above_the_end_makes_the_end_doubtful() -> None:
    """The spool was restored from an older copy: the callbacks after it are not known."""
    report = audited([5, 6, 7, 8], database=[7, 8], expired_receipts=[(5, 9)])
    assert (report.proven, report.names_in_doubt) == (False, [ORIGIN])


def test_counts_must_have_at_least_the_remaining_sequences() -> None:
    """The number and the sum of the expired ones are not known."""
    assert audited([5, 6, 7, 8], counts=(8, 36), messages=8).proven
    assert audited([5, 6, 7, 8], counts=(4, 0), messages=4).proven
    report = audited([5, 6, 7, 8], counts=(3, 0), messages=8)
    assert report.origins[0].sinks[COUNTS].missing == 1
    assert audited([5, 6, 7, 8], counts=(8, 36), messages=3).missing_at_least > 0
    # If nothing has expired, a count above the number of sequences is a fault.
    assert (
        audited([1, 2, 3, 4, 5, 6, 7, 8], expired=None, counts=(9, 45), messages=8).doubled_at_least
        == 1
    )
