"""`hookline archive parquet`: its options and its output."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from ops.archive.options import since_option, topic_option, until_option
from ops.archive.parquet import copy
from ops.archive.segments import SegmentFilter, reading_archive
from ops.nouns import counted
from ops.options import archive_option, json_option
from ops.terminal import echo, print_json, progress, run, say


@click.command("parquet")
@archive_option(required=True)
@click.option(
    "--to",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="The directory that the Parquet files are written to.",
)
@topic_option
@since_option
@until_option
@json_option
def archive_parquet(*, archive_url: str, to: Path, as_json: bool, **selected: Any) -> None:
    """
    Copy closed hours to Parquet, one file for each hour of a topic.

    It may be run at any time: hours that were copied before are skipped. An hour is closed two
    hours after its end. Needs DuckDB, which `make setup` installs.
    """
    run(_parquet(archive_url, to, SegmentFilter(**selected), as_json=as_json))


async def _parquet(archive_url: str, to: Path, only: SegmentFilter, *, as_json: bool) -> None:
    copied = skipped = 0
    with reading_archive(archive_url) as store, progress("hours", None) as step:
        async for hour in copy(store, to, only=only, now=datetime.now(UTC)):
            step()
            if hour is None:
                skipped += 1
                continue
            copied += 1
            if as_json:
                print_json({"path": str(hour.path), "records": hour.record_count})
            else:
                echo(f"{hour.path}  {counted(hour.record_count, 'record')}")
    say(f"{copied} hours copied, {skipped} skipped: they were copied before, or have no records")
