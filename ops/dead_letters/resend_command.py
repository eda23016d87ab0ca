"""`hookline dead-letters resend`: send what was rejected to the consumer that rejected it."""

from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import click

from ops.dead_letters.action_writer import writing_actions
from ops.dead_letters.filters import LetterFilter, filter_options, operator_option, yes_option
from ops.dead_letters.reader import kafka_answers
from ops.dead_letters.selection import (
    Selection,
    Throttle,
    batches,
    confirmed,
    select,
)
from ops.dead_letters.targets import (
    SYNC,
    CannotResend,
    ResendCounts,
    ResendTarget,
    check_can_resend,
)
from ops.dead_letters.to_database import sending_to_database
from ops.dead_letters.to_topic import sending_to_topic
from ops.failure import ExitCode, Failure
from ops.postgres_option import postgres_option
from ops.terminal import bootstrap_option, bounded, json_option, print_json, run, say
from schemas.clients import check_cancellation

RECORDS_PER_S_MAX = 1e6
# Stop after so many that were rejected again, if none was accepted.
REJECTED_MAX = 100


class StillRejected(Failure):
    """Dead letters were rejected again; they stay open."""

    exit_code = ExitCode.DEAD_LETTERED


@click.command()
@bootstrap_option
@click.argument("consumer")
@postgres_option(
    "PostgreSQL connection string, as given to the sync consumer; only for `sync`.",
)
@filter_options
@click.option(
    "--again",
    is_flag=True,
    help="Also what was sent before; only for `sync`, whose database has each callback"
    " once. Use it after the database was restored from an older copy.",
)
@click.option(
    "--records-per-s", default=500.0, show_default=True, help="Send at most so many a second."
)
@operator_option
@yes_option
@json_option
def resend(
    *,
    kafka: str,
    wanted: LetterFilter,
    postgres: str | None,
    again: bool,
    records_per_s: float,
    operator: str,
    yes: bool,
    as_json: bool,
) -> None:
    """
    Send what CONSUMER has rejected to it again, after the cause was fixed.

    CONSUMER is `sync`: the callbacks are written to its database. Or `ingress`: malformed callbacks
    that the present rules accept, and those that Kafka refused, go to the topic of callbacks, so to
    all consumers.

    First the number and some examples are shown. The command may be cut at any moment and repeated:
    each callback comes once. What is rejected again stays open, and the exit code is 4.
    """
    bounded("--records-per-s", records_per_s, 0.1, RECORDS_PER_S_MAX)
    is_sync = wanted.consumer == SYNC
    check_can_resend(wanted.consumer or "")
    if is_sync and not postgres:
        raise click.UsageError("resend sync needs --postgres or SYNC_POSTGRES")
    if again and not is_sync:
        raise CannotResend(
            "--again is for sync only: in the topic of callbacks, each would be there twice"
        )
    selection = run(select(kafka, wanted, again=again))
    target = "the database of sync" if is_sync else "the topic of callbacks"
    if not confirmed(selection, f"send {selection.count} dead letters to {target}", yes=yes):
        return
    counts = run(
        _send(kafka, selection, postgres if is_sync else None, operator, Throttle(records_per_s))
    )
    _report(counts, selection, as_json=as_json)


def _report(counts: ResendCounts, selection: Selection, *, as_json: bool) -> None:
    say(
        f"{selection.count} selected: {counts.resent} sent, {counts.rejected} rejected again,"
        f" {counts.skipped} skipped, because the consumer gets or has them without this command"
    )
    if as_json:
        print_json(counts._asdict())
    if counts.rejected:
        raise StillRejected(
            f"{counts.rejected} dead letters were rejected again; the reasons are in the topic of"
            " actions"
        )


async def _send(
    kafka: str, selection: Selection, postgres: str | None, operator: str, throttle: Throttle
) -> ResendCounts:
    counts = ResendCounts()
    with kafka_answers(kafka, "run the command again; it continues"):
        async with (
            _target(kafka, selection, postgres, operator) as target,
            aclosing(batches(kafka, selection)) as read,
        ):
            async for batch in read:
                for at in range(0, len(batch), throttle.batch_max):
                    check_cancellation()
                    some = batch[at : at + throttle.batch_max]
                    await throttle.wait(len(some))
                    counts += await target.send(some)
                    _check_accepted(counts)
    return counts


@asynccontextmanager
async def _target(
    kafka: str, selection: Selection, postgres: str | None, operator: str
) -> AsyncIterator[ResendTarget]:
    if postgres is None:
        async with sending_to_topic(kafka, operator) as topic:
            yield topic
    else:
        async with (
            writing_actions(kafka, selection.actions, operator) as writer,
            sending_to_database(postgres, writer) as database,
        ):
            yield database


def _check_accepted(counts: ResendCounts) -> None:
    if counts.rejected >= REJECTED_MAX and not counts.resent:
        raise StillRejected(
            f"the first {counts.rejected} dead letters were rejected again, and none was accepted:"
            " the cause is not fixed, so the others were not sent"
        )
