"""`hookline dead-letters`: its subcommands `ls` and `show`; resend and drop are beside it."""

from collections.abc import Sequence
from contextlib import aclosing

import click

from ops.dead_letters.consumers_seen import ConsumersSeen
from ops.dead_letters.drop_command import drop
from ops.dead_letters.filters import ID, LetterFilter, filter_options
from ops.dead_letters.groups import Groups, LetterGroup
from ops.dead_letters.letter import DeadLetter
from ops.dead_letters.output import print_groups, print_letter
from ops.dead_letters.reader import dead_letters, dead_letters_by_id, read_actions
from ops.dead_letters.resend_command import resend
from ops.failure import Failure
from ops.options import bootstrap_option, json_option
from ops.terminal import reader_may_leave, run, say
from schemas.dead_letter_actions import Actions, RecordId
from schemas.kafka_access import KafkaAccess


class NoSuchLetter(Failure):
    """The dead-letter topic does not have a dead letter; the text has its id."""


@click.group("dead-letters", short_help="List, show, send again or drop rejected callbacks.")
def dead_letters_command() -> None:
    """
    List, show, send again or drop the callbacks that were rejected.

    A callback that a consumer or the ingress rejects goes to the topic tim.callbacks.dead.v1, which
    keeps it for 30 days. docs/runbook.md says how to go on: "Dead letters".
    """


dead_letters_command.add_command(resend)
dead_letters_command.add_command(drop)


@dead_letters_command.command("ls")
@bootstrap_option
@click.option("--consumer", help="Only what this consumer, or `ingress`, has rejected.")
@filter_options
@json_option
def ls(*, kafka: KafkaAccess, wanted: LetterFilter, as_json: bool) -> None:
    """
    Count the dead letters by consumer, reason and command.

    "open" are those that were neither sent again nor dropped. Numbers in reasons are shown as N.
    """
    groups = run(_groups(kafka, wanted))
    with reader_may_leave():
        print_groups(groups, as_json=as_json)


async def _groups(kafka: KafkaAccess, wanted: LetterFilter) -> list[LetterGroup]:
    groups = Groups(await read_actions(kafka))
    seen = ConsumersSeen(wanted.consumer)
    async with aclosing(dead_letters(kafka)) as read:
        async for letters in read:
            groups.add(filter(wanted.selects, letters))
            seen.add(letters)
    if seen.lack_wanted:
        say(str(seen))
    return groups.sorted()


@dead_letters_command.command("show", short_help="Show the dead letters with these ids.")
@bootstrap_option
@click.argument("ids", type=ID, nargs=-1, required=True)
@click.option("--body", is_flag=True, help="Show the body, too: private chat text.")
@json_option
def show(*, kafka: KafkaAccess, ids: Sequence[RecordId], body: bool, as_json: bool) -> None:
    """
    Show the dead letters with these ids, each PARTITION/OFFSET as `ls` prints it.

    The body is private chat text, so it is not shown without --body.
    """
    actions, letters = run(_letters(kafka, ids))
    with reader_may_leave():
        for letter_id, letter in zip(ids, letters, strict=True):
            if letter is None:
                raise NoSuchLetter(
                    f"there is no dead letter {letter_id}: see `hookline dead-letters ls`, or its"
                    " 30 days are over"
                )
            print_letter(letter, actions, body=body, as_json=as_json)


async def _letters(
    kafka: KafkaAccess, ids: Sequence[RecordId]
) -> tuple[Actions, list[DeadLetter | None]]:
    return await read_actions(kafka), await dead_letters_by_id(kafka, ids)
