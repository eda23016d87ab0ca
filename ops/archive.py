"""`hookline archive`: look into the archive's segments."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from consumers.archive.segment import Damaged, read_lines, read_summary
from consumers.archive.store import LocalStore
from ops import show
from ops.terminal import archive_option, err, json_option, print_json


@click.group()
def archive() -> None:
    """The archive's segments."""


@archive.command("ls")
@archive_option
@json_option
def archive_ls(*, directory: Path, as_json: bool) -> None:
    """List the segments: partition, offsets, records, time, size."""
    for path in _segments(directory):
        with path.open("rb") as file, _named(path):
            summary = read_summary(file)
        if as_json:
            name = {"path": str(path), "bytes": path.stat().st_size}
            print_json(name | {f: getattr(summary, f) for f in summary.__struct_fields__})
        else:
            click.echo(show.segment(path.relative_to(directory), summary, path.stat().st_size))


@archive.command("cat")
@archive_option
@click.option("--topic", help="Only this topic.")
@click.option("--partition", type=int, help="Only this partition.")
def archive_cat(*, directory: Path, topic: str | None, partition: int | None) -> None:
    """Print the archived lines (JSON), each partition in order, checksums verified."""
    for path in _segments(directory):
        of_topic, of_partition = path.parent.parent.name, int(path.parent.name)
        if topic not in (None, of_topic) or partition not in (None, of_partition):
            continue
        with path.open("rb") as file, _named(path):
            for line in read_lines(file):
                sys.stdout.buffer.write(line)


def _segments(directory: Path) -> list[Path]:
    found = list(LocalStore(directory).segments())
    if not found:
        err.print(f"no segments in {directory}", soft_wrap=True)
    return found


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    try:
        yield
    except Damaged as error:
        err.print(f"[bold red]hookline:[/] {path}: {error}", soft_wrap=True)
        sys.exit(1)
