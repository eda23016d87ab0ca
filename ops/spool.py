"""`hookline spool`: look into spools that no process holds; nothing is changed in them."""

import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import click

from ingress.spool.directory import Held, Summary, hold, names, summaries
from ingress.spool.disk import Broken, Corrupt, Full
from ingress.spool.row import Damaged, Row
from ingress.spool.spool import Spool
from ingress.spool.spool_file import MAP_MARGIN_BYTES
from ops.terminal import err, json_option, print_json

directory_option = click.option(
    "--spool",
    "directory",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    required=True,
    envvar="INGRESS_SPOOL_DIR",
    show_envvar=True,
    help="The directory of the spools.",
)


@click.group()
def spool() -> None:
    """The ingress's spools: callbacks on disk."""


@spool.command("ls")
@directory_option
@json_option
def spool_ls(*, directory: Path, as_json: bool) -> None:
    """
    List the spools: how many callbacks they were given, how many wait, what is damaged.

    A spool that a process holds says only that; ask its process: http://HOST:8081/status.
    """
    for found in summaries(directory):
        if as_json:
            print_json({field: getattr(found, field) for field in found.__slots__})
        else:
            click.echo(f"{found.name}  {_in_words(found)}")


@spool.command("show")
@directory_option
@click.argument("name")
@click.option("--after", default=0, help="Begin behind this sequence.")
@click.option("--limit", default=20, help="At most so many rows.")
@json_option
def spool_show(*, directory: Path, name: str, after: int, limit: int, as_json: bool) -> None:
    """Show the rows that wait in the spool NAME, and those that are damaged and stay there."""
    if name not in names(directory):
        raise click.BadParameter(f"there is no spool {name} in {directory}", param_hint="NAME")
    try:
        opened = hold(directory, name, bytes_max=MAP_MARGIN_BYTES)
    except Held:
        sys.exit(f"hookline: a process holds spool {name}; stop it first, or ask its /status")
    except (Corrupt, Broken, Full) as fault:
        sys.exit(f"hookline: spool {name} cannot be read: {fault}")
    try:
        for row in _rows(opened, after, limit):
            if as_json:
                print_json(_as_dict(row))
            else:
                click.echo(_line(row))
        for sequence in opened.damaged():
            left = opened.damaged_row(sequence)
            if as_json:
                print_json({"sequence": sequence, "damaged": True, "hex": left.hex()})
            else:
                click.echo(f"{sequence:>9}  damaged, {len(left)} bytes: {left[:60]!r}")
    finally:
        opened.close()


def _rows(opened: Spool, after: int, limit: int) -> Iterator[Row]:
    shown = 0
    while shown < limit:
        try:
            rows = opened.since(after, rows_max=1, bytes_max=1)
        except Damaged as damaged:
            err.print(f"hookline: {damaged}; the ingress will put it into quarantine")
            after = damaged.sequence
            continue
        if not rows:
            return
        yield rows[0]
        after, shown = rows[0].sequence, shown + 1


def _in_words(found: Summary) -> str:
    if found.fault:
        return found.fault
    if found.last_sequence is None:
        return "held by a running process"
    words = f"{found.last_sequence} callbacks, {found.rows} wait"
    if found.origin != found.name:
        words += f", origin {found.origin}"
    if found.damaged:
        words += f", damaged: {', '.join(map(str, found.damaged))}"
    return words


def _line(row: Row) -> str:
    at = datetime.fromtimestamp(row.received_at_ms / 1000, UTC)
    command = dict(row.record.headers).get("ce_type", b"").decode(errors="replace")
    return (
        f"{row.sequence:>9}  {at:%Y-%m-%dT%H:%M:%S}Z  {row.record.topic}  {command}  "
        f"{len(row.record.value)} bytes"
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
