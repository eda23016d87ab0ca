"""The audit finds callbacks that are missing, doubled, changed or not proven to be there."""

import hashlib
from typing import Any

import msgspec
import pytest
from support.builders import P0, a_body, a_stored_batch, a_stored_record

from consumers.archive import new_segment, segment
from consumers.runtime.batch import Record
from ops.audit.report import ARCHIVE, COUNTS, KAFKA, POSTGRES, Report
from ops.audit.spool_ends import SpoolEnds
from ops.audit.statistics import Statistics
from ops.audit.tally import Tally
from ops.simulate.ledger import LedgerEntry, Outcome
from schemas.dead_letter import GROUP, KAFKA_PRODUCE, STAGE

ORIGIN = "o" * 16


def ends(last_sequences: dict[str, int]) -> SpoolEnds:
    """Return the ends of spools that still have their first origin."""
    return SpoolEnds(by_spool={origin: {origin: last} for origin, last in last_sequences.items()})


def stored(sequence: int, **fields: Any) -> Record:
    """Return the record of the callback with a sequence."""
    return a_stored_record(
        sequence - 1, a_body(**{"MsgKey": f"key-{sequence}"} | fields), origin=ORIGIN
    )


def see(tally: Tally, record: Record, *, archived: bool = True) -> None:
    """Add a record to the topic, and to the archive."""
    tally.add_record(P0.number, record.offset, record.headers, record.value)
    if archived:
        add_line(tally, record)


def add_dead_letter(tally: Tally, record: Record, *headers: tuple[str, bytes]) -> None:
    """Add a record to the dead-letter topic; without more headers an ingress wrote it."""
    tally.add_dead_letter(0, record.offset, [*record.headers, *headers], record.value)


def add_line(tally: Tally, record: Record) -> None:
    """Add a record to the archive."""
    _, content = new_segment.of_batch(a_stored_batch(record))
    for line in segment.read_lines(content):
        tally.add_line(msgspec.json.decode(line, type=segment.Line))


def a_receipt(record: Record) -> tuple[str, int, str, bytes]:
    """Return the receipt of a callback, with the digest of its row."""
    headers = dict(record.headers)
    return (
        headers["ce_origin"].decode(),
        int(headers["ce_sequence"]),
        headers["ce_id"].decode(),
        hashlib.sha256(record.value).digest(),
    )


def audited(
    *,
    topic: list[int],
    archive: list[int],
    end: int | None = 3,
    later: int | None = None,
    dead: list[int] | None = None,
    log_start: int = 0,
    ledger: list[LedgerEntry] | None = None,
    database: list[int] | None = None,
    counts: tuple[int, int] | None = None,
) -> Report:
    """Return the report on sequences that were found in the topic and in the sinks."""
    tally = Tally(
        ends({} if end is None else {ORIGIN: end}),
        ledger or [],
        audits_postgres=database is not None,
        audits_counts=counts is not None,
    )
    if counts is not None:
        applied = {ORIGIN: {P0.number: counts}}
        tally.note_statistics(Statistics(messages=counts[0], people=2, applied=applied))
    tally.note_log_starts({P0.number: log_start})
    for sequence in topic:
        see(tally, stored(sequence), archived=False)
    for sequence in dead or []:
        add_dead_letter(tally, stored(sequence))
    for sequence in archive:
        add_line(tally, stored(sequence))
    tally.add_receipts(a_receipt(stored(sequence)) for sequence in database or [])
    if later is not None and end is not None:
        tally.origins.replace_ends(ends({ORIGIN: end}), ends({ORIGIN: later}))
    return tally.report()


def an_entry(number: int, outcome: Outcome = Outcome.OK, value: bytes | None = None) -> LedgerEntry:
    """Return the ledger's entry of the callback with sequence `number`."""
    record = stored(number)
    return LedgerEntry(
        id=dict(record.headers)["ce_id"].decode(),
        sdkappid="1",
        command="X",
        sha256=hashlib.sha256(record.value if value is None else value).hexdigest(),
        outcome=outcome,
        status=200,
        latency_ms=1,
    )


def test_all_once_is_proven() -> None:
    """Each sequence is in one of the two topics, and those of the main topic are archived."""
    report = audited(topic=[1, 3], dead=[2], archive=[1, 3])
    assert (report.proven, report.missing_at_least, report.doubled_at_least) == (True, 0, 0)


def test_an_origin_without_callbacks_is_proven() -> None:
    """Its end is 0."""
    assert audited(topic=[], archive=[], end=0).proven


def test_missing_sequences_are_listed_for_each_sink() -> None:
    """Kafka lacks one sequence, the archive two."""
    report = audited(topic=[1, 3], archive=[3])
    assert (report.missing_at_least, report.proven) == (3, False)
    sinks = report.origins[0].sinks
    assert (sinks[KAFKA].missing_listed, sinks[ARCHIVE].missing_listed) == ([2], [1, 2])


def test_doubled_sequences_are_listed_for_each_sink() -> None:
    """A sequence is twice in a sink, or once in each topic."""
    report = audited(topic=[1, 2, 3, 3], dead=[1], archive=[1, 2, 2, 3])
    sinks = report.origins[0].sinks
    assert (sinks[KAFKA].doubled_listed, sinks[ARCHIVE].doubled_listed) == ([1, 3], [2])
    assert (report.doubled_at_least, report.proven) == (3, False)


def test_callbacks_above_the_end_are_not_missing() -> None:
    """They came after the end was read; but a doubled one is a fault."""
    assert audited(topic=[1, 2, 3, 5], archive=[1, 2, 3], later=5).proven
    assert audited(topic=[1, 2, 3, 5, 5], archive=[1, 2, 3], later=5).doubled_at_least == 1


def test_an_origin_without_a_known_spool_is_incomplete() -> None:
    """The number of its callbacks is not known."""
    report = audited(topic=[1], archive=[1], end=None)
    assert (report.names_in_doubt, report.proven, report.missing_at_least) == ([ORIGIN], False, 0)
    # But every sink must have the callbacks that Kafka has.
    report = audited(topic=[1, 3], archive=[1], database=[3], counts=(1, 1), end=None)
    sinks = report.origins[0].sinks
    assert [sinks[s].missing_listed for s in (ARCHIVE, POSTGRES, COUNTS)] == [[3], [1], [3]]
    assert (report.names_in_doubt, sinks[KAFKA].missing) == ([ORIGIN], 0)


def test_below_the_topics_first_offset_the_archive_is_the_evidence() -> None:
    """Retention deletes records from the topic that the archive keeps."""
    assert audited(topic=[3], archive=[1, 2, 3], log_start=2).proven
    assert audited(topic=[3], archive=[1, 2, 3], log_start=1).missing_at_least == 1


def test_a_consumers_dead_letter_is_reported_and_not_proven() -> None:
    """It is neither doubled nor missing, but it is not in the sink."""
    tally = Tally(ends({ORIGIN: 1}), [], audits_postgres=False, audits_counts=False)
    see(tally, stored(1), archived=False)
    assert tally.report().missing_at_least == 1
    add_dead_letter(tally, stored(1), (GROUP, b"archive"))
    report = tally.report()
    assert (
        report.missing_at_least,
        report.doubled_at_least,
        report.dead_lettered,
        report.proven,
    ) == (0, 0, 1, False)
    assert report.origins[0].sinks[ARCHIVE].dead_lettered_listed == [1]


@pytest.mark.parametrize("group", [b"archive", b"sync", b"counters", None])
def test_a_dead_letter_is_not_missing_by_the_ledger(group: bytes | None) -> None:
    """The report counts it as a dead letter, with and without a ledger."""
    tally = Tally(ends({ORIGIN: 1}), [an_entry(1)], audits_postgres=True, audits_counts=False)
    if group:
        see(tally, stored(1), archived=group != b"archive")
        if group != b"sync":
            tally.add_receipts([a_receipt(stored(1))])
            tally.add_ledger_row(an_entry(1).id, an_entry(1).sha256)
        add_dead_letter(tally, stored(1), (GROUP, group))
    else:
        add_dead_letter(tally, stored(1), (STAGE, KAFKA_PRODUCE.encode()))
    report = tally.report()
    assert report.ledger is not None
    assert sum(report.ledger.missing.values()) == 0
    assert (report.has_faults, report.dead_lettered) == (False, 0 if group == b"counters" else 1)


def test_the_database_must_have_a_receipt_of_every_callback() -> None:
    """But not of the dead letters of the ingress."""
    assert audited(topic=[1, 3], dead=[2], archive=[1, 3], database=[1, 3]).proven
    report = audited(topic=[1, 2, 3], archive=[1, 2, 3], database=[1, 3])
    assert report.origins[0].sinks[POSTGRES].missing_listed == [2]
    assert not report.proven


def test_the_counts_must_have_the_number_and_the_sum_of_the_sequences() -> None:
    """A lower number is missing, a higher one doubled, another sum is both."""
    for counts, faults in (
        ((3, 6), (0, 0)),
        ((2, 3), (1, 0)),
        ((4, 10), (0, 1)),
        ((3, 7), (1, 1)),
    ):
        report = audited(topic=[1, 2, 3], archive=[1, 2, 3], counts=counts)
        held = report.origins[0].sinks[COUNTS]
        assert (held.missing, held.doubled) == faults


def test_counts_under_traffic_are_the_first_sequences_of_the_partition() -> None:
    """The end was 3; two callbacks came later. A later one never replaces an earlier one."""
    for counts, proven in (
        ((2, 3), False),
        ((3, 6), True),
        ((4, 10), True),
        ((5, 15), True),
        ((6, 21), False),
        # Without 2, but with 4.
        ((3, 8), False),
    ):
        sequences = [1, 2, 3, 4, 5]
        report = audited(topic=sequences, archive=sequences, counts=counts, later=5)
        assert report.proven is proven, counts


def test_counts_below_the_topics_first_offset_are_compared_with_the_archive() -> None:
    """The records that retention deleted are the first of the partition."""
    for counts, proven in (((3, 6), True), ((2, 3), False), ((2, 5), False)):
        report = audited(topic=[3], archive=[1, 2, 3], log_start=2, counts=counts)
        assert report.proven is proven, counts


def test_records_that_no_ingress_wrote_count_once_and_are_not_faults() -> None:
    """Missing headers, or sequences that are not numbers; the end of a new origin is not known."""
    tally = Tally(ends({ORIGIN: 1}), [], audits_postgres=True, audits_counts=True)
    statistics = Statistics(messages=1, people=2, applied={ORIGIN: {P0.number: (1, 1)}})
    tally.note_statistics(statistics)
    see(tally, stored(1))
    tally.add_receipts([a_receipt(stored(1))])
    strange = dict(stored(2).headers) | {"ce_origin": b"stranger"}
    for change in (
        {"ce_id": b""},
        {"ce_sequence": "\u00b2".encode()},
        {"ce_sequence": b"0"},
    ):
        tally.add_record(P0.number, 9, (strange | change).items(), b"{}")
    report = tally.report()
    assert (report.foreign, report.proven) == (3, True)
    copy = Record(9, 0, None, b"{}", tuple((strange | {"ce_sequence": b"0"}).items()))
    add_dead_letter(tally, copy, (GROUP, b"sync"))
    add_line(tally, copy)
    for _ in range(2):
        tally.forget_receipts()
        tally.add_receipts([a_receipt(stored(1)), a_receipt(copy)])
    assert tally.report().foreign == 3, "a copy of a record counts again"
    tally.add_record(P0.number, 9, (strange | {"ce_id": b"order-4711"}).items(), b"{}")
    assert tally.report().names_in_doubt == ["stranger"]


def test_the_statistics_must_show_the_messages_and_people_of_the_records() -> None:
    """Each message and each person of an app counts once, repeated or not."""

    def shown(messages: int, people: int | None) -> Report:
        tally = Tally(ends({ORIGIN: 3}), [], audits_postgres=False, audits_counts=True)
        applied = {ORIGIN: {P0.number: (3, 6)}}
        tally.note_statistics(Statistics(messages=messages, people=people, applied=applied))
        for record in (stored(1), stored(2, To_Account="third"), stored(3, MsgKey="key-1")):
            see(tally, record)
        return tally.report()

    assert shown(2, 3).proven
    assert shown(2, None).proven
    assert (shown(1, 3).missing_at_least, shown(3, 3).doubled_at_least) == (1, 1)
    # A message has two people: two people less may be one message, and two more than three as well.
    assert (shown(2, 2).missing_at_least, shown(2, 1).missing_at_least) == (1, 1)
    assert (shown(2, 5).doubled_at_least, shown(2, 6).doubled_at_least) == (1, 2)


def test_a_message_that_is_not_counted_with_its_people_is_one_that_is_missing() -> None:
    """The message, both people and the sequence show the same loss."""
    tally = Tally(ends({ORIGIN: 2}), [], audits_postgres=False, audits_counts=True)
    tally.note_statistics(Statistics(messages=1, people=2, applied={ORIGIN: {P0.number: (1, 1)}}))
    see(tally, stored(1))
    see(tally, stored(2, From_Account="third", To_Account="fourth"))
    report = tally.report()
    assert report.statistics["people"].missing == 2
    assert (report.missing_at_least, report.has_faults) == (1, True)


def test_online_only_messages_robots_and_the_app_are_not_counted() -> None:
    """The audit counts by the rules of the counters; else it would report false faults."""
    tally = Tally(ends({ORIGIN: 4}), [], audits_postgres=False, audits_counts=True)
    applied = {ORIGIN: {P0.number: (4, 10)}}
    tally.note_statistics(Statistics(messages=3, people=2, applied=applied))
    see(tally, stored(1, From_Account="@RBT#1"))
    see(tally, stored(2, From_Account="administrator", To_Account="b"))
    see(tally, stored(3, From_Account="c", OnlineOnlyFlag=1))
    see(tally, stored(4, From_Account="b", SendMsgResult=20006))
    assert tally.report().proven


def test_a_callback_of_the_ledger_that_is_not_stored_is_missing() -> None:
    """Even if every sequence is there: the sender knows that it was answered OK."""
    ledger = [an_entry(number) for number in (1, 2, 3, 4)]
    report = audited(topic=[1, 2, 3], archive=[1, 2, 3], ledger=ledger)
    assert report.ledger is not None
    assert report.ledger.missing == {KAFKA: 1, ARCHIVE: 1}
    assert report.ledger.listed == [ledger[3].id]
    assert not report.proven


def test_two_bodies_of_one_id_lack_one_row() -> None:
    """PostgreSQL keeps one row for each id, Kafka and the archive keep both callbacks."""
    bodies = [stored(number, MsgKey="key-1", UnreadMsgNum=number).value for number in (1, 2)]
    ledger = [an_entry(1, value=body) for body in bodies]
    tally = Tally(ends({ORIGIN: 0}), ledger, audits_postgres=True, audits_counts=False)
    report = tally.report()
    assert report.ledger is not None
    assert report.ledger.missing == {KAFKA: 2, ARCHIVE: 2, POSTGRES: 1}


def test_an_unanswered_callback_may_be_stored_or_not() -> None:
    """The process died before it answered; this is reported, and not a fault."""
    ledger = [an_entry(1), an_entry(2, Outcome.UNANSWERED), an_entry(9, Outcome.UNANSWERED)]
    report = audited(topic=[1, 2], archive=[1, 2], end=2, ledger=ledger)
    assert report.ledger is not None
    assert (report.ledger.unanswered, report.ledger.unanswered_but_stored) == (2, 1)
    assert report.proven


def test_a_callback_with_another_answer_may_be_stored_or_not() -> None:
    """A 503, or a 502 of a gateway, may come after the commit; it is reported, and not a fault."""
    outcomes = {1: Outcome.OK, 2: Outcome.OTHER_ANSWER, 3: Outcome.UNANSWERED}
    ledger = [an_entry(number, outcome) for number, outcome in outcomes.items()]
    # Was sent once more, and is answered OK: not one of them.
    ledger += [an_entry(1, Outcome.OTHER_ANSWER), an_entry(9, Outcome.OTHER_ANSWER)]
    report = audited(topic=[1, 2, 3], archive=[1, 2, 3], ledger=ledger)
    assert report.ledger is not None
    assert (report.ledger.other_answer, report.ledger.other_answer_but_stored) == (3, 1)
    assert (report.ledger.stored_without_ok, report.proven) == (2, True)
    in_json: Any = report.as_dict()["ledger"]
    assert (in_json["refused"], in_json["other_answer"]) == (3, 3)


def test_a_changed_body_is_a_fault() -> None:
    """The value of a record is the body, byte for byte."""
    report = audited(topic=[1], archive=[1], end=1, ledger=[an_entry(1, value=b"{ }")])
    assert report.ledger is not None
    assert (report.ledger.changed, report.proven) == (1, False)


@pytest.mark.parametrize("row", [1, 2])
@pytest.mark.parametrize("in_ledger", [1, 2])
def test_a_repeat_that_the_ledger_does_not_have_is_not_a_changed_callback(
    in_ledger: int, row: int
) -> None:
    """It is stored with another UnreadMsgNum in addition; the database has one of the two."""
    sent, lost = (stored(number, MsgKey="key-1", UnreadMsgNum=number) for number in (1, 2))
    bodies = {1: sent.value, 2: lost.value}
    ledger = [an_entry(1, value=bodies[in_ledger])]
    for records, changed in (([sent, lost], 0), ([sent], in_ledger == 2), ([lost], in_ledger == 1)):
        tally = Tally(ends({}), ledger, audits_postgres=True, audits_counts=False)
        for record in records:
            see(tally, record)
        tally.add_ledger_row(ledger[0].id, hashlib.sha256(bodies[row]).hexdigest())
        ledger_report = tally.report().ledger
        assert ledger_report is not None
        row_is_strange = row != in_ledger and bodies[row] not in [each.value for each in records]
        assert ledger_report.changed == max(changed, row_is_strange)
        assert sum(ledger_report.missing.values()) == 0


def test_a_row_seems_changed_only_until_its_callback_is_read_in_kafka() -> None:
    """PostgreSQL is read after Kafka; a repeat with other bytes, then the callback, came since."""
    sent, repeat = (stored(number, MsgKey="key-1", UnreadMsgNum=number) for number in (1, 2))
    entry = an_entry(1, Outcome.UNANSWERED, value=sent.value)
    tally = Tally(ends({ORIGIN: 0}), [entry], audits_postgres=True, audits_counts=False)
    tally.add_ledger_row(entry.id, hashlib.sha256(repeat.value).hexdigest())
    first = tally.report()
    assert (first.missing_at_least, first.changed, first.has_faults) == (0, 1, True)
    see(tally, repeat)
    see(tally, sent)
    assert tally.report().changed == 0


def test_a_repeat_of_the_sender_is_reported_and_not_a_fault() -> None:
    """One id has two sequences."""
    tally = Tally(ends({ORIGIN: 2}), [], audits_postgres=False, audits_counts=False)
    see(tally, stored(1))
    see(tally, stored(2, MsgKey="key-1"))
    report = tally.report()
    assert (report.repeats, report.proven) == (1, True)


def test_foreign_records_that_only_the_archive_or_the_dead_letters_have_are_counted() -> None:
    """Retention has deleted one from its topic; another tool wrote the other."""
    tally = Tally(ends({ORIGIN: 0}), [], audits_postgres=False, audits_counts=False)
    tally.note_log_starts({P0.number: 10})
    foreign = Record(9, 0, None, b"{}", (("ce_sequence", b"0"),))
    add_line(tally, foreign)
    add_dead_letter(tally, foreign)
    assert (tally.report().foreign, tally.report().proven) == (2, True)
