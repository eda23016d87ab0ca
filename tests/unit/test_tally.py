"""The proof finds what is missing, doubled, changed or unproven: broken on purpose, it fails."""

import hashlib
import io

import msgspec
from builders import P0, a_record

from consumers.archive import segment
from ops.ledger import Entry, Outcome
from ops.tally import Report, Tally
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
) -> Report:
    """Return the report on sequences that were found in the topic and in the archive."""
    tally = Tally({} if accepted is None else {ORIGIN: accepted}, ledger or [])
    tally.beginnings = {P0.number: beginning}
    for name, sequences in ((CALLBACKS.name, topic), (DEAD_LETTERS.name, dead or [])):
        for sequence in sequences:
            record = a_record(sequence)
            tally.see_record(name, dict(record.headers), record.value)
    for sequence in archive:
        content = segment.encode(P0, [a_record(sequence)])
        for line in segment.read_lines(io.BytesIO(content)):
            tally.see_line(msgspec.json.decode(line, type=segment.Line))
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
    assert report.origins[0].listed == {
        "missing_in_kafka": [2],
        "doubled_in_kafka": [],
        "missing_in_archive": [1, 2],
        "doubled_in_archive": [],
    }


def test_what_is_doubled_is_named_by_number() -> None:
    """One sequence twice in a sink, also once in each topic."""
    report = audited(topic=[1, 2, 3, 3], dead=[1], archive=[1, 2, 2, 3])
    assert report.origins[0].listed["doubled_in_kafka"] == [1, 3]
    assert report.origins[0].listed["doubled_in_archive"] == [2]
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
    tally = Tally({ORIGIN: 1}, [])
    headers = dict(a_record(1).headers)
    tally.see_record(CALLBACKS.name, headers, b"{}")
    assert tally.report().missing == 1
    tally.see_record(DEAD_LETTERS.name, headers | {GROUP: b"archive"}, b"{}")
    assert tally.report().proven


def test_an_ok_that_is_not_stored_is_missing() -> None:
    """Even where all numbers are there: the ledger is the sender's own word."""
    ledger = [an_entry(number) for number in (1, 2, 3, 4)]
    report = audited(topic=[1, 2, 3], archive=[1, 2, 3], ledger=ledger)
    assert report.ledger is not None
    assert (report.ledger.missing_in_kafka, report.ledger.missing_in_archive) == (1, 1)
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
    tally = Tally({ORIGIN: 2}, [])
    for sequence in (b"1", b"2"):
        headers = {"ce_id": b"0" * 32, "ce_origin": ORIGIN.encode(), "ce_sequence": sequence}
        tally.see_record(CALLBACKS.name, headers, b"{}")
    assert tally.report().repeats == 1
