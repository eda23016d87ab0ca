"""The option --yes, and the question before a command does what its preview shows."""

import sys

import click

from ops.terminal import say

yes_option = click.option(
    "--yes", is_flag=True, help="Do not ask. Without a terminal, nothing is done without --yes."
)


def agreed(act: str, *, yes: bool) -> bool:
    """
    Return whether to go on after a preview: with `yes`, or if a person on a terminal says so.

    `act` is what would be done, such as "send 3 dead letters to sync".
    """
    if yes:
        return True
    if sys.stdin.isatty() and click.confirm(f"{act}?", err=True):
        return True
    say(f"nothing was done; to {act}, run the command again with --yes")
    return False
