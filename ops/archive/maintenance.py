"""`hookline archive expire` and `parquet`: what is done to an archive from time to time."""

import re
import time
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import click

from ops import show
from ops.archive import expire
from ops.archive.command import since_option, topic_option, until_option
from ops.archive.parquet import Copied, copy
from ops.archive.segments import Choice, open_archive
from ops.terminal import (
    archive_option,
    bootstrap_option,
    json_option,
    print_json,
    progress,
    run,
    say,
)


class Age(click.ParamType[timedelta]):
    """A number of days or hours, as in 90d."""

    name = "age"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        """Return `value` as a time."""
        found = re.fullmatch(r"(\d{1,5})([dh])", str(value))
        if not found:
            self.fail(f"{value!r} is neither days nor hours, such as 90d or 36h", param, ctx)
        number = int(found[1])
        age = timedelta(days=number) if found[2] == "d" else timedelta(hours=number)
        if age < expire.AGE_MIN:
            self.fail("must be at least 1d: a writer that slept may be younger", param, ctx)
        return age


@click.command("expire")
@archive_option
@bootstrap_option
@click.option("--older-than", "age", type=Age(), required=True, help="Such as 90d or 36h.")
@click.option("--delete", "really", is_flag=True, help="Delete; without it they are only listed.")
@json_option
def archive_expire(
    *, archive_url: str, kafka: str, age: timedelta, really: bool, as_json: bool
) -> None:
    """
    Delete segments that are old, and of which Kafka has nothing any more.

    Lists what would go; --delete deletes it, the oldest first. The last segment of a partition
    always stays. It exits with 2, and deletes nothing, where Kafka does not answer.
    """
    run(_expire(archive_url, kafka, age, really=really, as_json=as_json))


async def _expire(
    archive_url: str, kafka: str, age: timedelta, *, really: bool, as_json: bool
) -> None:
    store = open_archive(archive_url)
    before_ms = round((time.time() - age.total_seconds()) * 1000)
    with progress("summaries", None) as step:
        going = await expire.plan(
            store, log_starts=partial(expire.log_starts, kafka), before_ms=before_ms, step=step
        )
    segments = [each for of_partition in going.values() for each in of_partition]
    for each in segments:
        if as_json:
            print_json({"path": each.name, "bytes": each.size, "records": each.summary.records})
        else:
            click.echo(show.segment(each.name, each.summary, each.size))
    totals = (
        f"{len(segments)} segments, {sum(each.summary.records for each in segments)} records, "
        f"{sum(each.size for each in segments)} bytes"
    )
    if not really:
        say(f"would be deleted with --delete: {totals}")
        return
    with progress("segments", len(segments)) as step:
        for of_partition in going.values():
            await expire.delete(store, of_partition, step)
    say(f"deleted: {totals}")


@click.command("parquet")
@archive_option
@click.option(
    "--to",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="The directory of the copy.",
)
@topic_option
@since_option
@until_option
@json_option
def archive_parquet(*, archive_url: str, to: Path, as_json: bool, **chosen: Any) -> None:
    """
    Copy closed hours to Parquet, a file for each hour of a topic.

    Run it as often as you like: an hour that is there is left alone. An hour is closed two hours
    after its end. Needs DuckDB, which `make setup` installs.
    """
    run(_parquet(archive_url, to, Choice(**chosen), as_json=as_json))


async def _parquet(archive_url: str, to: Path, choice: Choice, *, as_json: bool) -> None:
    made: list[Copied] = []
    left = 0
    copying = copy(open_archive(archive_url), to, choice=choice, now=datetime.now(UTC))
    with progress("hours", None) as step:
        async for copied in copying:
            step()
            if copied is None:
                left += 1
                continue
            made.append(copied)
            if as_json:
                print_json({"path": str(copied.path), "records": copied.records})
            else:
                click.echo(f"{copied.path}  {copied.records} records")
    say(f"{len(made)} hours copied, {left} were there")
