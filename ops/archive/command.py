"""`hookline archive`: its subcommands; `ls`, `cat` and `verify` are in this file."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator
from typing import Any

import click

from consumers.archive.segment import SegmentSummary, read_lines
from consumers.archive.store import SegmentStore
from ops.archive import output
from ops.archive.expire_command import archive_expire
from ops.archive.options import partition_option, since_option, topic_option, until_option
from ops.archive.parquet_command import archive_parquet
from ops.archive.segments import SegmentFilter, in_order, naming, reading_archive, segment_names
from ops.archive.verify import VerifyResult, verify
from ops.options import archive_option, bounded, json_option
from ops.terminal import echo, echo_json, growing_progress, print_json, run, say, show, warn
from schemas.url_text import public_url


@click.group()
def archive() -> None:
    """List, print, verify, expire and copy the archive's segments."""


archive.add_command(archive_expire)
archive.add_command(archive_parquet)


@archive.command("ls", short_help="List the segments, with their offsets and times.")
@archive_option(required=True)
@topic_option
@partition_option
@since_option
@until_option
@json_option
def archive_ls(*, archive_url: str, as_json: bool, **selected: Any) -> None:
    """List the segments with their offsets, number of records, times and sizes."""
    run(_ls(archive_url, SegmentFilter(**selected), as_json=as_json))


async def _ls(archive_url: str, only: SegmentFilter, *, as_json: bool) -> None:
    with reading_archive(archive_url) as store:

        async def read(name: str) -> tuple[SegmentSummary, int]:
            with naming(name):
                summary, stat = await asyncio.gather(store.summary(name), store.stat(name))
                return summary, stat.size

        count = 0
        async for name, (summary, size) in _segments(store, only, read):
            count += 1
            if as_json:
                fields = {field: getattr(summary, field) for field in summary.__struct_fields__}
                print_json({"path": name, "bytes": size} | fields)
            else:
                echo(output.segment(name, summary, size))
        if not count:
            say(f"no segments in {public_url(archive_url)} that were asked for")


@archive.command("cat", short_help="Print the archived records as JSON lines.")
@archive_option(required=True)
@topic_option
@partition_option
@since_option
@until_option
def archive_cat(*, archive_url: str, **selected: Any) -> None:
    """
    Print the archived records as JSON lines, partition by partition; verify the checksums.

    A pipe or a file gets the lines byte for byte. On a terminal, control characters in them are
    shown as JSON's escapes.
    """
    run(_cat(archive_url, SegmentFilter(**selected)))


async def _cat(archive_url: str, only: SegmentFilter) -> None:
    on_terminal = sys.stdout.isatty()
    with reading_archive(archive_url) as store:
        async for name, content in _segments(store, only, store.read):
            with naming(name):
                for line in read_lines(content):
                    if on_terminal:
                        echo_json(line)
                    else:
                        sys.stdout.buffer.write(line)


@archive.command("verify")
@archive_option(required=True)
@click.option(
    "--wait", "wait_s", default=0.0, show_default=True, help="Seconds to wait for absent sequences."
)
@json_option
def archive_verify(*, archive_url: str, wait_s: float, as_json: bool) -> None:
    """
    Read every segment and report each fault.

    Checks checksums, lines and names; that the chains have no overlap and no gap; and that no
    sequence is there twice. Reads only the archive, so it may run at any time, and on a copy.

    \b
    Exit codes:
      0    the archive is sound
      1    something is damaged, missing or doubled
      2    the archive cannot be read, or the command line is wrong
      3    sound, but sequences are absent; `hookline audit` finds out why. Or there is no
           segment, so nothing was verified
      70   the program failed, which is a bug
      130  interrupted
    """  # noqa: D301 - Click keeps the lines of a paragraph after \b
    bounded("--wait", wait_s, 0, 24 * 3600)
    with growing_progress("segments") as (listed, step):
        verified = run(_verify(archive_url, wait_s, listed, step))
    if as_json:
        print_json(verified.as_dict())
    else:
        show(output.verified(verified))
    sys.exit(verified.exit_code)


async def _verify(archive_url: str, wait_s: float, listed: Any, step: Any) -> VerifyResult:
    with reading_archive(archive_url) as store:
        return await verify(store, wait_s=wait_s, listed=listed, step=step)


async def _segments(
    store: SegmentStore, only: SegmentFilter, read: Any
) -> AsyncIterator[tuple[str, Any]]:
    any_segment = False
    names = segment_names(store, only)
    async with contextlib.aclosing(in_order(names, read)) as segments:
        async for name, content in segments:
            any_segment = True
            if content is not None:  # else the segment has expired meanwhile
                yield name, content
    if not any_segment:
        warn("no segments")
