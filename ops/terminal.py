"""What all commands share: their streams, options, progress, and how failures are told."""

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click
import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ops import audit as proof
from ops import ledger as senders
from ops import stack
from ops.embedded.child import Missing, NotStarted
from ops.topics import Refused
from schemas.settings import Shared

# People read stderr while a program reads stdout.
err = Console(stderr=True, highlight=False)
Got = TypeVar("Got")

bootstrap_option = click.option(
    "--kafka",
    default=Shared().bootstrap_servers,
    show_default=True,
    envvar="HOOKLINE_BOOTSTRAP_SERVERS",
    show_envvar=True,
    help="Kafka's address, host:port.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="JSON alone on stdout.")
archive_option = click.option(
    "--archive",
    "directory",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    required=True,
    envvar="ARCHIVE_DIR",
    show_envvar=True,
    help="The archive's directory.",
)


def run(work: Coroutine[Any, Any, Got]) -> Got:
    """Run `work`; what a person can mend becomes one clear line, Ctrl-C and SIGTERM end it."""
    # What aiokafka meets is told once, by the error that it ends in.
    logging.getLogger("aiokafka").setLevel("CRITICAL")

    async def interruptible() -> Got:
        task = asyncio.current_task()
        if task is not None:
            # SIGINT too: a shell starts what is in its background with that one ignored.
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        return await work

    try:
        return asyncio.run(interruptible())
    except (KeyboardInterrupt, asyncio.CancelledError):
        err.print("interrupted")
        sys.exit(130)
    except (
        Refused,
        Missing,
        NotStarted,
        stack.Failed,
        proof.NotAudited,
        senders.NoLedger,
    ) as error:
        err.print(f"[bold red]hookline:[/] {error}", soft_wrap=True)
        sys.exit(2)


@contextlib.contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[], None]]:
    """Show a bar; what is yielded moves it on by one."""
    columns = (
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)


def say(what: str) -> None:
    """Tell people what happens."""
    err.print(f"[dim]·[/] {what}", soft_wrap=True)


def print_json(document: object) -> None:
    """Print one line of JSON on stdout."""
    click.echo(orjson.dumps(document).decode())


def bounded(option: str, value: float, low: float, high: float) -> None:
    """
    Return if `value` may be used.

    Raises:
        BadParameter: naming the option and its bounds.
    """
    if not low <= value <= high:
        raise click.BadParameter(f"must be from {low:,g} to {high:,.0f}", param_hint=option)
