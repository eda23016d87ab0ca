"""The `hookline` command: its subcommands and their exit codes."""

import gc
import sys
import traceback
from importlib import import_module
from io import StringIO, TextIOWrapper
from typing import Any

import click

from ops.failure import ExitCode, Failure
from ops.terminal import warn
from schemas.garbage import collect_garbage_again
from schemas.printable import printable
from schemas.url_text import without_url_secrets

# The module and the function of each subcommand. Only that of the command in use is imported:
# all of them take most of a second.
SUBCOMMANDS = {
    "archive": "ops.archive.command:archive",
    "audit": "ops.audit.command:audit_command",
    "counters": "ops.counters.command:counters",
    "dead-letters": "ops.dead_letters.command:dead_letters_command",
    "demo": "ops.demo.command:demo",
    "find": "ops.find.command:find",
    "replay": "ops.replay.command:replay_command",
    "simulate": "ops.simulate.command:simulate",
    "spool": "ops.spool:spool",
    "status": "ops.status.command:status",
    "sync": "ops.sync.command:sync",
    "topics": "ops.topics:topics",
    "webhook": "ops.webhook:webhook",
}


class Commands(click.Group):
    """A group of commands, each of which is imported when asked for and may raise `Failure`."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - Click's signature
        """Return the names of all commands."""
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import and return a command; None if there is none of that name."""
        if cmd_name not in SUBCOMMANDS:
            return None
        module, _, function = SUBCOMMANDS[cmd_name].partition(":")
        command: click.Command = getattr(import_module(module), function)
        collect_garbage_again()
        return command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        """Return the command, as Click does; the error of an unknown name has close ones."""
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:
            # Click looks for close names in `commands`, which is empty here.
            name = error.command_name
            raise click.NoSuchCommand(name, possibilities=SUBCOMMANDS, ctx=ctx) from None

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; print a failure as one line, and end with the failure's exit code."""
        try:
            return super().invoke(ctx)
        except Failure as failure:
            warn(str(failure), prefix="hookline: ")
            ctx.exit(failure.exit_code)


@click.group(
    cls=Commands,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
        "show_default": True,
    },
)
@click.version_option(package_name="hookline")
def main() -> None:
    """
    Hookline receives callbacks of Tencent Cloud IM and loses none that it answered OK.

    Each of those is in every sink exactly once. `hookline demo` shows it on this machine;
    `hookline audit` proves it for your installation.
    """


def command() -> None:
    """
    Run the command line.

    Python and Click exit with 1 after an exception or Ctrl-C, but 1 means a loss in an audit.
    """
    # Imports make many objects and hardly any garbage; `get_command` enables collections again.
    gc.disable()
    # Characters that the encoding of the terminal lacks must not end a command with an error.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        sys.exit(main(standalone_mode=False) or 0)
    except click.ClickException as error:
        _show(error)
        sys.exit(error.exit_code)
    except click.Abort:
        warn("interrupted")
        sys.exit(ExitCode.INTERRUPTED)
    except Exception:  # noqa: BLE001 - no exception may look like the result of a command
        for line in traceback.format_exc().splitlines():
            warn(line)
        sys.exit(ExitCode.BUG)


def _show(error: click.ClickException) -> None:
    """Print how the command is used, and the error, which contains the user's arguments."""
    text = StringIO()
    error.show(text)
    usage, mark, message = text.getvalue().partition("Error: ")
    shown = printable(without_url_secrets(message.removesuffix("\n")))
    sys.stderr.write(f"{usage}{mark}{shown}\n")


if __name__ == "__main__":
    command()
