"""`hookline replay`: its options, its preview and its exit code."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import NamedTuple

import click

from consumers.runtime.batch import Partition
from ops.confirmation import agreed, yes_option
from ops.nouns import counted
from ops.options import archive_option, bootstrap_option, bounded, json_option, postgres_option
from ops.records.options import (
    ACCOUNTS_MAX,
    app_option,
    command_option,
    group_option,
    since_option,
    until_option,
    users_option,
)
from ops.replay.output import print_preview, print_preview_json, print_result
from ops.replay.preview import Preview
from ops.replay.replay import (
    Rejecting,
    positions_to_continue,
    preview,
    reading_source,
    replay,
)
from ops.replay.selection import ReplaySelection, SourceKind
from ops.replay.source import ReplaySource
from ops.replay.target import ReplayCounts, ReplayTarget
from ops.replay.targets import SYNC, check_can_replay, opening_target
from ops.terminal import measured_progress, reader_may_leave, run, say
from ops.throttle import RECORDS_PER_S_MAX, Throttle, rate_option
from schemas.kafka_access import KafkaAccess
from schemas.topics import CALLBACKS


@click.command("replay", short_help="Apply callbacks of a range of time to a consumer again.")
@click.argument("consumer")
@click.option(
    "--from",
    "source",
    type=click.Choice([each.value for each in SourceKind]),
    default=SourceKind.TOPIC.value,
    help="Read the callbacks from Kafka, or from the archive, which has older ones.",
)
@since_option("First time, by Kafka's time (UTC).")
@until_option("Exclusive end, by Kafka's time (UTC).")
@app_option
@users_option
@group_option
@command_option
@bootstrap_option
@archive_option(
    "The archive: a directory, or s3://bucket/prefix, gs://…, az://…. Only with --from archive."
)
@postgres_option("PostgreSQL, as given to the sync consumer; only for `sync`.")
@rate_option
@click.option(
    "--start-over", is_flag=True, help="Begin again; do not continue an interrupted replay."
)
@yes_option
@json_option
def replay_command(
    *,
    consumer: str,
    source: str,
    since: datetime | None,
    until: datetime | None,
    app: str | None,
    users: tuple[str, ...],
    group: str | None,
    callback_command: str | None,
    kafka: KafkaAccess,
    archive_url: str | None,
    postgres: str | None,
    records_per_s: float,
    start_over: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """
    Apply the callbacks of a range of time to CONSUMER again, and to no other consumer.

    CONSUMER is `sync`: each selected callback that its database lacks is written, by the statement
    with which sync itself writes; a callback that the database has stays as it is. So a replay
    never doubles anything, and may be repeated.

    Or it is `webhook-NAME`: all selected callbacks are sent to the target again, in order and with
    the same ids; the target drops those that it has. WEBHOOK_* must be set as for its process.

    \b
    Examples:
      hookline replay sync --since 2026-01-31T09 --until 2026-01-31T12
      hookline replay sync --since 2026-01-31T09 --until 2026-01-31T12 --yes
      hookline replay sync --from archive --since 2026-01-01 --app 1400000001
      hookline replay sync --user jared --command C2C.CallbackAfterSendMsg

    The command first counts the callbacks, by app and command, and asks before it changes anything;
    with --yes, it begins at once. It may be interrupted at any moment: with the same selection it
    continues where it was. All conditions that are given must hold.

    \b
    Exit codes:
      0    done, or only the preview was printed
      1    a segment of the archive is damaged; the callbacks before it were written or sent
      2    a source or the consumer cannot be used, or the command line is wrong
      4    some callbacks were rejected; the others were written or sent
      70   the program failed, which is a bug
      130  interrupted
    """  # noqa: D301 - Click keeps the lines of a paragraph after \b
    bounded("--records-per-s", records_per_s, 0.1, RECORDS_PER_S_MAX)
    check_can_replay(consumer)
    if consumer == SYNC and not postgres:
        raise click.UsageError("replay sync needs --postgres or SYNC_POSTGRES")
    if source == SourceKind.ARCHIVE and not archive_url:
        raise click.UsageError("--from archive needs --archive or ARCHIVE_URL")
    if len(users) > ACCOUNTS_MAX:
        raise click.UsageError("name at most two users")
    if since and until and since >= until:
        raise click.UsageError("--since must be before --until")
    selection = ReplaySelection(
        source=SourceKind(source),
        since=since,
        until=until,
        app=app,
        users=users,
        group=group,
        command=callback_command,
    )
    request = _Request(consumer, selection, kafka, archive_url, postgres, start_over)
    if not yes and not _wants(request, as_json=as_json):
        return
    counts = run(_replay(request, Throttle(records_per_s)))
    print_result(counts, is_sync=consumer == SYNC, as_json=as_json)
    if counts.rejected:
        raise Rejecting(
            f"{counts.rejected:,} callbacks were rejected. Fix the cause, then run the command"
            " again"
        )


class _Request(NamedTuple):
    consumer: str
    selection: ReplaySelection
    kafka: KafkaAccess
    archive_url: str | None
    postgres: str | None
    starts_over: bool


def _wants(request: _Request, *, as_json: bool) -> bool:
    """Print the preview; return whether a person wants the replay."""
    is_sync = request.consumer == SYNC
    found = run(_preview(request))
    with reader_may_leave():
        if as_json:
            print_preview_json(found, request.selection, is_sync=is_sync)
        elif found.callbacks or found.pending:
            print_preview(found, request.selection, is_sync=is_sync)
    if not found.callbacks:
        say("no callback is selected; nothing was done")
    elif not is_sync:
        return agreed(f"send {counted(found.callbacks, 'callback')} to the target again", yes=False)
    elif found.lacking:
        act = f"write the {counted(found.lacking, 'callback')} that the database of sync lacks"
        return agreed(act, yes=False)
    else:
        say("a replay would change nothing; nothing was done")
    return False


@asynccontextmanager
async def _opened(request: _Request) -> AsyncIterator[tuple[ReplaySource, ReplayTarget]]:
    selection = request.selection
    async with reading_source(selection, request.kafka, request.archive_url) as source:
        is_topic = selection.source is SourceKind.TOPIC
        topic_id = await source.topic_id(Partition(CALLBACKS.name, 0)) if is_topic else None
        async with opening_target(
            request.consumer,
            selection,
            kafka=request.kafka,
            topic_id=topic_id,
            postgres=request.postgres,
        ) as target:
            for note in source.notes:
                say(note)
            yield source, target


async def _preview(request: _Request) -> Preview:
    async with _opened(request) as (source, target):
        found = None if request.starts_over else await positions_to_continue(source, target)
        if positions := found or {}:
            say("a replay of this selection was interrupted; these are left (--start-over: all)")
        with measured_progress("counting", await source.size(positions)) as advance:
            return await preview(source, target, positions, advance)


async def _replay(request: _Request, throttle: Throttle) -> ReplayCounts:
    async with _opened(request) as (source, target):
        found = None if request.starts_over else await positions_to_continue(source, target)
        if found is None:
            await target.finish()
        if positions := found or {}:
            say("a replay of this selection was interrupted; it continues where it was")
        with measured_progress("replaying", await source.size(positions)) as advance:
            return await replay(source, target, positions, throttle, advance)
