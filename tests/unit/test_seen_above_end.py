"""
A sequence above the end of its spool is noticed wherever it is named, also if nothing else is left.

The spool was restored from an older copy: its real end, and callbacks up to it, may be lost.
"""

from datetime import timedelta
from pathlib import Path

import pytest
from support.archive.archives import FIRST, WrittenArchive, numbered
from support.audited_world import ORIGIN, OTHER, AuditedWorld, a_callback
from support.builders import P0, a_stored_record

from consumers.archive import new_segment
from consumers.runtime.batch import Position, Record
from consumers.webhook.callback_filter import CallbackFilter
from consumers.webhook.retry_record import Change, ParkedCallback, TargetBegin
from ops.audit.archive_reader import ArchiveReader
from ops.audit.count_faults import least_highest
from ops.audit.report import COUNTS, Report
from ops.audit.since import Since
from ops.audit.spool_ends import ReportedSpools, SpoolEnds, combine
from ops.audit.tally import Tally
from ops.audit.webhook_log import LoggedDelivery, LogReader
from ops.audit.webhook_state import TargetState
from schemas.dead_letter import CONNECT, GROUP
from schemas.dead_letter_actions import Action, ActionResult, Letter
from schemas.ingress_status import SpoolSummary

SINCE = Since(FIRST + timedelta(hours=5))


def ends(last_sequence: int, *, since: Since | None = None, first: int = 1) -> SpoolEnds:
    """Return the end of the spool of ORIGIN; with `since`, its first sequence."""
    return SpoolEnds(
        by_spool={ORIGIN: {ORIGIN: last_sequence}},
        since=since,
        first_sequences={ORIGIN: first} if since else {},
    )


def a_tally(spool_ends: SpoolEnds, **webhooks: CallbackFilter) -> Tally:
    """Return a tally of Kafka and the archive."""
    return Tally(
        spool_ends, [], audits_postgres=False, audits_counts=False, webhooks=webhooks or {}
    )


def is_doubted(report: Report) -> bool:
    """Return whether the end of ORIGIN is in doubt, and nothing else is wrong."""
    assert (report.has_faults, report.proven) == (False, not report.doubts), report
    assert report.names_in_doubt in ([], [ORIGIN])
    return "restored from an older copy" in report.doubts.get(ORIGIN, "")


@pytest.mark.parametrize("audits_all", [False, True])
def test_a_note_of_expired_segments_names_a_higher_sequence(*, audits_all: bool) -> None:
    """Kafka and the archive have nothing of the origin any more; the counts have all of it."""

    def world(*, stored: int = 3, later: int | None = None) -> AuditedWorld:
        return AuditedWorld(
            stored=stored,
            later=later,
            topic=[],
            archive=[],
            receipts=[],
            log_start=5,
            expired={ORIGIN: (1, 5)},
            counts={ORIGIN: {P0.number: (5, 15)}},
            messages=5,
        )

    def report(audited: AuditedWorld) -> Report:
        return audited.audited(audits_postgres=audits_all, audits_counts=audits_all)

    assert report(world(stored=5)).proven
    # They came after the first answer of the spools, and expired before the archive was read.
    assert report(world(later=5)).proven
    restored = report(world())
    assert is_doubted(restored)
    assert restored.origins[0].expired == 3
    if audits_all:
        assert restored.origins[0].sinks[COUNTS].sequences == 5


def test_a_note_of_foreign_records_names_nothing() -> None:
    """No ingress wrote them: their sequence is 0."""
    world = AuditedWorld(expired={"": (0, 0), OTHER: (0, 0)})
    assert world.audited().proven


@pytest.mark.parametrize(
    "headers",
    [{}, {GROUP: b"sync"}, {GROUP: b"billing"}, {GROUP: b"webhook-x"}, {CONNECT + "offset": b"7"}],
)
def test_a_dead_letter_names_a_higher_sequence(headers: dict[str, bytes]) -> None:
    """Also that of a sink that is not audited, and that of another team or tool."""
    world = AuditedWorld(dead=[(a_callback(4), headers)])
    assert world.audited().names_in_doubt == [ORIGIN]
    assert world.audited(audits_postgres=False).names_in_doubt == [ORIGIN]
    world.later = 4
    assert world.audited().names_in_doubt == []


@pytest.mark.parametrize("result", ActionResult)
@pytest.mark.parametrize("consumer", ["ingress", "sync", "billing"])
def test_an_action_on_a_dead_letter_names_a_higher_sequence(
    result: ActionResult, consumer: str
) -> None:
    """Whatever it is, and whether its dead letter is still there or not."""
    letters = [Letter(0, 7, ORIGIN, 4)]
    action = Action(
        at_ms=1, by="x", consumer=consumer, result=result, reason="", topic_id="", letters=letters
    )
    assert is_doubted(AuditedWorld(actions=[action]).audited())
    assert not is_doubted(AuditedWorld(actions=[action], later=4).audited())


@pytest.mark.parametrize(("count", "applied_sum", "is_above"), [(3, 6, False), (3, 7, True)])
def test_number_and_sum_of_the_counts_name_a_higher_sequence(
    count: int, applied_sum: int, *, is_above: bool
) -> None:
    """Where sequences have expired, the sum is compared with nothing else."""
    world = AuditedWorld(
        topic=[a_callback(3)],
        archive=[a_callback(3)],
        receipts=[(ORIGIN, 3)],
        log_start=2,
        expired={ORIGIN: (1, 2)},
        counts={ORIGIN: {P0.number: (count, applied_sum)}},
    )
    report = world.audited()
    assert is_doubted(report) is is_above
    if is_above:
        assert "the counts have sequence 4 or a higher one" in report.doubts[ORIGIN]
    world.later = 4
    assert world.audited().proven


def test_the_least_highest_sequence_is_that_of_consecutive_ones() -> None:
    """Of some different sequences with a sum, the highest one cannot be lower."""
    for first in range(1, 5):
        for count in range(1, 5):
            consecutive = sum(range(first, first + count))
            assert least_highest(count, consecutive) == first + count - 1
            assert least_highest(count, consecutive + 1) == first + count
    assert least_highest(0, 0) == 0


async def expired_archive(directory: Path, *following: Record) -> WrittenArchive:
    """Return an archive whose sequences 1 to 4 of ORIGIN have expired; `following` are left."""
    written = WrittenArchive(directory)
    (name,) = await written.fill(1)
    expired = await written.store.summary(name)
    await written.store.create(*new_segment.moved_beginning([expired]))
    written.path(name).unlink()
    for record in following:
        await written.append(record)
    return written


@pytest.mark.parametrize("since", [None, SINCE])
@pytest.mark.parametrize(("last_sequence", "is_above"), [(4, False), (3, True)])
async def test_the_beginning_of_a_chain_names_a_higher_sequence(
    tmp_path: Path, since: Since | None, last_sequence: int, *, is_above: bool
) -> None:
    """Also with --since, if the origin has stored nothing since then."""
    written = await expired_archive(tmp_path / "archive")
    tally = a_tally(ends(last_sequence, since=since, first=last_sequence + 1))
    await ArchiveReader(written.store, since).read(tally)
    tally.note_log_starts({P0.number: 5})
    assert is_doubted(tally.report()) is is_above


async def test_with_since_a_chain_may_begin_with_origins_without_a_spool(tmp_path: Path) -> None:
    """They may have no callbacks since then; without it, their end must be known."""
    record = numbered(7, origin=OTHER)
    written = await expired_archive(tmp_path / "archive", record)
    for since, doubted in ((SINCE, []), (None, [ORIGIN, OTHER])):
        tally = a_tally(SpoolEnds(since=since))
        await ArchiveReader(written.store, since).read(tally)
        assert tally.report().names_in_doubt == doubted


async def test_a_segment_of_markers_names_a_higher_sequence(tmp_path: Path) -> None:
    """It repeats the last record before it, whose segment --since does not read."""
    written = WrittenArchive(tmp_path / "archive")
    first = await written.append(numbered(5))
    await written.append(markers=2)
    written.path(first).unlink()
    tally = a_tally(ends(3, since=Since(FIRST), first=4))
    await ArchiveReader(written.store, Since(FIRST)).read(tally)
    assert is_doubted(tally.report())


@pytest.mark.parametrize("since", [None, SINCE])
@pytest.mark.parametrize(
    "change",
    [
        TargetBegin(Position(9, (8, ORIGIN, 4))),
        Position(9, (8, ORIGIN, 4)),
        ParkedCallback(a_stored_record(3, origin=ORIGIN), 1, 0, 0, ""),
        "log",
    ],
)
def test_a_webhook_names_a_higher_sequence(since: Since | None, change: Change | str) -> None:
    """Its position, a callback that waits, or a line of the receiver's log."""
    for later, is_above in ((3, True), (4, False)):
        tally = a_tally(ends(3, since=since, first=4), crm=CallbackFilter())
        state = TargetState(begun={P0.number: Position(0)})
        if isinstance(change, str):
            line = LoggedDelivery(id="some id", origin=ORIGIN, sequence=4)
            tally.webhooks["crm"].add_delivery(line)
        else:
            state.apply(P0.number, change)
        tally.webhooks["crm"].note_state(state)
        tally.origins.replace_ends(ends(3, since=since, first=4), ends(later))
        report = tally.report({"crm": LogReader([])})
        assert ("restored from an older copy" in report.doubts.get(ORIGIN, "")) is is_above


def test_another_ingress_reports_a_higher_end() -> None:
    """It drained the spool before a process took the older copy."""

    def report(*reported: int) -> Report:
        statuses = {
            str(last): ReportedSpools(
                instance=str(last),
                origin=ORIGIN if last == reported[0] else OTHER,
                last_sequence=last,
                spools=(SpoolSummary(name=ORIGIN, origin=ORIGIN, last_sequence=last),),
            )
            for last in reported
        }
        tally = a_tally(combine(statuses, {}))
        tally.note_log_starts({})
        for record in map(a_callback, (1, 2, 3)):
            tally.add_record(P0.number, record.offset, record.headers, record.value)
            tally.origins.evidence(ORIGIN).archive.add(record.offset + 1)
        return tally.report()

    assert is_doubted(report(3, 5))
    assert not is_doubted(report(3, 2))


def test_what_was_seen_before_all_is_read_again_still_counts() -> None:
    """Retention may have deleted the record meanwhile."""
    highest_seen: dict[str, int] = {}
    for records in ([a_callback(1)], []):
        tally = Tally(
            ends(0), [], audits_postgres=False, audits_counts=False, highest_seen=highest_seen
        )
        for record in records:
            tally.add_record(P0.number, record.offset, record.headers, record.value)
        assert is_doubted(tally.report())
