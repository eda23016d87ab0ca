"""
`hookline spool`: list the spools and show their rows.

The commands change nothing on the disk, and also work where they may only read.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click

from ingress.spool.directory import corrupt_text, spool_names, summaries
from ingress.spool.disk import Corrupt, DiskFailed, LimitReached
from ingress.spool.row import DamagedCallback, Row
from ingress.spool.spool_lock import SpoolInUse
from ingress.spool.unheld import UnheldSpool, open_unheld
from ingress.spool.verification import NotVerified
from ops.failure import ExitCode, Failure
from ops.nouns import counted
from ops.options import json_option
from ops.terminal import echo, print_json, say, warn
from schemas.ingress_status import SpoolSummary

directory_option = click.option(
    "--spool",
    "directory",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    required=True,
    envvar="INGRESS_SPOOL_DIR",
    show_envvar=True,
    help="The directory of the spools.",
)


class SpoolNotShown(Failure):
    """The spool cannot be opened; the text says why."""

    exit_code = ExitCode.FAULT


@click.group()
def spool() -> None:
    """List the ingress's spools, and show the callbacks in them."""


@spool.command("ls", short_help="List the spools, with the number of their callbacks.")
@directory_option
@json_option
def spool_ls(*, directory: Path, as_json: bool) -> None:
    """
    List the spools with the callbacks that were stored, the rows in the file and in quarantine.

    Rows that Kafka has stay in the file until their block is removed, by a later commit.
    Of a spool that a running ingress holds, only the name is shown: see its /status instead.
    Nothing on the disk is changed; a corrupt file is reported and stays as it is.
    """
    found = list(summaries(directory))
    if not found:
        say(f"no spools in {directory}")
    for summary in found:
        if as_json:
            print_json({field: getattr(summary, field) for field in summary.__struct_fields__})
        else:
            echo(f"{summary.name}  {_state(summary)}")


@spool.command("show", short_help="Show the rows in the file of a spool, and its quarantine.")
@directory_option
@click.argument("name")
@click.option("--after", default=0, help="Start after this sequence.")
@click.option("--limit", default=20, help="Maximum number of rows.")
@json_option
def spool_show(*, directory: Path, name: str, after: int, limit: int, as_json: bool) -> None:
    """
    Show the rows in the file of the spool NAME, and the rows in its quarantine.

    The first of them may be in Kafka: they stay until their block is removed.
    Nothing on the disk is changed; a corrupt file is reported and stays as it is.
    """
    if name not in spool_names(directory):
        raise click.BadParameter(f"{directory} has no spool {name}", param_hint="NAME")
    try:
        with open_unheld(directory, name) as opened:
            _show(opened, after, limit, as_json=as_json)
    except SpoolInUse:
        raise SpoolNotShown(
            f"another process holds spool {name}; stop that ingress, or see its /status"
        ) from None
    except Corrupt as corrupt:
        raise SpoolNotShown(f"spool {name}: {corrupt_text(name, corrupt)}") from corrupt
    except (NotVerified, DiskFailed, LimitReached, OSError) as fault:
        raise SpoolNotShown(f"spool {name} cannot be read: {fault}") from fault


def _show(opened: UnheldSpool, after: int, limit: int, *, as_json: bool) -> None:
    for row in _rows(opened, after, limit):
        if as_json:
            print_json(_as_dict(row))
        else:
            echo(_line(row))
    for sequence in opened.state.quarantined_sequences:
        remains = opened.quarantined_bytes(sequence)
        if as_json:
            print_json({"sequence": sequence, "quarantined": True, "hex": remains.hex()})
        else:
            echo(f"{sequence:>9}  in quarantine, {len(remains)} bytes: {remains[:60]!r}")


def _rows(opened: UnheldSpool, after: int, limit: int) -> Iterator[Row]:
    row_count = 0
    while row_count < limit:
        try:
            row = opened.row_after(after)
        except DamagedCallback as damaged:
            warn(f"hookline: {damaged}; the ingress will move it into quarantine")
            after = damaged.sequence
            continue
        if row is None:
            return
        yield row
        after, row_count = row.sequence, row_count + 1


def _state(summary: SpoolSummary) -> str:
    if summary.fault:
        return summary.fault
    if summary.last_sequence is None:
        return "held by a running ingress, or cannot be read now"
    state = f"{counted(summary.last_sequence, 'callback')}, {summary.rows} in the file"
    if summary.origin != summary.name:
        state += f", origin {summary.origin}"
    if summary.quarantined:
        state += f", in quarantine: {', '.join(map(str, summary.quarantined))}"
    return state


def _line(row: Row) -> str:
    at = datetime.fromtimestamp(row.received_at_ms / 1000, UTC)
    command = dict(row.record.headers).get("ce_type", b"").decode(errors="replace")
    return (
        f"{row.sequence:>9}  {at:%Y-%m-%dT%H:%M:%S}Z  {row.record.topic}  {command}  "
        f"{counted(len(row.record.value), 'byte')}"
    )


def _as_dict(row: Row) -> dict[str, object]:
    return {
        "sequence": row.sequence,
        "received_at_ms": row.received_at_ms,
        "topic": row.record.topic,
        "key": row.record.key.decode(errors="replace") if row.record.key else None,
        "headers": {name: value.decode(errors="replace") for name, value in row.record.headers},
        "body": row.record.value.decode(errors="replace"),
    }
