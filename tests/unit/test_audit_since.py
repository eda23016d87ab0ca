"""An audit with --since proves the callbacks that were stored since then, and no others."""

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console
from support.archive.archives import FIRST, WrittenArchive
from support.audited_world import ORIGIN, a_callback, add_line, headers
from support.builders import P0
from support.reports import report_with
from support.seeded_faults import CALLBACKS_EACH, SINKS, TARGET, WEBHOOK, Seeded, every_fault, named

from consumers.archive import new_segment
from consumers.runtime.batch import Position, Record
from consumers.webhook.callback_filter import CallbackFilter
from consumers.webhook.retry_record import TargetBegin
from ops.audit.archive_reader import ArchiveReader
from ops.audit.command import audit_command
from ops.audit.output import render
from ops.audit.report import ARCHIVE, COUNTS, KAFKA, POSTGRES, OriginReport, SinkReport
from ops.audit.since import Since
from ops.audit.sources import AuditFailed
from ops.audit.spool_ends import ReportedSpools, SpoolEnds, combine
from ops.audit.tally import Tally
from ops.audit.webhook_log import LoggedDelivery, LogReader
from ops.audit.webhook_state import TargetState
from schemas.dead_letter import GROUP
from schemas.ingress_status import SpoolSummary

SINCE = Since(datetime(2026, 1, 31, 9, tzinfo=UTC))
TWICE = ("sent to Kafka twice",)
NOT_IN_KAFKA = (
    "lost between spool and Kafka",
    "lost by Kafka after every sink had it",
    "twice in the dead-letter topic of the ingress",
)
NOT_ARCHIVED = (
    "lost between spool and Kafka",
    "left out by the archive",
    "twice in the dead-letter topic of the ingress",
)
NO_RECEIPT = (
    "lost between spool and Kafka",
    "left out by sync",
    "receipt deleted",
    "row deleted",
    "rejected by sync",
    "twice in the dead-letter topic of the ingress",
)
NOT_DELIVERED = (
    "lost between spool and Kafka",
    "not delivered to the webhook",
    "twice in the dead-letter topic of the ingress",
)
DEAD_LETTERS = {"in both topics": 1, "twice in the dead-letter topic of the ingress": 2}


def a_tally(firsts: dict[str, int], last_sequence: int, *, webhook: str = TARGET) -> Tally:
    """Return an empty tally for origins with these first sequences since a time."""
    ends = SpoolEnds(
        by_spool={origin: {origin: last_sequence} for origin in firsts},
        since=SINCE,
        first_sequences=firsts,
    )
    tally = Tally(
        ends,
        [],
        audits_postgres=True,
        audits_counts=False,
        webhooks={webhook: CallbackFilter()},
    )
    state = TargetState()
    state.apply(P0.number, TargetBegin(Position(0)))
    tally.webhooks[webhook].note_state(state)
    tally.note_log_starts({P0.number: 0})
    return tally


def copies(seed: Seeded, sequence: int, absent: tuple[str, ...], twice: tuple[str, ...]) -> int:
    """Return how many copies of a callback a place has."""
    if any(seed.has(kind, sequence) for kind in absent):
        return 0
    return 2 if any(seed.has(kind, sequence) for kind in twice) else 1


def add(tally: Tally, seed: Seeded, sequence: int, offset: int) -> None:
    """Add a callback to all places, with the fault of its seed."""
    made = seed.record(sequence)
    record = Record(offset, 1, made.key, made.value, tuple(made.headers))
    for _ in range(copies(seed, sequence, NOT_IN_KAFKA, TWICE)):
        tally.add_record(P0.number, offset, record.headers, record.value)
    for _ in range(DEAD_LETTERS.get(seed.kind, 0) * (sequence == seed.sequence)):
        tally.add_dead_letter(0, offset, record.headers, record.value)
    if seed.has("rejected by sync", sequence):
        tally.add_dead_letter(0, offset, [*record.headers, (GROUP, b"sync")], record.value)
    for _ in range(copies(seed, sequence, NOT_ARCHIVED, (*TWICE, "archived twice"))):
        add_line(tally, record)
    digest, ce_id = hashlib.sha256(record.value), headers(record)["ce_id"].decode()
    if copies(seed, sequence, NO_RECEIPT, ()):
        tally.add_receipts([(seed.origin, sequence, ce_id, digest.digest())])
    if copies(seed, sequence, NOT_DELIVERED, ()):
        tally.webhooks[TARGET].add_delivery(
            LoggedDelivery(
                id=ce_id, origin=seed.origin, sequence=sequence, sha256=digest.hexdigest()
            )
        )


def test_each_fault_is_named_exactly_if_it_is_since_the_time() -> None:
    """A callback that was stored before is not judged, however late its second copy came."""
    seeds = every_fault()
    tally = a_tally({seed.origin: seed.first_sequence for seed in seeds}, CALLBACKS_EACH)
    places = [(seed, sequence) for seed in seeds for sequence in range(1, CALLBACKS_EACH + 1)]
    for offset, (seed, sequence) in enumerate(places):
        add(tally, seed, sequence, offset)
    report = tally.report({TARGET: LogReader([])})
    by_origin = {each.origin: each for each in report.origins}
    sinks = [sink for sink in SINKS if sink != COUNTS]
    for seed in seeds:
        named_faults = {sink: named(by_origin[seed.origin].sinks[sink]) for sink in sinks}
        assert named_faults == {sink: seed.expected_since(sink) for sink in sinks}, seed
        assert by_origin[seed.origin].stored == CALLBACKS_EACH + 1 - seed.first_sequence
    assert (report.different, report.foreign, report.names_in_doubt) == (0, 0, [])
    assert report.not_audited == [COUNTS]


def test_an_origin_whose_first_sequence_is_not_known_is_never_proven() -> None:
    """Also not by what Kafka and the archive have of it; nothing of it is called missing."""
    tally = Tally(
        SpoolEnds(by_spool={ORIGIN: {ORIGIN: 3}}, since=SINCE),
        [],
        audits_postgres=False,
        audits_counts=False,
    )
    record = a_callback(3)
    tally.add_record(P0.number, record.offset, record.headers, record.value)
    report = tally.report()
    assert (report.proven, report.has_faults, report.names_in_doubt) == (False, False, [ORIGIN])
    assert "name a later --since" in report.doubts[ORIGIN]


def test_an_origin_without_a_spool_is_never_proven() -> None:
    """Its callbacks since the time are not known, so none of them is compared."""
    tally = a_tally({}, 0)
    record = a_callback(3)
    tally.add_record(P0.number, record.offset, record.headers, record.value)
    report = tally.report({TARGET: LogReader([])})
    assert (report.proven, report.has_faults, report.names_in_doubt) == (False, False, [ORIGIN])


def test_the_lowest_first_sequence_counts_and_the_first_answer_stays() -> None:
    """Two processes may report a drained spool; between two answers a spool may forget hours."""
    spool = SpoolSummary(name=ORIGIN, origin=ORIGIN, last_sequence=9, first_sequence_since=4)
    other = SpoolSummary(name=ORIGIN, origin=ORIGIN, last_sequence=9, first_sequence_since=6)
    statuses = {
        address: ReportedSpools(instance=address, origin=address, last_sequence=1, spools=(each,))
        for address, each in (("a", other), ("b", spool))
    }
    ends = combine(statuses, {}, (), SINCE)
    assert ends.first_sequence(ORIGIN) == 4
    later = combine({}, {}, [SpoolSummary(name=ORIGIN, origin=ORIGIN, last_sequence=12)], SINCE)
    assert ends.completed_by(later).first_sequence(ORIGIN) == 4


def test_a_row_of_a_repeat_from_before_is_not_compared() -> None:
    """The row has the body of the first callback, which is not read."""
    tally = a_tally({ORIGIN: 3}, 3)
    record = a_callback(3)
    tally.add_record(P0.number, record.offset, record.headers, record.value)
    tally.add_receipts([(ORIGIN, 3, headers(record)["ce_id"].decode(), None)])
    report = tally.report({TARGET: LogReader([])})
    assert (report.different, report.origins[0].sinks[POSTGRES].missing) == (0, 0)


@pytest.mark.parametrize(("is_named", "missing", "doubts"), [(True, 0, 0), (False, 0, 1)])
def test_a_delivery_that_only_has_an_id_proves_nothing(
    *, is_named: bool, missing: int, doubts: int
) -> None:
    """It may be that of an earlier callback with this id."""
    tally = a_tally({ORIGIN: 3}, 3)
    record = a_callback(3)
    tally.add_record(P0.number, record.offset, record.headers, record.value)
    ce_id = headers(record)["ce_id"].decode()
    delivered = LoggedDelivery(id=ce_id)
    if is_named:
        delivered = LoggedDelivery(id=ce_id, origin=ORIGIN, sequence=3)
    tally.webhooks[TARGET].add_delivery(delivered)
    tally.webhooks[TARGET].add_delivery(LoggedDelivery(id="of a callback before"))
    report = tally.report({TARGET: LogReader([])})
    assert report.origins[0].sinks[WEBHOOK].missing == missing
    assert (len(report.doubts), report.unknown_deliveries) == (doubts, 0)


async def test_only_the_segments_of_later_hours_are_read(tmp_path: Path) -> None:
    """From an hour before on, because clocks differ."""
    written = WrittenArchive(tmp_path / "archive")
    await written.fill(5)
    tally = a_tally({ORIGIN: 1}, 20)
    reader = ArchiveReader(written.store, Since(FIRST + timedelta(hours=3)))
    for _ in range(2):
        await reader.read(tally)
    assert tally.line_count == 3 * 4


@pytest.mark.parametrize("hours", [0, 1, 2])
async def test_a_time_of_which_records_have_expired_is_refused(tmp_path: Path, hours: int) -> None:
    """Their callbacks may be since the time, and nobody can prove them any more."""
    written = WrittenArchive(tmp_path / "archive")
    names = await written.fill(2)
    expired = await written.store.summary(names[0])
    await written.store.create(*new_segment.moved_beginning([expired]))
    written.path(names[0]).unlink()
    reader = ArchiveReader(written.store, Since(FIRST + timedelta(hours=hours)))
    tally = a_tally({ORIGIN: 1}, 8)
    if hours < 2:
        with pytest.raises(AuditFailed, match="have expired from Kafka and the archive"):
            await reader.read(tally)
    else:
        await reader.read(tally)
        assert tally.line_count == 4


def test_the_result_says_since_when_and_what_is_not_audited() -> None:
    """Origins without a callback since then are counted, not listed."""
    sinks = {place: SinkReport(sequences=3) for place in (KAFKA, ARCHIVE)}
    origins = [
        OriginReport(origin=ORIGIN, last_sequence=9, first_sequence=7, sinks=sinks),
        OriginReport(
            origin="idle",
            last_sequence=9,
            first_sequence=10,
            sinks={KAFKA: SinkReport(sequences=0)},
        ),
    ]
    report = report_with(origins=origins, not_audited=[COUNTS], since=str(SINCE))
    console = Console(width=200)
    with console.capture() as capture:
        console.print(render(report))
    lines = [line.strip() for line in capture.get().splitlines()]
    assert "since 2026-01-31T09:00Z; counts: not audited with --since" in " ".join(lines)
    assert "1 origins have stored no callback since 2026-01-31T09:00Z" in lines
    assert lines[-1] == (
        "proven: every callback that was stored since 2026-01-31T09:00Z is exactly once in Kafka,"
        " archive; not audited: counts (not with --since)"
    )


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["--since", "2999-01-01"], "--since is in the future"),
        (["--since", "2026-01-31T09", "--ledger", __file__], "exclude each other"),
        (
            ["--since", "yesterday"],
            "is not a time such as 2026-01-31, 2026-01-31T09, 2026-01-31T09:05 or 2026",
        ),
    ],
)
def test_a_wrong_command_line_is_refused(arguments: list[str], fault: str, tmp_path: Path) -> None:
    """The error says what is wrong with it."""
    run = CliRunner().invoke(
        audit_command, ["--archive", str(tmp_path), "--spool", str(tmp_path), *arguments]
    )
    assert (run.exit_code, fault in " ".join(run.output.split())) == (2, True), run.output
