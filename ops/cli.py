"""The `hookline` command: its subcommands and their exit codes."""

import sys
import traceback
from typing import Any

import click
from rich.markup import escape

from ops.archive.command import archive
from ops.audit.command import audit_command
from ops.counters.command import counters
from ops.demo.command import demo
from ops.failure import ExitCode, Failure
from ops.simulate.command import simulate
from ops.spool import spool
from ops.terminal import err
from ops.topics import topics
from ops.webhook import webhook


class Commands(click.Group):
    """A group of commands, each of which may end with a `Failure`."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; print a failure as one line, and end with the failure's exit code."""
        try:
            return super().invoke(ctx)
        except Failure as failure:
            err.print(f"[bold red]hookline:[/] {escape(str(failure))}", soft_wrap=True)
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


for subcommand in (demo, topics, simulate, audit_command, archive, counters, spool, webhook):
    main.add_command(subcommand)


def command() -> None:
    """
    Run the command line.

    Python and Click exit with 1 after an exception or Ctrl-C, but 1 means a loss in an audit.
    """
    try:
        sys.exit(main(standalone_mode=False) or 0)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        err.print("interrupted")
        sys.exit(ExitCode.INTERRUPTED)
    except Exception:  # noqa: BLE001 - no exception may look like the result of a command
        traceback.print_exc()
        sys.exit(ExitCode.BUG)


if __name__ == "__main__":
    command()
