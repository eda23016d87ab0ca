"""What people see: tables and lines made of results."""

import sys
from datetime import UTC, datetime
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from consumers.archive.segment import SegmentSummary
from ops.archive.verify import Verified
from ops.audit.report import (
    ARCHIVE,
    COUNTS,
    DEAD_LETTERS,
    KAFKA,
    LISTED_MAX,
    POSTGRES,
    OriginReport,
    Report,
)
from ops.demo.demo import Result
from ops.demo.stack import Addresses
from ops.simulate.sender import Outcome

# The options that name the sinks which may be left out.
OPTIONS = {POSTGRES: "--postgres", COUNTS: "--stats"}
# Every place that an audit looks at, in the order of the way there, as people call it.
SINKS = {
    KAFKA: "in Kafka",
    DEAD_LETTERS: "dead letters",
    ARCHIVE: "in archive",
    POSTGRES: "synced",
    COUNTS: "counted",
}


def addresses(where: Addresses) -> RenderableType:
    """Show where everything is."""
    named = (
        ("callback URL", f"{where.ingress}?SdkAppid={where.sdkappid}"),
        ("ingress", f"{where.admin}/status"),
        ("Kafka", where.kafka),
        ("archive", where.archive),
        ("PostgreSQL", where.postgres),
        ("statistics", f"{where.stats}/v1/totals"),
        ("spool", where.spool),
        ("logs", where.logs),
    )
    return Text("\n".join(f"  {name:<13} {value}" for name, value in named))


def where_it_stays(directory: Path) -> str:
    """Say where the demo's files are."""
    return (
        f"Read what was archived:  {sys.argv[0]} archive cat --archive {directory}/archive\n"
        f"Remove it when you have seen enough:  rm -r {directory}"
    )


def result(came_out: Result) -> RenderableType:
    """Show the demo's table."""
    answers, report = came_out.outcome.answers, came_out.report
    table = _table("Hookline demo")
    columns: dict[str, str | Text] = {
        "sent": str(sum(answers.values())),
        "answered OK": str(answers["ok"]),
        **{
            title: str(report.held(sink))
            for sink, title in SINKS.items()
            if sink != DEAD_LETTERS and report.held(sink) is not None
        },
        "missing": _fault(report.missing),
        "doubled": _fault(report.doubled),
    }
    for column in columns:
        table.add_column(column, justify="right")
    table.add_row(*columns.values())
    return Group(table, *_remarks(report), _latencies(came_out.outcome), _verdict(report))


def outcome(came_out: Outcome) -> RenderableType:
    """Show what a simulation came to."""
    answers = _table("Answers")
    for column in ("sent", "OK", "refused", "unanswered"):
        answers.add_column(column, justify="right")
    counts = came_out.answers
    answers.add_row(
        str(sum(counts.values())),
        *(str(counts[kind]) for kind in ("ok", "refused", "unanswered")),
    )
    commands = _table("By command")
    commands.add_column("command")
    commands.add_column("sent", justify="right")
    for command, sent in came_out.kinds.most_common():
        commands.add_row(Text(command), str(sent))
    return Group(answers, commands, _latencies(came_out))


def report(found: Report) -> RenderableType:
    """Show a proof, origin by origin."""
    # An audit of all sinks fits into 80 columns.
    table = _table("Audit", padding=0)
    table.add_column("origin", no_wrap=True)
    audited = [sink for sink in SINKS if found.held(sink) is not None]
    for column in ("stored", *(SINKS[sink] for sink in audited), "missing", "doubled"):
        table.add_column(column, justify="right")
    for origin in found.origins:
        table.add_row(
            origin.origin,
            "unknown" if origin.accepted is None else str(origin.accepted),
            *(str(origin.sinks[sink].sequences) for sink in audited),
            _fault(origin.missing),
            _fault(origin.doubled),
        )
    return Group(table, *_remarks(found), _verdict(found))


def segment(name: str, summary: SegmentSummary, size: int) -> str:
    """Return one line about a segment."""
    if not summary.records:
        return f"{name}  no records, goes on at {summary.next_offset}  {size} bytes"
    first, last = (
        f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%dT%H:%M:%S}"
        for at_ms in (summary.first_timestamp_ms, summary.last_timestamp_ms)
    )
    return (
        f"{name}  {summary.records:>7} records  offsets {summary.first_offset}-"
        f"{summary.last_offset}  {first} to {last}  {size} bytes"
    )


def verified(found: Verified) -> RenderableType:
    """Show what `hookline archive verify` found."""
    lines: list[RenderableType] = [
        f"{found.segments} segments, {found.records} records, {found.size} bytes read"
    ]
    lines += [Text(f"{name}: {fault}", style="bold red") for name, fault in found.faults]
    for origin, numbered in found.origins.items():
        if numbered.doubled:
            which = ", ".join(map(str, numbered.doubled_listed))
            lines.append(Text(f"{origin}: {numbered.doubled} doubled: {which}", style="bold red"))
        if numbered.absent:
            runs = (f"{low}-{high}" if high > low else f"{low}" for low, high in numbered.listed)
            lines.append(f"{origin}: {numbered.absent} not in the archive: {', '.join(runs)}")
    if not found.sound:
        lines.append(Text("not sound", style="bold red"))
    elif found.absent:
        lines.append("sound; what is not there may be dead letters: ask hookline audit")
    else:
        lines.append(Text("sound", style="bold green"))
    return Group(*lines)


def _table(title: str, *, padding: int = 1) -> Table:
    return Table(
        title=title,
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, padding, 0, 0),
        show_edge=False,
    )


def _remarks(found: Report) -> list[RenderableType]:
    remarks = [line for origin in found.origins for line in _faults_of(origin)]
    for origin, rows in found.damaged.items():
        listed = ", ".join(map(str, rows[:LISTED_MAX]))
        remarks.append(
            f"{origin}: {len(rows)} rows are damaged and in quarantine, see hookline spool show:"
            f" {listed}"
        )
    remarks += map(str, found.different_listed)
    remarks += (f"unproven: {why}" for why in found.doubts.values())
    if found.repeats:
        remarks.append(f"{found.repeats} callbacks came more than once from the sender: no fault")
    if found.strangers:
        remarks.append(
            f"{found.strangers} records in the topics were written by no ingress: no fault"
        )
    if found.counted:
        figures = ", ".join(f"{figure.shown} {name}" for name, figure in found.counted.items())
        remarks.append(f"the statistics show {figures}")
    for name, figure in found.counted.items():
        if figure.missing or figure.doubled:
            bounds = f"{figure.least} to {figure.most}"
            remarks.append(f"faulty: {figure.shown} {name} are shown, the records make {bounds}")
    if found.ledger:
        ledger = found.ledger
        missing = ", ".join(f"not {SINKS[sink]} {count}" for sink, count in ledger.missing.items())
        remarks.append(
            f"the sender's ledger: {ledger.ok} answered OK, of these {missing}; changed "
            f"{ledger.changed}; {ledger.unanswered} unanswered, of these stored all the same "
            f"{ledger.unanswered_but_stored}"
        )
        if ledger.listed:
            remarks.append("faulty: " + ", ".join(ledger.listed))
    return [Text(remark, overflow="fold") for remark in remarks]


def _faults_of(origin: OriginReport) -> list[str]:
    lines = []
    for sink, held in origin.sinks.items():
        for fault, count, listed in (
            ("missing", held.missing, held.missing_listed),
            ("doubled", held.doubled, held.doubled_listed),
            ("set aside in place of", held.set_aside, held.set_aside_listed),
        ):
            if count:
                which = ", ".join(map(str, listed)) or "counts do not say which"
                lines.append(f"{origin.origin}: {count} {fault}, {SINKS[sink]}: {which}")
    if origin.expired:
        lines.append(f"{origin.origin}: {origin.expired} expired, from Kafka and archive: unproven")
    return lines


def _verdict(found: Report) -> RenderableType:
    audited = [title for sink, title in SINKS.items() if found.held(sink) is not None]
    named = ", ".join(title for title in audited if title != SINKS[DEAD_LETTERS])
    others = ", ".join(f"{SINKS[sink]} ({OPTIONS[sink]})" for sink in found.not_audited)
    rest = f"; not audited, so not proven: {others}" if others else ""
    if found.proven:
        kept = " that has not expired" if any(each.expired for each in found.origins) else ""
        return Text(f"proven: every callback{kept} exactly once {named}{rest}", style="bold green")
    unknown = f"{len(found.unproven)} ends are not known" if found.unproven else ""
    counts = {
        "missing": found.missing,
        "doubled": found.doubled,
        "different under one id or number": found.different,
        "set aside": found.set_aside,
    }
    if faults := ", ".join(f"{count} {fault}" for fault, count in counts.items() if count):
        also = f"; {unknown}" if unknown else ""
        return Text(f"not proven: {faults}{also}{rest}", style="bold red")
    return Text(f"unproven: no fault was found, but {unknown}{rest}", style="bold red")


def _latencies(came_out: Outcome) -> RenderableType:
    if not came_out.latencies_ms:
        return Text("nothing was answered OK")
    figures = "  ".join(
        f"p{percent:g} {came_out.percentile_ms(percent):.1f} ms" for percent in (50, 90, 99, 100)
    )
    return Text(f"time to OK: {figures}")


def _fault(count: int) -> Text:
    return Text(str(count), style="bold red" if count else "bold green")
