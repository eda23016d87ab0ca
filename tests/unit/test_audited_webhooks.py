"""A webhook's target has every callback, or the audit names what is wrong or not known."""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

import click
import pytest
from rich.console import Console
from support.audited_world import ORIGIN, a_callback, add_line, headers
from support.builders import P0, a_body, a_stored_record

from consumers.runtime.batch import Position, Record
from consumers.webhook.callback_filter import CallbackFilter
from consumers.webhook.retry_record import Change, FinishedCallback, ParkedCallback, TargetBegin
from ops.audit import output
from ops.audit.report import Report
from ops.audit.sources import AuditFailed, ReadAgain
from ops.audit.spool_ends import SpoolEnds
from ops.audit.tally import Tally
from ops.audit.webhook_log import LoggedDelivery, LogReader
from ops.audit.webhook_options import webhook_sources
from ops.audit.webhook_state import TargetState
from ops.failure import ExitCode
from ops.webhook import sample
from schemas.dead_letter import GROUP

TITLE = "webhook crm"
Line = Callable[[Record], bytes]


def whole(record: Record) -> bytes:
    """Return the line of a receiver that notes everything."""
    named = headers(record)
    return json.dumps(
        {
            "id": named["ce_id"].decode(),
            "origin": named["ce_origin"].decode(),
            "sequence": int(named["ce_sequence"]),
            "sha256": hashlib.sha256(record.value).hexdigest(),
        }
    ).encode()


def id_alone(record: Record) -> bytes:
    """Return the line of a receiver that notes the id alone."""
    return headers(record)["ce_id"]


def with_body(record: Record) -> bytes:
    """Return the line of a receiver that notes the id and the body."""
    digest = hashlib.sha256(record.value).hexdigest()
    return json.dumps({"id": headers(record)["ce_id"].decode(), "sha256": digest}).encode()


LINES = pytest.mark.parametrize("line", [whole, id_alone, with_body])


@dataclass(kw_only=True)
class Audited:
    """Three callbacks, all delivered to `crm`; the tests break it."""

    file: Path
    topic: list[Record] = field(default_factory=lambda: [a_callback(n) for n in (1, 2, 3)])
    archive: list[Record] = field(default_factory=lambda: [a_callback(n) for n in (1, 2, 3)])
    dead: list[tuple[Record, bytes]] = field(default_factory=list)
    changes: list[Change] = field(
        default_factory=lambda: [TargetBegin(Position(0)), Position(3, (2, ORIGIN, 3))]
    )
    log_start: int = 0
    topic_id: str | None = None
    expired: dict[str, tuple[int, int]] = field(default_factory=dict)
    callback_filter: CallbackFilter = field(default_factory=CallbackFilter)

    async def report(self, lines: Iterable[bytes]) -> Report:
        """Return the report with these lines in the log."""
        self.file.write_bytes(b"".join(line + b"\n" for line in lines))
        return await self.report_of_file()

    async def report_of_file(self) -> Report:
        """Return the report with the log as it is."""
        highest = max(int(headers(each)["ce_sequence"]) for each in (*self.topic, *self.archive))
        ends = SpoolEnds(by_spool={"spool": {ORIGIN: highest}})
        tally = Tally(
            ends,
            [],
            audits_postgres=False,
            audits_counts=False,
            webhooks={"crm": self.callback_filter},
        )
        check, log = tally.webhooks["crm"], LogReader([self.file])
        state = TargetState(topic_id=self.topic_id)
        for change in self.changes:
            state.apply(P0.number, change)
        check.note_state(state)
        log.note_ends()
        tally.note_log_starts({P0.number: self.log_start})
        for record in self.topic:
            tally.add_record(P0.number, record.offset, record.headers, record.value)
        for record, group in self.dead:
            both = [*record.headers, (GROUP, group)]
            tally.add_dead_letter(0, record.offset, both, record.value)
        if self.expired:
            tally.note_expired(P0.number, self.expired, last_timestamp_ms=0)
        for record in self.archive:
            add_line(tally, record)
        await log.read(check.add_delivery)
        tally.origins.replace_ends(ends, ends)
        return tally.report({"crm": log})


@pytest.fixture
def audited(tmp_path: Path) -> Audited:
    """Yield three callbacks that the target has."""
    return Audited(file=tmp_path / "received")


def shown(report: Report) -> str:
    """Return a report as it is printed, in one line."""
    console = Console(width=2000)
    with console.capture() as captured:
        console.print(output.render(report))
    return " ".join(captured.get().split())


@LINES
async def test_callbacks_that_the_target_has_are_proven(audited: Audited, line: Line) -> None:
    """The order of the lines does not matter; the result says if bodies are not compared."""
    report = await audited.report(map(line, reversed(audited.topic)))
    assert report.exit_code is ExitCode.OK, report
    assert report.origins[0].sinks[TITLE].sequences == 3
    text = shown(report)
    assert "every callback for webhook crm came there at least once" in text
    assert ("3 lines have no sha256" in text) is (line is id_alone)
    assert json.loads(json.dumps(report.as_dict()))["webhooks"]["crm"]["lines"] == 3


@LINES
async def test_a_callback_that_is_not_in_the_log_is_missing(audited: Audited, line: Line) -> None:
    """Also if the target has all others twice."""
    report = await audited.report(map(line, [audited.topic[0], audited.topic[2]] * 2))
    assert report.exit_code is ExitCode.FAULT
    assert report.origins[0].sinks[TITLE].missing_listed == [2]
    assert f"{ORIGIN}: webhook crm: 1 missing: 2" in shown(report)


@LINES
async def test_a_request_that_comes_again_is_counted_and_no_fault(
    audited: Audited, line: Line
) -> None:
    """At least once is what is promised."""
    report = await audited.report(map(line, [*audited.topic, audited.topic[1], audited.topic[1]]))
    assert report.proven
    assert (report.webhooks["crm"].lines, report.webhooks["crm"].repeats) == (5, 2)


@pytest.mark.parametrize("line", [whole, with_body])
async def test_another_body_under_the_id_is_a_fault(audited: Audited, line: Line) -> None:
    """Also if the right one came, too."""
    other = audited.topic[1]._replace(value=a_body(MsgKey="other"))
    report = await audited.report(map(line, [*audited.topic, other]))
    assert (report.exit_code, report.different) == (ExitCode.FAULT, 1)
    assert "origin oooooooooooooooo sequence 2 (webhook crm)" in shown(report)


async def test_a_repeat_with_the_id_of_another_callback_is_a_fault(audited: Audited) -> None:
    """The place names the callback."""
    one, two = (json.loads(whole(each)) for each in audited.topic[:2])
    wrong = json.dumps(one | {"id": two["id"]}).encode()
    report = await audited.report([*map(whole, audited.topic), wrong])
    assert (report.exit_code, report.different) == (ExitCode.FAULT, 1)


@LINES
async def test_an_id_that_no_callback_has_is_a_fault(audited: Audited, line: Line) -> None:
    """If callbacks have expired, it may be one of them: then nothing is proven."""
    report = await audited.report(map(line, [*audited.topic, a_callback(9)]))
    assert (report.exit_code, report.webhooks["crm"].unknown) == (ExitCode.FAULT, 1)
    assert headers(a_callback(9))["ce_id"].decode() in shown(report)
    audited.topic, audited.archive = audited.topic[1:], audited.archive[1:]
    audited.expired, audited.log_start = {ORIGIN: (1, 1)}, 1
    report = await audited.report(map(line, [a_callback(n) for n in (1, 2, 3)]))
    assert report.exit_code is ExitCode.INCOMPLETE
    assert "1 ids of the log are neither in Kafka nor archived" in report.doubts[TITLE]


async def test_a_sample_of_hookline_webhook_test_is_left_out(audited: Audited) -> None:
    """Its origin shows what it is."""
    report = await audited.report(map(whole, [*audited.topic, sample()]))
    assert report.proven
    assert report.webhooks["crm"].samples == 1


async def test_a_refused_callback_is_only_a_dead_letter(audited: Audited) -> None:
    """The dead letter of another target, or one of another consumer, does not count."""
    audited.dead = [(audited.topic[1], b"webhook-crm")]
    report = await audited.report(map(whole, [audited.topic[0], audited.topic[2]]))
    assert (report.exit_code, report.dead_lettered) == (ExitCode.DEAD_LETTERED, 1)
    for group in (b"webhook-bi", b"sync"):
        audited.dead = [(audited.topic[1], group)]
        report = await audited.report(map(whole, [audited.topic[0], audited.topic[2]]))
        assert report.exit_code is ExitCode.FAULT


async def test_a_callback_that_still_waits_is_neither_missing_nor_proven(audited: Audited) -> None:
    """Once the retry topic states that it is done, it must be in the log."""
    audited.changes.append(ParkedCallback(audited.topic[1], 3, 0, 0, "500"))
    lines = [*map(whole, [audited.topic[0], audited.topic[2]])]
    report = await audited.report(lines)
    assert (report.exit_code, report.missing_at_least) == (ExitCode.INCOMPLETE, 0)
    assert "1 callbacks wait in the retry topic" in report.doubts[TITLE]
    audited.changes.append(FinishedCallback(audited.topic[1].offset))
    assert (await audited.report(lines)).exit_code is ExitCode.FAULT
    assert (await audited.report([*lines, whole(audited.topic[1])])).proven


async def test_only_callbacks_that_the_target_wants_are_compared(audited: Audited) -> None:
    """The audit is given its settings; with others, callbacks are missing."""
    lines = [*map(whole, audited.topic[1:])]
    other = a_stored_record(0, a_body(CallbackCommand="Group.CallbackAfterSendMsg", GroupId="g"))
    audited.topic[0] = audited.archive[0] = other
    audited.callback_filter = CallbackFilter(commands=["C2C.*"])
    assert (await audited.report(lines)).proven
    audited.callback_filter = CallbackFilter(commands=["C2C.*", "Group.*"])
    assert (await audited.report(lines)).origins[0].sinks[TITLE].missing_listed == [1]
    audited.callback_filter = CallbackFilter(sdkappids=["7"])
    assert (await audited.report([])).proven


async def test_callbacks_from_before_the_target_began_are_not_compared(audited: Audited) -> None:
    """If the retry topic does not say where it began, nothing is proven."""
    audited.topic, audited.log_start = audited.topic[1:], 1
    audited.changes[0] = TargetBegin(Position(1))
    lines = [*map(whole, audited.topic)]
    assert (await audited.report(lines)).proven
    audited.changes[0] = TargetBegin(Position(0))
    assert (await audited.report(lines)).origins[0].sinks[TITLE].missing_listed == [1]
    del audited.changes[0]
    report = await audited.report(lines)
    assert report.exit_code is ExitCode.INCOMPLETE
    assert "does not say where partitions 0 began" in report.doubts[TITLE]


@pytest.mark.parametrize(
    ("topic_id", "missing"), [("new", [1, 2]), ("old", []), (None, [])], ids=str
)
async def test_offsets_of_a_topic_that_was_created_again_are_not_those_before_the_target_began(
    audited: Audited, topic_id: str | None, missing: list[int]
) -> None:
    """The target gets all of the new topic."""
    audited.topic_id = topic_id
    audited.changes[0] = TargetBegin(Position(2, topic_id="old"))
    report = await audited.report(map(whole, audited.topic[2:]))
    sink = report.origins[0].sinks[TITLE]
    assert (sink.missing_listed, report.proven) == (missing, not missing)


async def test_a_target_that_has_not_begun_lacks_what_is_in_the_topic(audited: Audited) -> None:
    """It will begin there."""
    audited.topic, audited.log_start, audited.changes = audited.topic[1:], 1, []
    assert (await audited.report([])).origins[0].sinks[TITLE].missing_listed == [2, 3]


async def test_of_callbacks_with_one_id_the_log_has_to_name_each(audited: Audited) -> None:
    """With the id alone, nobody knows which one came, however often the id is there."""
    again = a_stored_record(3, audited.topic[0].value)
    audited.topic.append(again)
    audited.archive.append(again)
    for lines in ([*map(id_alone, audited.topic)], [*map(id_alone, audited.topic[:3])]):
        report = await audited.report(lines)
        assert (report.exit_code, report.repeats) == (ExitCode.INCOMPLETE, 1)
        assert "2 callbacks have the ce_id of another one" in report.doubts[TITLE]
    assert (await audited.report(map(whole, audited.topic))).proven
    report = await audited.report(map(whole, audited.topic[:3]))
    assert report.origins[0].sinks[TITLE].missing_listed == [4]
    # None of them came: that is known.
    report = await audited.report(map(id_alone, audited.topic[1:3]))
    assert report.origins[0].sinks[TITLE].missing_listed == [1, 4]


@pytest.mark.parametrize(
    "line",
    [
        b"two words",
        b"\x00",
        b"{",
        b"{}",
        b'{"id": ""}',
        b'{"id": "a", "origin": "b"}',
        b'{"id": "a", "sequence": 1}',
        b'{"id": "a", "sha256": "abc"}',
        b'{"id": "a", "origin": "b", "sequence": 0}',
        b"x" * 5000,
    ],
)
async def test_a_line_that_cannot_be_read_leaves_the_proof_incomplete(
    audited: Audited, line: bytes
) -> None:
    """It may have been a wrong one."""
    report = await audited.report([*map(whole, audited.topic), line, b"", b"  "])
    assert report.exit_code is ExitCode.INCOMPLETE
    assert "1 lines of the log cannot be read, the first one is " in report.doubts[TITLE]


async def test_a_log_that_ends_within_a_line_leaves_the_proof_incomplete(audited: Audited) -> None:
    """The half of an id is not an id."""
    lines = b"\n".join(map(id_alone, audited.topic))
    audited.file.write_bytes(lines + b"\n" + b"abc")
    report = await audited.report_of_file()
    assert report.exit_code is ExitCode.INCOMPLETE
    assert "ends within a line" in report.doubts[TITLE]


async def test_a_log_is_read_once_and_up_to_the_noted_end(tmp_path: Path) -> None:
    """A file that has become shorter is another file: everything is read again."""
    file, deliveries = tmp_path / "log", list[LoggedDelivery]()
    file.write_bytes(b"a\nb\n")
    log = LogReader([file])
    log.note_ends()
    file.write_bytes(b"a\nb\nc\n")
    await log.read(deliveries.append)
    assert [each.id for each in deliveries] == ["a", "b"]
    log.note_ends()
    await log.read(deliveries.append)
    assert [each.id for each in deliveries] == ["a", "b", "c"]
    file.write_bytes(b"a\n")
    with pytest.raises(ReadAgain, match="has become shorter"):
        log.note_ends()
    file.unlink()
    with pytest.raises(AuditFailed, match="cannot be read"):
        log.note_ends()


def test_the_options_of_a_target_are_joined_by_its_name() -> None:
    """A log that is named twice is read once."""
    crm, bi = webhook_sources(
        ["crm=a", "crm=b", "bi=c", "crm=a"], ["bi=1400000001"], ["bi=C2C.*, Group.*"]
    )
    assert (crm.name, crm.logs) == ("crm", (Path("a"), Path("b")))
    assert bi.callback_filter.has(b"1400000001", b"Group.CallbackAfterSendMsg")
    assert not bi.callback_filter.has(b"1400000001", b"State.StateChange")
    assert not bi.callback_filter.has(b"2", b"Group.CallbackAfterSendMsg")


@pytest.mark.parametrize(
    ("logs", "commands"), [(["crm"], []), (["=a"], []), (["Crm=a"], []), (["crm=a"], ["bi=C2C.*"])]
)
def test_options_that_name_no_target_are_refused(logs: list[str], commands: list[str]) -> None:
    """The error names the option."""
    with pytest.raises(click.BadParameter):
        webhook_sources(logs, [], commands)
