"""The proof finds what is missing, doubled, changed or unproven: broken on purpose, it fails."""

import hashlib
from typing import Any

import msgspec
import pytest
from support.builders import P0, a_body, a_stored_batch, a_stored_record

from consumers.archive import new_segment, segment
from consumers.runtime.batch import Record
from ops.audit.ends import Ends
from ops.audit.message_counts import Statistics
from ops.audit.report import ARCHIVE, COUNTS, KAFKA, POSTGRES, Report
from ops.audit.tally import Tally
from ops.simulate.ledger import Entry, Outcome
from schemas.dead_letter import GROUP, KAFKA_PRODUCE, STAGE

ORIGIN = "o" * 16


def ends(accepted: dict[str, int]) -> Ends:
    """Return the ends of spools that have their first origin still."""
    return Ends(known={origin: {origin: last} for origin, last in accepted.items()})


def stored(sequence: int, **fields: Any) -> Record:
    """Return the record that the spool gave a sequence."""
    return a_stored_record(
        sequence - 1, a_body(**{"MsgKey": f"key-{sequence}"} | fields), origin=ORIGIN
    )


def see(tally: Tally, record: Record, *, archived: bool = True) -> None:
    """Have a record be in the topic and in the archive."""
    tally.see_record(P0.number, record.offset, record.headers, record.value)
    if archived:
        see_line(tally, record)


def see_dead_letter(tally: Tally, record: Record, *headers: tuple[str, bytes]) -> None:
    """Have a record be in the dead-letter topic; without more headers an ingress wrote it."""
    tally.see_dead_letter(0, record.offset, [*record.headers, *headers], record.value)


def see_line(tally: Tally, record: Record) -> None:
    """Have a record be in the archive."""
    _, content = new_segment.of_batch(a_stored_batch(record))
    for line in segment.read_lines(content):
        tally.see_line(msgspec.json.decode(line, type=segment.Line))


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
    accepted: int | None = 3,
    later: int | None = None,
    dead: list[int] | None = None,
    beginning: int = 0,
    ledger: list[Entry] | None = None,
    database: list[int] | None = None,
    counts: tuple[int, int] | None = None,
) -> Report:
    """Return the report on sequences that were found in the topic and in the sinks."""
    tally = Tally(
        ends({} if accepted is None else {ORIGIN: accepted}),
        ledger or [],
        synced=database is not None,
        counted=counts is not None,
    )
    if counts is not None:
        applied = {ORIGIN: {P0.number: counts}}
        tally.see_statistics(Statistics(messages=counts[0], people=2, applied=applied))
    tally.see_first_offsets({P0.number: beginning})
    for sequence in topic:
        see(tally, stored(sequence), archived=False)
    for sequence in dead or []:
        see_dead_letter(tally, stored(sequence))
    for sequence in archive:
        see_line(tally, stored(sequence))
    tally.see_receipts(a_receipt(stored(sequence)) for sequence in database or [])
    if later is not None and accepted is not None:
        tally.see_later_ends(ends({ORIGIN: accepted}), ends({ORIGIN: later}))
    return tally.report()


def an_entry(number: int, outcome: Outcome = "ok", value: bytes | None = None) -> Entry:
    """Return what the sender noted of the callback with sequence `number`."""
    record = stored(number)
    return Entry(
        id=dict(record.headers)["ce_id"].decode(),
        sdkappid="1",
        command="X",
        sha256=hashlib.sha256(record.value if value is None else value).hexdigest(),
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
    assert audited(topic=[1, 2, 3, 5], archive=[1, 2, 3], later=5).proven
    assert audited(topic=[1, 2, 3, 5, 5], archive=[1, 2, 3], later=5).doubled == 1


def test_an_origin_that_no_spool_has_is_unproven() -> None:
    """Nobody can say how many callbacks it had."""
    report = audited(topic=[1], archive=[1], accepted=None)
    assert (report.unproven, report.proven, report.missing) == ([ORIGIN], False, 0)
    # What Kafka has, every sink must have all the same.
    report = audited(topic=[1, 3], archive=[1], database=[3], counts=(1, 1), accepted=None)
    sinks = report.origins[0].sinks
    assert [sinks[s].missing_listed for s in (ARCHIVE, POSTGRES, COUNTS)] == [[3], [1], [3]]
    assert (report.unproven, sinks[KAFKA].missing) == ([ORIGIN], 0)


def test_before_the_topics_beginning_the_archives_word_counts() -> None:
    """Retention deletes from the topic what the archive keeps."""
    assert audited(topic=[3], archive=[1, 2, 3], beginning=2).proven
    assert audited(topic=[3], archive=[1, 2, 3], beginning=1).missing == 1


def test_what_a_consumer_set_aside_is_shown_and_not_proven() -> None:
    """It is no second copy and not missing, but it is not in that sink either."""
    tally = Tally(ends({ORIGIN: 1}), [], synced=False, counted=False)
    see(tally, stored(1), archived=False)
    assert tally.report().missing == 1
    see_dead_letter(tally, stored(1), (GROUP, b"archive"))
    report = tally.report()
    assert (report.missing, report.doubled, report.set_aside, report.proven) == (0, 0, 1, False)
    assert report.origins[0].sinks[ARCHIVE].set_aside_listed == [1]


@pytest.mark.parametrize("group", [b"archive", b"sync", b"counters", None])
def test_what_was_set_aside_is_not_missing_by_the_ledger_either(group: bytes | None) -> None:
    """It is shown as set aside, whether the sender's ledger is compared or not."""
    tally = Tally(ends({ORIGIN: 1}), [an_entry(1)], synced=True, counted=False)
    if group:
        see(tally, stored(1), archived=group != b"archive")
        if group != b"sync":
            tally.see_receipts([a_receipt(stored(1))])
            tally.see_row(an_entry(1).id, an_entry(1).sha256)
        see_dead_letter(tally, stored(1), (GROUP, group))
    else:
        see_dead_letter(tally, stored(1), (STAGE, KAFKA_PRODUCE.encode()))
    report = tally.report()
    assert report.ledger is not None
    assert sum(report.ledger.missing.values()) == 0
    assert (report.faults, report.set_aside) == (0, 0 if group == b"counters" else 1)


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
        ((4, 10), (0, 1)),
        ((3, 7), (1, 1)),
    ):
        report = audited(topic=[1, 2, 3], archive=[1, 2, 3], counts=counts)
        held = report.origins[0].sinks[COUNTS]
        assert (held.missing, held.doubled) == faults


def test_counts_of_a_live_system_are_a_prefix_of_what_is_seen() -> None:
    """N was 3 when it was read; two more came since. Newer ones never stand for an older one."""
    for counts, proven in (
        ((2, 3), False),
        ((3, 6), True),
        ((4, 10), True),
        ((5, 15), True),
        ((6, 21), False),
        # Without 2, but with 4.
        ((3, 8), False),
    ):
        found = [1, 2, 3, 4, 5]
        report = audited(topic=found, archive=found, counts=counts, later=5)
        assert report.proven is proven, counts


def test_counts_before_the_topics_beginning_are_held_against_the_archive() -> None:
    """What retention deleted comes first in the order of a partition."""
    for counts, proven in (((3, 6), True), ((2, 3), False), ((2, 5), False)):
        report = audited(topic=[3], archive=[1, 2, 3], beginning=2, counts=counts)
        assert report.proven is proven, counts


def test_what_no_ingress_wrote_is_told_and_harms_no_proof() -> None:
    """Other ids, headers that are missing, numbers beyond all bounds."""
    tally = Tally(ends({ORIGIN: 1}), [], synced=True, counted=True)
    statistics = Statistics(messages=1, people=2, applied={ORIGIN: {P0.number: (1, 1)}})
    tally.see_statistics(statistics)
    see(tally, stored(1))
    tally.see_receipts([a_receipt(stored(1))])
    strange = dict(stored(2).headers) | {"ce_origin": b"stranger"}
    for change in (
        {"ce_id": b""},
        {"ce_sequence": "\u00b2".encode()},
        {"ce_sequence": b"0"},
    ):
        tally.see_record(P0.number, 9, (strange | change).items(), b"{}")
    report = tally.report()
    assert (report.strangers, report.proven) == (3, True)
    tally.see_record(P0.number, 9, (strange | {"ce_id": b"order-4711"}).items(), b"{}")
    assert tally.report().unproven == ["stranger"]


def test_the_statistics_must_show_the_messages_and_people_of_the_records() -> None:
    """Each message and each person of an app once, repeats or not."""

    def shown(messages: int, people: int | None) -> Report:
        tally = Tally(ends({ORIGIN: 3}), [], synced=False, counted=True)
        applied = {ORIGIN: {P0.number: (3, 6)}}
        tally.see_statistics(Statistics(messages=messages, people=people, applied=applied))
        for record in (stored(1), stored(2, To_Account="third"), stored(3, MsgKey="key-1")):
            see(tally, record)
        return tally.report()

    assert shown(2, 3).proven
    assert shown(2, None).proven
    assert (shown(1, 3).missing, shown(3, 3).doubled) == (1, 1)
    assert (shown(2, 2).missing, shown(2, 5).doubled) == (1, 2)


def test_online_only_messages_robots_and_the_app_are_not_in_those_numbers() -> None:
    """As the counters count them, or the audit would find faults where there are none."""
    tally = Tally(ends({ORIGIN: 4}), [], synced=False, counted=True)
    applied = {ORIGIN: {P0.number: (4, 10)}}
    tally.see_statistics(Statistics(messages=3, people=2, applied=applied))
    see(tally, stored(1, From_Account="@RBT#1"))
    see(tally, stored(2, From_Account="administrator", To_Account="b"))
    see(tally, stored(3, From_Account="c", OnlineOnlyFlag=1))
    see(tally, stored(4, From_Account="b", SendMsgResult=20006))
    assert tally.report().proven


def test_an_ok_that_is_not_stored_is_missing() -> None:
    """Even where all numbers are there: the ledger is the sender's own word."""
    ledger = [an_entry(number) for number in (1, 2, 3, 4)]
    report = audited(topic=[1, 2, 3], archive=[1, 2, 3], ledger=ledger)
    assert report.ledger is not None
    assert report.ledger.missing == {KAFKA: 1, ARCHIVE: 1}
    assert report.ledger.listed == [ledger[3].id]
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


@pytest.mark.parametrize("row", [1, 2])
@pytest.mark.parametrize("noted", [1, 2])
def test_a_repeat_that_this_sender_did_not_note_is_no_change(noted: int, row: int) -> None:
    """It is there beside what was sent, with another UnreadMsgNum; the database has one of them."""
    sent, lost = (stored(number, MsgKey="key-1", UnreadMsgNum=number) for number in (1, 2))
    bodies = {1: sent.value, 2: lost.value}
    ledger = [an_entry(1, value=bodies[noted])]
    for records, changed in (([sent, lost], 0), ([sent], noted == 2), ([lost], noted == 1)):
        tally = Tally(ends({}), ledger, synced=True, counted=False)
        for record in records:
            see(tally, record)
        tally.see_row(ledger[0].id, hashlib.sha256(bodies[row]).hexdigest())
        found = tally.report().ledger
        assert found is not None
        row_is_strange = row != noted and bodies[row] not in [each.value for each in records]
        assert found.changed == max(changed, row_is_strange)
        assert sum(found.missing.values()) == 0


def test_a_repeat_of_the_sender_is_shown_and_no_fault() -> None:
    """The same id under two sequences."""
    tally = Tally(ends({ORIGIN: 2}), [], synced=False, counted=False)
    see(tally, stored(1))
    see(tally, stored(2, MsgKey="key-1"))
    report = tally.report()
    assert (report.repeats, report.proven) == (1, True)
