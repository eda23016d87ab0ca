"""`hookline archive`: look into the archive's segments, and verify them."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from typing import Any

import click
from rich.console import Console

from consumers.archive.segment import DamagedSegment, SegmentSummary, read_lines
from consumers.archive.store import Store
from ops import show
from ops.archive.segments import Choice, chosen, in_order, open_archive
from ops.archive.verify import Verified, verify
from ops.terminal import (
    archive_option,
    bounded,
    err,
    growing_progress,
    json_option,
    print_json,
    run,
)

HOUR = click.DateTime(formats=["%Y-%m-%d", "%Y-%m-%dT%H"])
topic_option = click.option("--topic", help="Only this topic.")
partition_option = click.option("--partition", type=int, help="Only this partition.")
since_option = click.option(
    "--since", type=HOUR, help="From this hour or day of record time (UTC)."
)
until_option = click.option("--until", type=HOUR, help="Until before this hour or day.")


@click.group()
def archive() -> None:
    """The archive's segments."""


@archive.command("ls")
@archive_option
@topic_option
@partition_option
@since_option
@until_option
@json_option
def archive_ls(*, archive_url: str, as_json: bool, **choice: Any) -> None:
    """List the segments: partition, offsets, records, time, size."""
    run(_ls(archive_url, Choice(**choice), as_json=as_json))


async def _ls(archive_url: str, choice: Choice, *, as_json: bool) -> None:
    store = open_archive(archive_url)

    async def read(name: str) -> tuple[SegmentSummary, int]:
        with _named(name):
            summary, stored = await asyncio.gather(store.summary(name), store.stored(name))
            return summary, stored.size

    async for name, (summary, size) in _segments(store, choice, read):
        if as_json:
            fields = {field: getattr(summary, field) for field in summary.__struct_fields__}
            print_json({"path": name, "bytes": size} | fields)
        else:
            click.echo(show.segment(name, summary, size))


@archive.command("cat")
@archive_option
@topic_option
@partition_option
@since_option
@until_option
def archive_cat(*, archive_url: str, **choice: Any) -> None:
    """Print the archived lines (JSON), each partition in order, checksums verified."""
    run(_cat(archive_url, Choice(**choice)))


async def _cat(archive_url: str, choice: Choice) -> None:
    store = open_archive(archive_url)
    async for name, content in _segments(store, choice, store.read):
        with _named(name):
            for line in read_lines(content):
                sys.stdout.buffer.write(line)


@archive.command("verify")
@archive_option
@click.option(
    "--wait", "wait_s", default=0.0, show_default=True, help="Seconds to wait for what is absent."
)
@json_option
def archive_verify(*, archive_url: str, wait_s: float, as_json: bool) -> None:
    """
    Read every segment and find what is not as it was written.

    Checksums, lines and names; chains without overlap and without a gap; no sequence twice. It asks
    nobody but the archive, so it may run beside everything, and for an archive that was copied.

    Exits with 0 if all is sound; 1 if something is damaged, missing or doubled; 3 if all is sound,
    but sequences are absent, as dead letters are: `hookline audit` tells which; 2 if the archive
    cannot be read.
    """
    bounded("--wait", wait_s, 0, 24 * 3600)
    with growing_progress("segments") as (found, step):
        verified = run(_verify(archive_url, wait_s, found, step))
    if as_json:
        print_json(verified.as_dict())
    else:
        Console().print(show.verified(verified))
    sys.exit(1 if not verified.sound else 3 if verified.absent else 0)


async def _verify(archive_url: str, wait_s: float, found: Any, step: Any) -> Verified:
    return await verify(open_archive(archive_url), wait_s=wait_s, found=found, step=step)


async def _segments(store: Store, choice: Choice, read: Any) -> AsyncIterator[tuple[str, Any]]:
    some = False
    async with contextlib.aclosing(in_order(chosen(store, choice), read)) as segments:
        async for name, found in segments:
            some = True
            if found is not None:  # else it has expired
                yield name, found
    if not some:
        err.print("no segments", soft_wrap=True)


@contextlib.contextmanager
def _named(name: str) -> Any:
    try:
        yield
    except DamagedSegment as error:
        raise DamagedSegment(f"{name}: {error}") from error
