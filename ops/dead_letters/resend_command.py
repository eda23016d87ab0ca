"""`hookline dead-letters resend`: send dead letters to the consumer that rejected them."""

import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager

import click

from ops.confirmation import yes_option
from ops.dead_letters.action_writer import writing_actions
from ops.dead_letters.actions import LETTERS_PER_ACTION_MAX
from ops.dead_letters.filters import LetterFilter, filter_options, operator_option
from ops.dead_letters.selection import (
    Selection,
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
    is_webhook,
    result_text,
    target_name,
)
from ops.dead_letters.to_database import sending_to_database
from ops.dead_letters.to_topic import sending_to_topic
from ops.failure import ExitCode, Failure
from ops.nouns import counted
from ops.options import bootstrap_option, bounded, json_option, postgres_option
from ops.records.kafka_answers import kafka_answers
from ops.terminal import print_json, run, say
from ops.throttle import RECORDS_PER_S_MAX, Throttle, rate_option
from schemas.clients import check_cancellation
from schemas.dead_letter import INGRESS
from schemas.kafka_access import KafkaAccess

# Stop after so many that were rejected again, if none was accepted.
REJECTED_MAX = 100


class StillRejected(Failure):
    """Dead letters were rejected again; they stay open."""

    exit_code = ExitCode.DEAD_LETTERED


@click.command(short_help="Send dead letters again, after the cause was fixed.")
@bootstrap_option
@click.argument("consumer")
@postgres_option("PostgreSQL connection string, as given to the sync consumer; only for `sync`.")
@filter_options
@click.option(
    "--again",
    is_flag=True,
    help="Also those that were sent again before; not for `ingress`. Use it after the database, or"
    " the receiver of a webhook, was restored from an older copy.",
)
@rate_option
@operator_option
@yes_option
@json_option
def resend(
    *,
    kafka: KafkaAccess,
    wanted: LetterFilter,
    postgres: str | None,
    again: bool,
    records_per_s: float,
    operator: str,
    yes: bool,
    as_json: bool,
) -> None:
    """
    Send the dead letters of CONSUMER to it again, after the cause was fixed.

    CONSUMER is `sync`: the callbacks are written to its database. Or `ingress`: malformed callbacks
    that the present rules accept, and those that Kafka refused, go to the topic of callbacks, so to
    all consumers. Or `webhook-NAME`: the callbacks go to the retry topic of this webhook alone; its
    processes deliver them, in the order of each conversation. As many wait there as
    WEBHOOK_PARKED_RECORDS_MAX and WEBHOOK_PARKED_BYTES_MAX allow; then the exit code is 2: repeat
    the command later. Give it the values that the processes have.

    First the number and some examples are shown. The command may be interrupted at any moment, and
    run again: it continues. Callbacks come once, those of a webhook at least once. Those that the
    database or the rules of the ingress reject again stay open, and the exit code is 4; one that
    the target of a webhook refuses again later becomes a new dead letter.
    """
    bounded("--records-per-s", records_per_s, 0.1, RECORDS_PER_S_MAX)
    consumer = wanted.consumer or ""
    is_sync = consumer == SYNC
    check_can_resend(consumer)
    if is_sync and not postgres:
        raise click.UsageError("resend sync needs --postgres or SYNC_POSTGRES")
    if again and consumer == INGRESS:
        raise CannotResend(
            "--again is not for the ingress: in the topic of callbacks, each would be there twice"
        )
    selection = run(select(kafka, wanted, again=again))
    act = f"send {counted(selection.count, 'dead letter')} to {target_name(consumer)}"
    if not confirmed(selection, act, yes=yes):
        return
    target = _target(kafka, selection, consumer, postgres or "", operator)
    throttle = Throttle(records_per_s)
    # Each claim of a webhook's partition interrupts its member, so there are few large batches.
    batch_max = LETTERS_PER_ACTION_MAX if is_webhook(consumer) else throttle.batch_max
    counts = run(_send(kafka, selection, target, throttle, batch_max))
    _report(counts, selection, consumer, as_json=as_json)


def _report(counts: ResendCounts, selection: Selection, consumer: str, *, as_json: bool) -> None:
    say(f"{selection.count} selected: {result_text(counts, consumer)}")
    if as_json:
        print_json(counts._asdict())
    if counts.rejected:
        raise StillRejected(
            f"{counts.rejected} dead letters were rejected again; the reasons are in the topic of"
            " actions"
        )


async def _send(
    kafka: KafkaAccess,
    selection: Selection,
    opening: AbstractAsyncContextManager[ResendTarget],
    throttle: Throttle,
    batch_max: int,
) -> ResendCounts:
    counts = ResendCounts()
    with kafka_answers(kafka, "run the command again; it continues"):
        async with (
            opening as target,
            aclosing(batches(kafka, selection)) as read,
        ):
            async for batch in read:
                for at in range(0, len(batch), batch_max):
                    check_cancellation()
                    some = batch[at : at + batch_max]
                    await throttle.wait()
                    sent = await target.send(some)
                    throttle.count(sent.resent + sent.rejected)
                    counts += sent
                    _check_accepted(counts)
    return counts


@asynccontextmanager
async def _target(
    kafka: KafkaAccess, selection: Selection, consumer: str, postgres: str, operator: str
) -> AsyncIterator[ResendTarget]:
    if consumer == INGRESS:
        async with sending_to_topic(kafka, operator) as topic:
            yield topic
        return
    async with writing_actions(kafka, selection.actions, operator) as writer:
        if consumer == SYNC:
            async with sending_to_database(kafka, postgres, writer) as database:
                yield database
            return
        # Only now: the package of the webhook needs libraries that no other target needs.
        from ops.dead_letters.to_webhook import sending_to_webhook  # noqa: PLC0415

        async with sending_to_webhook(kafka, consumer, writer, os.environ) as webhook:
            yield webhook


def _check_accepted(counts: ResendCounts) -> None:
    if counts.rejected >= REJECTED_MAX and not counts.resent:
        raise StillRejected(
            f"the first {counts.rejected} dead letters were rejected again, and none was accepted:"
            " the cause is not fixed, so the others were not sent"
        )
