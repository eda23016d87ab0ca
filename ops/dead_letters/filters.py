"""The options that the commands for dead letters share: which ones, by whose decision."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import click

from ops.dead_letters.actions import default_operator
from ops.dead_letters.letter import DeadLetter, parse_id
from ops.records.options import command_option, since_option, until_option
from schemas.dead_letter_actions import RecordId


class _Id(click.ParamType[RecordId]):
    name = "PARTITION/OFFSET"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> RecordId:
        """Return the id of a dead letter."""
        if isinstance(value, RecordId):
            return value
        if (found := parse_id(str(value))) is None:
            self.fail(f"{value} is not PARTITION/OFFSET, such as 0/1234", param, ctx)
        return found


ID = _Id()

operator_option = click.option(
    "--by",
    "operator",
    default=default_operator,
    show_default="user@host",
    help="Name in the topic of actions.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterFilter:
    """Which dead letters a command is about. None, "" and () select all."""

    consumer: str | None = None
    reason: str | None = None
    command: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    ids: Sequence[RecordId] = ()

    def selects(self, letter: DeadLetter) -> bool:
        """Return whether the command is about `letter`."""
        return (
            (not self.consumer or letter.consumer == self.consumer)
            and (not self.reason or self.reason.lower() in letter.reason.lower())
            and (not self.command or letter.command == self.command)
            and (not self.since or letter.at >= self.since)
            and (not self.until or letter.at < self.until)
            and (not self.ids or letter.id in self.ids)
        )


def filter_options(command: Callable[..., None]) -> Callable[..., None]:
    """
    Add the options of a filter to a command, which gets the filter as `wanted`.

    The command has an argument or an option `consumer` of its own, which becomes a part of it.
    """

    @functools.wraps(command)
    def with_filter(
        *,
        consumer: str | None,
        reason: str | None,
        callback_command: str | None,
        since: datetime | None,
        until: datetime | None,
        ids: Sequence[RecordId],
        **others: object,
    ) -> None:
        wanted = LetterFilter(
            consumer=consumer,
            reason=reason,
            command=callback_command,
            since=since,
            until=until,
            ids=ids,
        )
        command(wanted=wanted, **others)

    decorated = with_filter
    for option in (
        click.option("--id", "ids", type=ID, multiple=True, help="Only this one; may be repeated."),
        until_option("Exclusive end of the time (UTC) of rejection."),
        since_option("First time (UTC) of rejection."),
        command_option,
        click.option("--reason", help="Only reasons that contain this text."),
    ):
        decorated = option(decorated)
    return decorated
