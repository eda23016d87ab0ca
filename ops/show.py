"""What people see: tables and lines made of results."""

from datetime import UTC, datetime

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


def report(found: Report) -> RenderableType:
    """Show a proof, origin by origin."""
    # An audit of all sinks fits into 80 columns.
    table = new_table("Audit", padding=0)
    table.add_column("origin", no_wrap=True)
    audited = [sink for sink in SINKS if found.held(sink) is not None]
    for column in ("stored", *(SINKS[sink] for sink in audited), "missing", "doubled"):
        table.add_column(column, justify="right")
    for origin in found.origins:
        table.add_row(
            origin.origin,
            "unknown" if origin.accepted is None else str(origin.accepted),
            *(str(origin.sinks[sink].sequences) for sink in audited),
            fault_count(origin.missing),
            fault_count(origin.doubled),
        )
    return Group(table, *remarks(found), verdict(found))


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


def new_table(title: str, *, padding: int = 1) -> Table:
    """Return a table without rows, in the form that all commands print."""
    return Table(
        title=title,
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, padding, 0, 0),
        show_edge=False,
    )


def remarks(found: Report) -> list[RenderableType]:
    """Return the lines between an audit's table and its verdict."""
    lines = [line for origin in found.origins for line in _faults_of(origin)]
    for origin, rows in found.damaged.items():
        listed = ", ".join(map(str, rows[:LISTED_MAX]))
        lines.append(
            f"{origin}: {len(rows)} rows are damaged and in quarantine, see hookline spool show:"
            f" {listed}"
        )
    lines += map(str, found.different_listed)
    lines += (f"unproven: {why}" for why in found.doubts.values())
    if found.repeats:
        lines.append(f"{found.repeats} callbacks came more than once from the sender: no fault")
    if found.strangers:
        lines.append(
            f"{found.strangers} records in the topics were written by no ingress: no fault"
        )
    if found.counted:
        figures = ", ".join(f"{figure.shown} {name}" for name, figure in found.counted.items())
        lines.append(f"the statistics show {figures}")
    for name, figure in found.counted.items():
        if figure.missing or figure.doubled:
            bounds = f"{figure.least} to {figure.most}"
            lines.append(f"faulty: {figure.shown} {name} are shown, the records make {bounds}")
    if found.ledger:
        ledger = found.ledger
        missing = ", ".join(f"not {SINKS[sink]} {count}" for sink, count in ledger.missing.items())
        lines.append(
            f"the sender's ledger: {ledger.ok} answered OK, of these {missing}; changed "
            f"{ledger.changed}; {ledger.unanswered} unanswered, of these stored all the same "
            f"{ledger.unanswered_but_stored}"
        )
        if ledger.listed:
            lines.append("faulty: " + ", ".join(ledger.listed))
    return [Text(remark, overflow="fold") for remark in lines]


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


def verdict(found: Report) -> RenderableType:
    """Return the line that says whether everything is proven."""
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


def fault_count(count: int) -> Text:
    """Return a number that should be 0, green if it is."""
    return Text(str(count), style="bold red" if count else "bold green")
