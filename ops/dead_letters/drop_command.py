"""`hookline dead-letters drop`: note that dead letters are not sent again."""

from contextlib import aclosing

import click

from ops.confirmation import yes_option
from ops.dead_letters.action_writer import writing_actions
from ops.dead_letters.filters import LetterFilter, filter_options, operator_option
from ops.dead_letters.selection import Selection, batches, confirmed, select
from ops.nouns import counted
from ops.options import bootstrap_option
from ops.records.kafka_answers import kafka_answers
from ops.terminal import run, say
from schemas.clients import check_cancellation
from schemas.dead_letter_actions import ActionResult
from schemas.kafka_access import KafkaAccess


@click.command(short_help="Note that dead letters are handled, without sending them.")
@bootstrap_option
@click.argument("consumer")
@click.option("--because", required=True, help="Why; it is noted in the topic of actions.")
@filter_options
@operator_option
@yes_option
def drop(
    *, kafka: KafkaAccess, wanted: LetterFilter, because: str, operator: str, yes: bool
) -> None:
    """
    Note that dead letters of CONSUMER are handled, without sending them.

    They are not open any more, and stay in the dead-letter topic until its 30 days are over.
    `hookline audit` reports their number. They are neither missing nor counted as in the sink.

    If no dead letter is of CONSUMER, the consumers that have dead letters are listed. If CONSUMER
    is not one of Hookline's either, the exit code is 2.
    """
    selection = run(select(kafka, wanted))
    if confirmed(selection, f"drop {counted(selection.count, 'dead letter')}", yes=yes):
        say(f"{counted(run(_drop(kafka, selection, because, operator)), 'dead letter')} dropped")


async def _drop(kafka: KafkaAccess, selection: Selection, because: str, operator: str) -> int:
    dropped = 0
    with kafka_answers(kafka, "run the command again; it continues"):
        async with (
            writing_actions(kafka, selection.actions, operator) as writer,
            aclosing(batches(kafka, selection)) as read,
        ):
            async for batch in read:
                check_cancellation()
                await writer.write(batch, ActionResult.DROPPED, reason=because)
                dropped += len(batch)
    return dropped
