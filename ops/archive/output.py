"""Segments, and the result of a verification, as people read them."""

from datetime import UTC, datetime

from rich.console import Group, RenderableType

from consumers.archive.segment import SegmentSummary
from ops.archive.verify import VerifyResult
from ops.nouns import counted
from ops.terminal import text_line


def segment(name: str, summary: SegmentSummary, size: int) -> str:
    """Return one line about a segment."""
    if not summary.records:
        return f"{name}  no records, next offset {summary.next_offset}  {size} bytes"
    first, last = (
        f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%dT%H:%M:%S}"
        for at_ms in (summary.first_timestamp_ms, summary.last_timestamp_ms)
    )
    return (
        f"{name}  {summary.records:>7} records  offsets {summary.first_offset}-"
        f"{summary.last_offset}  {first} to {last}  {size} bytes"
    )


def verified(result: VerifyResult) -> RenderableType:
    """Return the result of `hookline archive verify`: totals, faults, and the verdict."""
    lines: list[RenderableType] = [
        text_line(
            f"{counted(result.segments, 'segment')}, {counted(result.records, 'record')},"
            f" {counted(result.size, 'byte')} read"
        )
    ]
    lines += [text_line(f"{name}: {fault}", style="bold red") for name, fault in result.faults]
    for origin, sequences in result.origins.items():
        if sequences.doubled:
            which = ", ".join(map(str, sequences.doubled_listed))
            lines.append(
                text_line(f"{origin}: {sequences.doubled} doubled: {which}", style="bold red")
            )
        if sequences.absent:
            runs = (f"{low}-{high}" if high > low else f"{low}" for low, high in sequences.listed)
            lines.append(
                text_line(f"{origin}: {sequences.absent} not in the archive: {', '.join(runs)}")
            )
    if not result.sound:
        lines.append(text_line("not sound", style="bold red"))
    elif not result.segments:
        lines.append(
            text_line(
                "no segment was found, so nothing was verified: is --archive the archive's own"
                " directory or prefix?",
                style="bold yellow",
            )
        )
    elif result.absent:
        lines.append(text_line("sound; absent sequences may be dead letters: run hookline audit"))
    else:
        lines.append(text_line("sound", style="bold green"))
    return Group(*lines)
