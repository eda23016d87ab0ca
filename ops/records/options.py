"""The options that select callbacks, with the same names and meanings in all commands."""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeVar

import click

ACCOUNTS_MAX = 2
Command = TypeVar("Command", bound=Callable[..., object])


_EXAMPLE = datetime(2026, 1, 31, 9, 5, 10, tzinfo=UTC)


class UtcTime(click.DateTime):
    """A time that is written in one of some formats, in UTC."""

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:  # noqa: ARG002
        """Return the word for a value in the help; Click's has the formats of strftime."""
        return "TIME"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        """Return the time of a text."""
        try:
            return super().convert(value, param, ctx).replace(tzinfo=UTC)
        except click.BadParameter:
            self.fail(f"{value!r} is not a time such as {self.examples}", param, ctx)

    @property
    def examples(self) -> str:
        """The same time in each of the formats, in words."""
        *first, last = (f"{_EXAMPLE:{each}}" for each in self.formats)
        return f"{', '.join(first)} or {last}"


TIME = UtcTime(["%Y-%m-%d", "%Y-%m-%dT%H", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"])

users_option = click.option(
    "--user",
    "users",
    multiple=True,
    metavar="ACCOUNT",
    help="A sender or recipient. Given twice: callbacks between the two.",
)
group_option = click.option("--group", metavar="GROUP", help="A group or live room.")
app_option = click.option("--app", metavar="SDKAPPID", help="Only callbacks of this app.")
command_option = click.option(
    "--command", "callback_command", help="Only callbacks of this command."
)


def since_option(text: str) -> Callable[[Command], Command]:
    """Return the option of the first time; `text` is its help, which says which time counts."""
    return click.option("--since", type=TIME, help=f"{text} TIME is written as {TIME.examples}.")


def until_option(text: str) -> Callable[[Command], Command]:
    """Return the option of the exclusive end; `text` is its help, which says which time counts."""
    return click.option("--until", type=TIME, help=text)
