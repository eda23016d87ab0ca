"""An audit says "proven" only if the end of every known origin comes from its spool."""

import itertools
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from support.builders import P0, a_body, a_stored_record

from ingress.spool import directory as directory_module
from ingress.spool.directory import hold_any
from ingress.spool.disk import DiskFailed, LimitReached
from ops.audit.ends_reader import read_ends
from ops.audit.http_json import NoJsonAnswer, get_json
from ops.audit.report import Report
from ops.audit.spool_ends import ReportedSpools, SpoolEnds, combine
from ops.audit.tally import Tally
from schemas.former_names import status_of
from schemas.ingress_status import SpoolSummary
from schemas.url_text import public_url

N = 3
UP, STOPPED, DEAD, UNREACHABLE = "up", "stopped", "dead", "unreachable"
STATES = (UP, STOPPED, DEAD, UNREACHABLE)
REPLICAS = "abc"


def spool_of(replica: str) -> str:
    """Return the name, and origin, of a replica's spool."""
    return replica * 16


def a_spool(replica: str, last_sequence: int | None = N, **fields: object) -> SpoolSummary:
    """Return a replica's spool as a process reports it."""
    name = spool_of(replica)
    origin = None if last_sequence is None else name
    spool = SpoolSummary(name=name, origin=origin, last_sequence=last_sequence)
    return msgspec.structs.replace(spool, **fields)


def a_status(replica: str, *others: SpoolSummary, last_sequence: int = N) -> ReportedSpools:
    """Return the status of a replica: its own spool, and others."""
    own = a_spool(replica, last_sequence)
    return ReportedSpools(
        instance=replica,
        origin=own.name,
        last_sequence=last_sequence,
        spools=(own, *others),
    )


def answers(states: dict[str, str], named: Iterable[str], *, directory: bool = False) -> SpoolEnds:
    """Return the ends when replicas in these states are asked at the `named` addresses."""
    seen = {other: a_spool(other, N if states[other] == DEAD else None) for other in REPLICAS}
    statuses, failed = {}, {}
    for replica in named:
        if states[replica] == UP:
            others = [seen[other] for other in REPLICAS if other != replica]
            statuses[replica] = a_status(replica, *others)
        else:
            failed[replica] = "it does not answer"
    return combine(statuses, failed, seen.values() if directory else ())


def audited(*asked: SpoolEnds, stored: int = N, spools: str = REPLICAS) -> Report:
    """Return the report where Kafka and the archive have `stored` callbacks of each spool."""
    completed = asked[0]
    for later in asked[1:]:
        completed = completed.completed_by(later)
    tally = Tally(completed, [], audits_postgres=False, audits_counts=False)
    tally.note_log_starts({})
    for replica, sequence in itertools.product(spools, range(1, stored + 1)):
        record = a_stored_record(
            sequence - 1, a_body(MsgKey=f"{replica}-{sequence}"), origin=spool_of(replica)
        )
        tally.add_record(P0.number, record.offset, record.headers, record.value)
        tally.origins.evidence(spool_of(replica)).archive.add(sequence)
    tally.origins.replace_ends(completed, asked[-1])
    return tally.report()


def test_every_combination_of_three_replicas_is_proven_only_if_every_end_is_known() -> None:
    """The audit is given all addresses, those of the replicas that are up, or the directory."""
    cases = proven = 0
    for combination in itertools.product(STATES, repeat=3):
        states = dict(zip(REPLICAS, combination, strict=True))
        up = [replica for replica in REPLICAS if states[replica] == UP]
        silent = {spool_of(r) for r in REPLICAS if states[r] in (STOPPED, UNREACHABLE)}
        failing = {replica for replica in REPLICAS if states[replica] != UP}
        dead = {spool_of(replica) for replica in REPLICAS if states[replica] == DEAD}
        held = {spool_of(replica) for replica in REPLICAS if states[replica] != DEAD}
        questions = [
            # If no replica is up, none lists the spools; but Kafka has the origins.
            (answers(states, REPLICAS), failing | (silent if up else silent | dead)),
            (answers(states, (), directory=True), held),
            (answers(states, up, directory=True), silent),
        ]
        if up:
            questions.append((answers(states, up), silent))
        for asked, doubted in questions:
            report = audited(asked)
            assert set(report.names_in_doubt) == doubted, (combination, report.doubts)
            assert report.proven is not bool(doubted)
            assert (report.missing_at_least, report.doubled_at_least) == (0, 0)
            cases += 1
            proven += report.proven
    print(f"{cases} questions in {4**3} combinations, {proven} of them proven")  # noqa: T201
    assert (cases, proven) == (64 * 3 + 37, 1 + 1 + 8 + 7)


def test_a_doubt_says_what_to_do() -> None:
    """It names the spool or the address."""
    doubts = answers(dict.fromkeys(REPLICAS, STOPPED) | {"a": UP}, "ab").doubts
    assert set(doubts) == {spool_of("b"), spool_of("c"), "b"}
    assert "--ingress" in doubts[spool_of("c")]


def test_rows_in_quarantine_are_those_of_all_answers() -> None:
    """A replica may have read the spool before another row went into quarantine."""
    newer = a_status("a", a_spool("c", quarantined=(1, 2)))
    older = a_status("b", a_spool("c", quarantined=(1,)))
    for statuses in ({"a": newer, "b": older}, {"b": older, "a": newer}):
        assert combine(statuses, {}).quarantined == {spool_of("c"): (1, 2)}


def test_a_spool_that_is_listed_without_an_end_is_never_forgotten() -> None:
    """Neither another replica's answer nor the order of the answers hides it."""
    knows = {"a": a_status("a", a_spool("b"))}
    does_not = {"a": a_status("a", a_spool("b", None))}
    assert combine(knows, {}).last_sequences == {spool_of("a"): N, spool_of("b"): N}
    assert combine(does_not, {}).last_sequences == {spool_of("a"): N, spool_of("b"): None}
    both = {"a": a_status("a", a_spool("b", None)), "c": a_status("c", a_spool("b"))}
    for order in (both, dict(reversed(both.items()))):
        assert combine(order, {}).last_sequences[spool_of("b")] == N


def test_an_earlier_release_reports_the_name_of_an_unknown_spool_as_its_origin() -> None:
    """An upgrade has ingresses of both releases: the ends are the same for both."""

    def asked(origin: str | None) -> SpoolEnds:
        unknown = {"name": spool_of("b"), "origin": origin, "last_sequence": None, "fault": ""}
        content = msgspec.to_builtins(a_status("a"))
        content["spools"] = [*content["spools"], unknown]
        return combine({"a": status_of(content, ReportedSpools)}, {})

    assert asked(None) == asked(spool_of("b"))
    assert asked(None).last_sequences == {spool_of("a"): N, spool_of("b"): None}
    assert set(asked(None).highest_reported) == {spool_of("a")}


def test_the_report_of_the_process_that_holds_a_spool_counts() -> None:
    """Another process looked before the spool was taken: its end or its origin is old."""
    statuses = {"a": a_status("a", a_spool("b", 1)), "b": a_status("b", last_sequence=7)}
    assert combine(statuses, {}).last_sequences[spool_of("b")] == 7
    restored = ReportedSpools(
        instance="b",
        origin="new",
        last_sequence=2,
        spools=(a_spool("b", 2, origin="new"),),
    )
    assert combine({"a": a_status("a", a_spool("b", 5)), "b": restored}, {}).last_sequences == {
        spool_of("a"): N,
        "new": 2,
    }


def test_one_process_at_two_addresses_is_one_holder() -> None:
    """Two processes with spools of one name have copies of a directory: the end is unknown."""
    one = a_status("a")
    assert combine({"here": one, "there": one}, {}).doubts == {}
    copy = ReportedSpools(
        instance="x", origin=one.origin, last_sequence=9, spools=(a_spool("a", 9),)
    )
    doubts = combine({"here": one, "there": copy}, {}).doubts
    assert set(doubts) == {spool_of("a")}
    assert "copy" in doubts[spool_of("a")]


def test_a_spool_whose_file_was_renamed_is_incomplete() -> None:
    """This holds even if its end was known before."""
    corrupt = a_spool("b", None, fault="its file was corrupt and was renamed to b.corrupt-1")
    for others in ((corrupt,), (a_spool("b"), corrupt)):
        report = audited(combine({"a": a_status("a", *others)}, {}), spools="ab")
        assert report.names_in_doubt == [spool_of("b")]
        assert "renamed to" in report.doubts[spool_of("b")]


@pytest.mark.parametrize("failure", [DiskFailed, LimitReached])
async def test_a_spool_that_cannot_be_read_now_is_complete_once_it_can(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    failure: type[Exception],
) -> None:
    """Its callbacks are not lost, so nobody is asked to count them as lost."""
    spool = hold_any(tmp_path, bytes_max=1 << 20)
    spool.close()

    def fails(*_: object) -> None:
        raise failure("injected by the test")

    with monkeypatch.context() as patched:
        patched.setattr(directory_module, "open_unheld", fails)
        before = await read_ends([], tmp_path)
    assert (list(before.unknown), before.never_known) == ([spool.name], {})
    assert "as lost" not in before.unknown[spool.name]
    assert f"spool {spool.name} cannot be read now: injected by the test" in caplog.text
    completed = before.completed_by(await read_ends([], tmp_path))
    assert (completed.last_sequences, completed.doubts) == ({spool.origin: 0}, {})


def test_a_known_end_stays_known_and_a_new_spool_needs_one() -> None:
    """A replica stops, is replaced or stores more between the two questions."""
    before = combine({"a": a_status("a", a_spool("b", None)), "b": a_status("b")}, {})
    stopped = combine({"a": a_status("a", a_spool("b", None))}, {"b": "it does not answer"})
    report = audited(before, stopped, spools="ab")
    assert report.proven
    # There are callbacks above the known ends, so later ones may be missing.
    assert audited(before, stopped, stored=N + 1, spools="ab").names_in_doubt == [
        spool_of("a"),
        spool_of("b"),
    ]
    moved = combine({"a": a_status("a", last_sequence=5), "b": a_status("b", last_sequence=4)}, {})
    assert before.completed_by(moved).by_spool == before.by_spool
    assert audited(before, moved, stored=N + 1, spools="ab").proven
    replaced = combine({"a": a_status("a", a_spool("b"), a_spool("c", None))}, {"c": "refused"})
    assert audited(before, replaced, spools="ab").names_in_doubt == ["c", spool_of("c")]
    # One that did not answer first and does now makes the audit begin again, with all of its rows.
    assert stopped.completed_by(moved).last_sequences == {spool_of("a"): N, spool_of("b"): 4}
    assert stopped.completed_by(moved).doubts == {}


def test_an_address_that_never_answered_is_not_forgiven_when_its_name_drops_it() -> None:
    """Its ingress may have had a directory of its own, of which nothing has reached Kafka."""
    before = combine({"a": a_status("a")}, {"b": "it does not answer"})
    later = combine({"a": a_status("a")}, {})
    report = audited(before, later, later, spools="a")
    assert (report.names_in_doubt, report.proven) == (["b"], False)
    assert audited(
        before, combine({"a": a_status("a"), "b": a_status("b")}, {}), spools="ab"
    ).proven
    # A name that had no address has some now, and they are asked.
    unresolved = combine({}, {"http://ingress": "the name cannot be resolved"})
    resolved = replace(later, resolved=frozenset({"http://ingress"}))
    assert unresolved.completed_by(resolved).doubts == {}


def test_an_ingress_that_does_not_know_its_own_end_is_named() -> None:
    """Without an end nothing could be missing, so everything would be proven."""
    for spools in ((), (a_spool("a", None),)):
        status = msgspec.structs.replace(a_status("a"), spools=spools)
        assert audited(combine({"a": status}, {}), stored=0, spools="").names_in_doubt[0] == "a"
    # If it is asked again, it may know its end.
    nothing = combine({"a": msgspec.structs.replace(a_status("a"), spools=())}, {})
    assert nothing.completed_by(combine({"a": a_status("a")}, {})).doubts == {}


@pytest.mark.parametrize(
    "url",
    [
        "http://nowhere.invalid:8081",
        "http://127.0.0.1:9",
        "http://localhost:99999",
        "http://[::1",
        "http://a..b",
        f"http://{'a' * 70}.invalid",
    ],
)
async def test_an_address_that_fails_is_named(url: str) -> None:
    """A name that cannot be resolved, a port without a listener, a malformed address."""
    with pytest.raises(NoJsonAnswer):
        await get_json(f"{url}/status", timeout_s=3)
    ends = await read_ends([url], None)
    assert (list(ends.doubts), ends.last_sequences) == ([public_url(url)], {})
