"""`hookline archive expire`: its options and its output."""

import time
from datetime import timedelta
from functools import partial

import click

from ops.age import Age
from ops.archive import expire, output
from ops.archive.segments import reading_archive
from ops.nouns import counted
from ops.options import archive_option, bootstrap_option, json_option
from ops.terminal import echo, print_json, progress, run, say
from schemas.kafka_access import KafkaAccess

AGE = Age(expire.DAYS_MIN, "so that a stalled writer cannot re-create an expired segment")


@click.command("expire")
@archive_option(required=True)
@bootstrap_option
@click.option(
    "--older-than",
    "age",
    type=AGE,
    required=True,
    help="Minimum age in days or hours, such as 90d or 36h.",
)
@click.option(
    "--delete", "deletes", is_flag=True, help="Delete the segments. Without it, only list them."
)
@json_option
def archive_expire(
    *, archive_url: str, kafka: KafkaAccess, age: timedelta, deletes: bool, as_json: bool
) -> None:
    """
    Delete old segments whose records Kafka does not have any more.

    Lists them, and with --delete deletes them, the oldest first. The last segment of a partition
    always stays. If Kafka does not answer, nothing is deleted, and the exit code is 2.
    """
    run(_expire(archive_url, kafka, age, deletes=deletes, as_json=as_json))


async def _expire(
    archive_url: str, kafka: KafkaAccess, age: timedelta, *, deletes: bool, as_json: bool
) -> None:
    before_ms = round((time.time() - age.total_seconds()) * 1000)
    with reading_archive(archive_url) as store:
        with progress("summaries", None) as step:
            plan = await expire.plan(
                store, log_starts=partial(expire.log_starts, kafka), before_ms=before_ms, step=step
            )
        if plan:
            await expire.check_topic_ids(kafka, plan)
        segments = [each for of_partition in plan.values() for each in of_partition]
        for each in segments:
            if as_json:
                print_json({"path": each.name, "bytes": each.size, "records": each.summary.records})
            else:
                echo(output.segment(each.name, each.summary, each.size))
        totals = (
            f"{counted(len(segments), 'segment')}, "
            f"{counted(sum(each.summary.records for each in segments), 'record')}, "
            f"{counted(sum(each.size for each in segments), 'byte')}"
        )
        if not deletes:
            say(f"would be deleted with --delete: {totals}")
            return
        with progress("segments", len(segments)) as step:
            for of_partition in plan.values():
                await expire.delete(store, of_partition, step)
        say(f"deleted: {totals}")
