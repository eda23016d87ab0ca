"""
Every known way in which an audit could report a false proof is closed.

docs/decisions/0019-false-proofs.md lists them; each has its test here or is named there.
"""

import hashlib
from pathlib import Path

import pytest
from rich.console import Console
from support.audited_world import ORIGIN, OTHER, AuditedWorld, a_callback, headers
from support.builders import P0, P1, a_body, a_stored_record

from consumers.runtime.batch import Record
from ops.audit import output
from ops.audit.ends_reader import NoSpools, read_ends
from ops.audit.report import ARCHIVE, COUNTS, KAFKA, POSTGRES, Report
from ops.audit.spool_ends import SpoolEnds
from ops.audit.tally import Tally
from ops.simulate.ledger import LedgerEntry, NoLedger, Outcome, read, write
from schemas.dead_letter import CONNECT, GROUP, STAGE


def shown(report: Report) -> str:
    """Return a report as it is printed, in one line."""
    console = Console(width=2000)
    with console.capture() as captured:
        console.print(output.render(report))
    return " ".join(captured.get().split())


def test_callbacks_in_every_sink_are_proven() -> None:
    """The other tests break this world."""
    report = AuditedWorld().audited()
    assert (report.proven, report.not_audited) == (True, [])
    assert "proven: every callback is exactly once in Kafka, archive, PostgreSQL, counts" in shown(
        report
    )


def test_a_sink_that_is_not_named_is_reported_as_not_audited() -> None:
    """The last line and the JSON report name it."""
    report = AuditedWorld(receipts=[], counts={}).audited(
        audits_postgres=False, audits_counts=False
    )
    assert report.proven
    assert report.as_dict()["not_audited"] == [POSTGRES, COUNTS]
    assert shown(report).endswith(
        "in Kafka, archive; not audited: PostgreSQL (--postgres), counts (--stats)"
    )


def test_a_partition_that_is_missing_in_the_archive_is_missing() -> None:
    """All of its callbacks are missing, also those that Kafka does not have any more."""
    report = AuditedWorld(archive=[]).audited()
    assert report.origins[0].sinks[ARCHIVE].missing_listed == [1, 2, 3]
    report = AuditedWorld(archive=[], topic=[], log_start=3).audited()
    assert report.origins[0].sinks[KAFKA].missing_listed == [1, 2, 3]


@pytest.mark.parametrize(
    "only", ["topic", "dead", "dead of another team", "archive", "receipts", "counts", "expired"]
)
def test_an_origin_that_only_one_place_has_is_incomplete(only: str) -> None:
    """The number of callbacks that its spool has stored is not known."""
    world = AuditedWorld()
    stranger = a_callback(1, origin=OTHER)
    match only:
        case "topic":
            world.topic.append(stranger)
        case "dead":
            world.dead.append((stranger, {}))
        case "dead of another team":
            world.dead.append((stranger, {GROUP: b"billing"}))
        case "archive":
            world.archive.append(stranger)
        case "receipts":
            world.receipts.append((OTHER, 1))
        case "counts":
            world.counts[OTHER] = {P0.number: (1, 1)}
        case _:
            world.expired[OTHER] = (1, 1)
    report = world.audited()
    assert (report.proven, report.names_in_doubt) == (False, [OTHER])
    assert "name the ingress or the directory that has its spool" in report.doubts[OTHER]


def test_a_count_above_the_number_of_sequences_is_doubled() -> None:
    """If first sequences have expired, the count may be higher by at most their number."""
    assert (
        AuditedWorld(counts={ORIGIN: {P0.number: (4, 10)}}, messages=4).audited().doubled_at_least
    )
    gone = AuditedWorld(
        topic=[a_callback(3)],
        archive=[a_callback(3)],
        receipts=[(ORIGIN, 3)],
        log_start=2,
        expired={ORIGIN: (1, 2)},
    )
    assert gone.audited().proven
    gone.counts = {ORIGIN: {P0.number: (4, 10)}}
    assert gone.audited().origins[0].sinks[COUNTS].doubled == 1
    gone.counts, gone.messages = {ORIGIN: {P0.number: (3, 6)}}, 4
    assert gone.audited().doubled_at_least == 1
    # The bound does not rise for a partition without expired sequences.
    gone.counts, gone.messages = {ORIGIN: {P0.number: (3, 6), P1.number: (1, 1)}}, 3
    assert gone.audited().origins[0].sinks[COUNTS].doubled == 1


def test_callbacks_that_kafka_lost_after_they_were_counted_are_not_doubled() -> None:
    """A broker without its last records was elected; the archive had not read them yet."""
    kept = [a_callback(1)]
    world = AuditedWorld(topic=kept, archive=kept, receipts=[(ORIGIN, 1)])
    report = world.audited()
    sinks = report.origins[0].sinks
    assert (sinks[COUNTS].missing, sinks[COUNTS].doubled) == (0, 0)
    assert [sinks[sink].missing for sink in (KAFKA, ARCHIVE, POSTGRES)] == [2, 2, 2]
    assert (report.missing_at_least, report.doubled_at_least) == (6, 0)


def test_a_dead_letter_that_expired_is_missing() -> None:
    """This holds for dead letters of the ingress and of consumers; the topic keeps them 30 days."""
    world = AuditedWorld(
        topic=[a_callback(n) for n in (1, 3)], archive=[a_callback(n) for n in (1, 3)]
    )
    world.receipts.remove((ORIGIN, 2))
    world.counts, world.messages = {ORIGIN: {P0.number: (2, 4)}}, 2
    world.dead.append((a_callback(2), {}))
    assert world.audited().proven
    world.dead.clear()
    assert world.audited().origins[0].sinks[KAFKA].missing_listed == [2]
    world = AuditedWorld(receipts=[(ORIGIN, 1), (ORIGIN, 3)])
    world.dead.append((a_callback(2), {GROUP: b"sync"}))
    assert (world.audited().missing_at_least, world.audited().dead_lettered) == (0, 1)
    world.dead.clear()
    assert world.audited().origins[0].sinks[POSTGRES].missing_listed == [2]


def test_a_dead_letter_replaces_only_the_copy_of_its_own_sink_and_is_never_proven() -> None:
    """It counts neither for another consumer nor for the ingress."""
    for group, faults in (("sync", (0, 1)), ("archive", (1, 0)), ("billing", (1, 0))):
        world = AuditedWorld(receipts=[(ORIGIN, 1), (ORIGIN, 3)])
        world.dead.append((a_callback(2), {GROUP: group.encode()}))
        report = world.audited()
        held = report.origins[0].sinks[POSTGRES]
        assert (held.missing, held.dead_lettered) == faults, group
        assert not report.proven
    # Another tool's dead letter of a record of the topic is not one of the ingress.
    world = AuditedWorld(
        topic=[a_callback(1), a_callback(3)], archive=[a_callback(1), a_callback(3)]
    )
    world.receipts.remove((ORIGIN, 2))
    world.dead.append((a_callback(2), {CONNECT + "offset": b"7"}))
    report = world.audited()
    assert report.origins[0].sinks[KAFKA].missing_listed == [2]


@pytest.mark.parametrize("count", range(4))
@pytest.mark.parametrize("dead", [(), (1,), (2,), (3,), (1, 2), (1, 3), (2, 3), (1, 2, 3)])
def test_a_dead_letter_is_only_a_dead_letter_if_the_counts_do_not_have_it(
    dead: tuple[int, ...], count: int
) -> None:
    """Counters that are killed after they sent dead letters may count the later ones of them."""
    for skipped in range(len(dead) + 1):
        counted = [n for n in (1, 2, 3) if n not in dead[:skipped]][:count]
        counts = {ORIGIN: {P0.number: (len(counted), sum(counted))}}
        world = AuditedWorld(counts=counts, messages=3)
        world.dead = [(a_callback(n), {GROUP: b"counters"}) for n in dead]
        counts_report = world.audited().origins[0].sinks[COUNTS]
        only_dead = [n for n in dead if n not in counted]
        assert (counts_report.dead_lettered_listed, counts_report.doubled) == (only_dead, 0)
        assert counts_report.missing_listed == [n for n in (1, 2, 3) if n not in (*counted, *dead)]
        assert world.audited().proven is (len(counted) == 3)
        world.counts = {ORIGIN: {P0.number: (len(counted), sum(counted) + 50)}}
        assert world.audited().has_faults


def test_a_callback_that_kafka_refused_is_never_proven() -> None:
    """It was answered OK and is in no sink. A malformed callback was answered FAIL."""
    for stage, dead_lettered in ((b"KAFKA_PRODUCE", [2]), (b"VALUE_CONVERTER", [])):
        both = [a_callback(1), a_callback(3)]
        world = AuditedWorld(
            topic=both, archive=both, messages=2, counts={ORIGIN: {P0.number: (2, 4)}}
        )
        world.receipts.remove((ORIGIN, 2))
        world.dead.append((a_callback(2), {STAGE: stage}))
        report = world.audited()
        assert report.origins[0].sinks[KAFKA].dead_lettered_listed == dead_lettered
        assert (report.has_faults, report.dead_lettered) == (False, len(dead_lettered))
        assert report.proven is (not dead_lettered)


def test_the_archive_is_evidence_only_below_the_topics_first_offset() -> None:
    """A topic that was emptied, truncated or recreated lacks callbacks that are archived."""
    assert AuditedWorld(topic=[a_callback(3)], log_start=2).audited().proven
    for topic, log_start in (([], 0), ([1, 2], 0), ([3], 1), ([], 2)):
        report = AuditedWorld(topic=[a_callback(n) for n in topic], log_start=log_start).audited()
        assert report.origins[0].sinks[KAFKA].missing > 0
    # Retention has deleted all records, which are in the archive.
    assert AuditedWorld(topic=[], log_start=3).audited().proven


def test_an_empty_topic_lacks_all_callbacks_of_the_spool() -> None:
    """The empty archive, database and counts lack them, too."""
    world = AuditedWorld(topic=[], archive=[], receipts=[], counts={}, messages=0)
    assert world.audited().missing_at_least == 4 * 3
    world.stored = 0
    assert world.audited().proven


def test_one_sequence_with_two_contents_is_named() -> None:
    """The second content is in the topic, the archive or the dead letters, or has another id."""
    other = a_callback(2, text="other")
    renamed = headers(a_callback(2)) | {"ce_id": b"another"}
    for world in (
        AuditedWorld(archive=[a_callback(1), other, a_callback(3)]),
        AuditedWorld(
            archive=[
                a_callback(1),
                a_callback(2)._replace(headers=tuple(renamed.items())),
                a_callback(3),
            ]
        ),
        AuditedWorld(dead=[(other, {GROUP: b"billing"})]),
        AuditedWorld(topic=[*(a_callback(n) for n in (1, 2, 3)), other]),
    ):
        report = world.audited()
        assert report.different >= 1
        assert "different content under one sequence" in shown(report)


def test_one_id_with_two_contents_is_named() -> None:
    """One record is in the topic, the other below its first offset in the archive."""
    same_id = headers(a_callback(2)) | {"ce_id": headers(a_callback(1))["ce_id"]}
    second = a_callback(2)._replace(headers=tuple(same_id.items()))
    for world in (
        AuditedWorld(topic=[a_callback(1), second, a_callback(3)], archive=[a_callback(1), second]),
        AuditedWorld(
            topic=[a_callback(3)], archive=[a_callback(1), second, a_callback(3)], log_start=2
        ),
    ):
        report = world.audited()
        assert report.different == 1
        assert "different callbacks under one id" in shown(report)
        (listed,) = report.different_listed
        assert (listed.first.sequence, listed.second.sequence) == (1, 2)


def test_a_row_with_another_body_or_receipt_with_another_id_is_named() -> None:
    """The database has the digest of every body that was synced."""
    assert AuditedWorld(rows_of=a_callback).audited().proven
    other = AuditedWorld(
        rows_of=lambda n: a_callback(n)._replace(value=b"{}") if n == 2 else a_callback(n)
    )
    report = other.audited()
    assert (report.different, report.missing_at_least) == (1, 0)
    assert "sequence 2 (PostgreSQL)" in shown(report)
    stranger = AuditedWorld(rows_of=lambda n: a_callback(9 if n == 2 else n))
    assert stranger.audited().different == 1
    swapped = AuditedWorld(rows_of=lambda n: a_callback({1: 2, 2: 1}.get(n, n)))
    assert swapped.audited().different == 2


def test_the_row_of_a_repeated_message_has_the_body_of_one_of_its_places() -> None:
    """It does not matter which; the body of no place is a fault."""
    bodies = [
        a_body(MsgKey=f"{ORIGIN}-1", CloudCustomData="", **fields)
        for fields in ({}, {"UnreadMsgNum": 3}, {"UnreadMsgNum": 4})
    ]
    records = [a_stored_record(at, body, origin=ORIGIN) for at, body in enumerate(bodies)]
    for row, different in ((bodies[0], 0), (bodies[2], 0), (b"{}", 1)):

        def row_of(sequence: int, row: bytes = row) -> Record:
            return records[sequence - 1]._replace(value=row)

        world = AuditedWorld(topic=records, archive=records, messages=1, rows_of=row_of)
        assert world.audited().different == different


@pytest.mark.parametrize("fields", [{}, {"UnreadMsgNum": 3}])
def test_a_repeated_message_is_not_a_difference(fields: dict[str, int]) -> None:
    """Also with other bytes in a field that the sender may fill in again (decision 0018)."""
    again = a_stored_record(
        1, a_body(MsgKey=f"{ORIGIN}-1", CloudCustomData="", **fields), origin=ORIGIN
    )
    world = AuditedWorld(
        topic=[a_callback(1), again, a_callback(3)],
        archive=[a_callback(1), again, a_callback(3)],
        messages=2,
    )
    assert (world.audited().proven, world.audited().repeats) == (True, 1)


@pytest.mark.parametrize("place", ["topic", "archive", "receipts", "dead"])
def test_a_sequence_above_its_spools_end_is_incomplete(place: str) -> None:
    """The spool was restored from an older copy, so its end is lost."""
    for sequence in (4, 10**12):
        world = AuditedWorld()
        match place:
            case "topic":
                world.topic.append(a_callback(sequence))
            case "archive":
                world.archive.append(a_callback(sequence))
            case "receipts":
                world.receipts.append((ORIGIN, sequence))
            case _:
                world.dead.append((a_callback(sequence), {}))
        report = world.audited()
        assert report.names_in_doubt == [ORIGIN]
        assert "restored from an older copy" in report.doubts[ORIGIN]
        assert not report.proven
    # It arrived during the audit.
    world = AuditedWorld(later=4)
    world.topic.append(a_callback(4))
    assert world.audited().proven


def test_sequence_zero_proves_nothing() -> None:
    """Sequences begin at 1."""
    world = AuditedWorld(receipts=[(ORIGIN, 0), (ORIGIN, 1), (ORIGIN, 3)])
    world.topic.append(a_stored_record(-1, origin=ORIGIN))
    report = world.audited()
    assert report.origins[0].sinks[POSTGRES].missing_listed == [2]
    assert report.origins[0].sinks[POSTGRES].sequences == 2
    assert report.origins[0].sinks[KAFKA].sequences == 3


def test_two_bodies_of_one_id_in_the_ledger_must_both_be_stored() -> None:
    """Both were answered OK: the second does not replace the first."""

    def ledger_entry(record: Record) -> LedgerEntry:
        return LedgerEntry(
            id=dict(record.headers)["ce_id"].decode(),
            sdkappid="1",
            command="X",
            sha256=hashlib.sha256(record.value).hexdigest(),
            outcome=Outcome.OK,
            status=200,
            latency_ms=1,
        )

    both = [ledger_entry(a_callback(1)), ledger_entry(a_callback(1, text="other"))]
    for ledger in (both, both[::-1]):
        report = AuditedWorld(ledger=ledger).audited(audits_postgres=False)
        assert report.ledger is not None
        assert (report.ledger.ok, report.ledger.missing) == (2, {KAFKA: 1, ARCHIVE: 1})


def test_a_ledger_without_ids_is_refused(tmp_path: Path) -> None:
    """All of its entries would count as one."""
    path = tmp_path / "ledger.jsonl"
    entry = LedgerEntry(
        id="", sdkappid="1", command="X", sha256="", outcome=Outcome.OK, status=200, latency_ms=1
    )
    with path.open("wb") as file:
        write(file, entry)
    with pytest.raises(NoLedger, match="line 1: the entry has no id"):
        list(read(path))


async def test_a_directory_without_spools_proves_nothing(tmp_path: Path) -> None:
    """The directory is probably the wrong one."""
    with pytest.raises(NoSpools, match="has no spools"):
        await read_ends([], tmp_path)


def test_rows_in_quarantine_are_named() -> None:
    """In addition to the fact that they are missing."""
    ends = SpoolEnds(by_spool={ORIGIN: {ORIGIN: 1}}, quarantined={ORIGIN: (1,)})
    report = Tally(ends, [], audits_postgres=False, audits_counts=False).report()
    assert report.missing_at_least == 2
    assert "1 row in quarantine" in shown(report)
