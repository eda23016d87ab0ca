"""The proof finds what is missing, doubled, changed or unproven: broken on purpose, it fails."""

import hashlib
import io

import msgspec
from builders import P0, a_body, a_record, a_stored_record

from consumers.archive import segment
from ops.ledger import Entry, Outcome
from ops.report import ARCHIVE, COUNTS, KAFKA, POSTGRES, Report
from ops.tally import Statistics, Tally
from schemas.dead_letter import GROUP
from schemas.topics import CALLBACKS, DEAD_LETTERS

ORIGIN = "o" * 16


def audited(
    *,
    topic: list[int],
    archive: list[int],
    accepted: int | None = 3,
    dead: list[int] | None = None,
    beginning: int = 0,
    ledger: list[Entry] | None = None,
    database: list[int] | None = None,
    counts: tuple[int, int] | None = None,
) -> Report:
    """Return the report on sequences that were found in the topic and in the sinks."""
    tally = Tally(
        {} if accepted is None else {ORIGIN: accepted},
        ledger or [],
        synced=database is not None,
        counted=counts is not None,
    )
    if counts is not None:
        tally.see_statistics(Statistics(messages=0, people=0, applied={ORIGIN: counts}))
    tally.beginnings = {P0.number: beginning}
    for name, sequences in ((CALLBACKS.name, topic), (DEAD_LETTERS.name, dead or [])):
        for sequence in sequences:
            record = a_record(sequence)
            tally.see_record(name, dict(record.headers), record.value)
    for sequence in archive:
        content = segment.encode(P0, [a_record(sequence)])
        for line in segment.read_lines(io.BytesIO(content)):
            tally.see_line(msgspec.json.decode(line, type=segment.Line))
    tally.see_receipts((ORIGIN, sequence) for sequence in database or [])
    return tally.report()


def an_entry(number: int, outcome: Outcome = "ok", value: bytes = b"{}") -> Entry:
    """Return what the sender noted of the callback with sequence `number`."""
    return Entry(
        id=f"{number:032x}",
        sdkappid="1",
        command="X",
        sha256=hashlib.sha256(value).hexdigest(),
        outcome=outcome,
        status=200,
        latency_ms=1,
    )


def test_all_once_is_proven() -> None:
    """Each sequence in the topic or the dead-letter topic, and the topic's in the archive."""
    report = audited(topic=[1, 3], dead=[2], archive=[1, 3])
    assert (report.proven, report.missing, report.doubled) == (True, 0, 0)


def test_an_origin_without_callbacks_is_proven() -> None:
    """N is 0."""
    assert audited(topic=[], archive=[], accepted=0).proven


def test_what_is_missing_is_named_by_number() -> None:
    """Per sink."""
    report = audited(topic=[1, 3], archive=[3])
    assert (report.missing, report.proven) == (3, False)
    sinks = report.origins[0].sinks
    assert (sinks[KAFKA].missing_listed, sinks[ARCHIVE].missing_listed) == ([2], [1, 2])


def test_what_is_doubled_is_named_by_number() -> None:
    """One sequence twice in a sink, also once in each topic."""
    report = audited(topic=[1, 2, 3, 3], dead=[1], archive=[1, 2, 2, 3])
    sinks = report.origins[0].sinks
    assert (sinks[KAFKA].doubled_listed, sinks[ARCHIVE].doubled_listed) == ([1, 3], [2])
    assert (report.doubled, report.proven) == (3, False)


def test_what_came_after_n_was_read_is_not_missing() -> None:
    """A live system goes on while it is audited; doubled stays doubled."""
    assert audited(topic=[1, 2, 3, 5], archive=[1, 2, 3]).proven
    assert audited(topic=[1, 2, 3, 5, 5], archive=[1, 2, 3]).doubled == 1


def test_an_origin_that_no_spool_has_is_unproven() -> None:
    """Nobody can say how many callbacks it had."""
    report = audited(topic=[1], archive=[1], accepted=None)
    assert (report.unproven, report.proven, report.missing) == ([ORIGIN], False, 0)


def test_before_the_topics_beginning_the_archives_word_counts() -> None:
    """Retention deletes from the topic what the archive keeps."""
    assert audited(topic=[3], archive=[1, 2, 3], beginning=3).proven
    assert audited(topic=[3], archive=[1, 2, 3], beginning=2).missing == 1


def test_what_a_consumer_set_aside_is_no_second_copy() -> None:
    """It is in the topic, and for the archive its dead letter counts."""
    tally = Tally({ORIGIN: 1}, [], synced=False, counted=False)
    headers = dict(a_record(1).headers)
    tally.see_record(CALLBACKS.name, headers, b"{}")
    assert tally.report().missing == 1
    tally.see_record(DEAD_LETTERS.name, headers | {GROUP: b"archive"}, b"{}")
    assert tally.report().proven


def test_the_database_must_have_a_receipt_of_every_callback() -> None:
    """All that the topic has; what the ingress set aside is not among it."""
    assert audited(topic=[1, 3], dead=[2], archive=[1, 3], database=[1, 3]).proven
    report = audited(topic=[1, 2, 3], archive=[1, 2, 3], database=[1, 3])
    assert report.origins[0].sinks[POSTGRES].missing_listed == [2]
    assert not report.proven


def test_the_counts_must_have_the_number_and_the_sum() -> None:
    """Too few are missing, too many doubled, as many but others are both."""
    for counts, faults in (
        ((3, 6), (0, 0)),
        ((2, 3), (1, 0)),
        ((4, 9), (0, 1)),
        ((3, 7), (1, 1)),
    ):
        report = audited(topic=[1, 2, 3], archive=[1, 2, 3], counts=counts)
        held = report.origins[0].sinks[COUNTS]
        assert (held.missing, held.doubled) == faults
        assert report.proven is (faults == (0, 0))


def test_counts_of_a_live_system_lie_between_what_is_settled_and_what_is_seen() -> None:
    """N was 3 when it was read; two more came since."""
    for counted, proven in ((2, False), (3, True), (4, True), (5, True), (6, False)):
        report = audited(
            topic=[1, 2, 3, 4, 5], archive=[1, 2, 3, 4, 5], counts=(counted, 15), accepted=3
        )
        assert report.proven is proven


def test_the_statistics_must_show_the_messages_and_people_of_the_records() -> None:
    """Each message and each person of an app once, repeats or not."""

    def shown(messages: int, people: int | None) -> Report:
        tally = Tally({ORIGIN: 3}, [], synced=False, counted=True)
        applied = {ORIGIN: (3, 6)}
        tally.see_statistics(Statistics(messages=messages, people=people, applied=applied))
        for offset, fields in enumerate(({}, {"MsgKey": "2", "To_Account": "third"}, {})):
            stored = a_stored_record(offset, a_body(**fields), origin=ORIGIN)
            tally.see_record(CALLBACKS.name, dict(stored.headers), stored.value)
            content = segment.encode(P0, [stored])
            for line in segment.read_lines(io.BytesIO(content)):
                tally.see_line(msgspec.json.decode(line, type=segment.Line))
        return tally.report()

    assert shown(2, 3).proven
    assert shown(2, None).proven
    assert (shown(1, 3).missing, shown(3, 3).doubled) == (1, 1)
    assert (shown(2, 2).missing, shown(2, 5).doubled) == (1, 2)


def test_an_ok_that_is_not_stored_is_missing() -> None:
    """Even where all numbers are there: the ledger is the sender's own word."""
    ledger = [an_entry(number) for number in (1, 2, 3, 4)]
    report = audited(topic=[1, 2, 3], archive=[1, 2, 3], ledger=ledger)
    assert report.ledger is not None
    assert report.ledger.missing == {KAFKA: 1, ARCHIVE: 1}
    assert report.ledger.listed == [f"{4:032x}"]
    assert not report.proven


def test_an_unanswered_callback_may_be_stored_or_not() -> None:
    """The process died in between; shown, and no fault."""
    ledger = [an_entry(1), an_entry(2, "unanswered"), an_entry(9, "unanswered")]
    report = audited(topic=[1, 2], archive=[1, 2], accepted=2, ledger=ledger)
    assert report.ledger is not None
    assert (report.ledger.unanswered, report.ledger.unanswered_but_stored) == (2, 1)
    assert report.proven


def test_a_changed_body_is_a_fault() -> None:
    """The value is the body byte for byte."""
    report = audited(topic=[1], archive=[1], accepted=1, ledger=[an_entry(1, value=b"{ }")])
    assert report.ledger is not None
    assert (report.ledger.changed, report.proven) == (1, False)


def test_a_repeat_of_the_sender_is_shown_and_no_fault() -> None:
    """The same id under two sequences."""
    tally = Tally({ORIGIN: 2}, [], synced=False, counted=False)
    for sequence in (b"1", b"2"):
        headers = {"ce_id": b"0" * 32, "ce_origin": ORIGIN.encode(), "ce_sequence": sequence}
        tally.see_record(CALLBACKS.name, headers, b"{}")
    assert tally.report().repeats == 1
