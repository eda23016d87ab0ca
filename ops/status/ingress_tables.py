"""The tables that `hookline status` prints only if asked: tokens, and failed requests by sender."""

from collections.abc import Callable, Sequence
from typing import TypeAlias

from rich.console import Group, RenderableType

from ops.status.report import Report, TokenReport
from ops.status.texts import UNKNOWN, duration
from ops.terminal import PrintableTable, text_line

# Of the senders, so many are on the screen; JSON has all.
SENDERS_SHOWN_MAX = 20
ReportTable: TypeAlias = Callable[[Report], RenderableType]


def token_table(report: Report) -> RenderableType:
    """Return when any replica used each token last, or why that is not known."""
    table = _table("app", "token", "place", "replicas", "uses", "last use", "unused for")
    for row in report.tokens:
        table.add_row(*_token_cells(row, len(report.ingress)))
    notes = _silent_replicas(report, "unused for is not known")
    if not notes and any(row.unused_for_s is None for row in report.tokens):
        notes = ["unused for is not known: a replica of an earlier release does not report it"]
    if not report.tokens:
        notes.append("no replica that answers has a token")
    return Group(*([table] if report.tokens else []), *(text_line(note) for note in notes))


def failure_table(report: Report) -> RenderableType:
    """Return which senders got an answer other than OK last, from any replica."""
    table = _table("answer", "address", "count", "last", "reason")
    rows = report.failures_by_sender
    for row in rows[:SENDERS_SHOWN_MAX]:
        ago = f"{duration(row.last_ago_s)} ago"
        table.add_row(row.answer, row.address, str(row.count), ago, row.reason)
    notes = _silent_replicas(report, "its answers are not known")
    if len(rows) > SENDERS_SHOWN_MAX:
        notes.append(f"{len(rows) - SENDERS_SHOWN_MAX} more: --json has all")
    if not rows:
        notes.append("every answer of the replicas that answer was OK, since each one started")
    return Group(*([table] if rows else []), *(text_line(note) for note in notes))


def _token_cells(row: TokenReport, replicas: int) -> Sequence[str]:
    ago = UNKNOWN if row.last_used_ago_s is None else f"{duration(row.last_used_ago_s)} ago"
    unused = "not known" if row.unused_for_s is None else duration(row.unused_for_s)
    has_it = f"{row.replicas} of {replicas}"
    return (row.sdkappid, row.fingerprint, str(row.place), has_it, str(row.uses), ago, unused)


def _silent_replicas(report: Report, consequence: str) -> list[str]:
    """Return a line for each replica that does not answer, or one if none is asked."""
    if not report.ingress:
        return ["the ingress is not asked: set STATS_INGRESS (--ingress)"]
    silent = [one.address.rpartition("//")[2] for one in report.ingress if not one.answers]
    return [f"{address} does not answer: {consequence}" for address in silent]


def _table(*columns: str) -> PrintableTable:
    table = PrintableTable(box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for name in columns:
        table.add_column(name, header_style="dim", overflow="fold")
    return table
