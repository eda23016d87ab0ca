"""What all commands share: their streams, options, progress, and how failures are told."""

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, NoReturn, TypeVar

import click
import orjson
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from consumers.archive.segment import DamagedSegment
from consumers.archive.store import NoStore
from consumers.runtime.handler import Unavailable
from ops.archive import expire, parquet
from ops.audit.sources import NotAudited
from ops.demo import stack
from ops.demo.embedded.child import Missing, NotStarted
from ops.simulate import ledger as senders
from ops.topics import Refused
from schemas.settings import Shared

# Exit codes beside 0, of all commands; docs/audit.md says what each means for which.
FAULTS = 1
UNREADABLE = 2  # Click's own for a wrong command line, too
UNPROVEN = 3
SET_ASIDE = 4
BUG = 70
INTERRUPTED = 130

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
    "archive_url",
    metavar="URL",
    required=True,
    envvar="ARCHIVE_URL",
    show_envvar=True,
    help="The archive: a directory, or s3://bucket/prefix, gs://…, az://….",
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
        sys.exit(INTERRUPTED)
    except (
        Refused,
        Missing,
        NotStarted,
        stack.Failed,
        NotAudited,
        senders.NoLedger,
        NoStore,
        expire.Unknown,
        parquet.NoDuckDB,
    ) as error:
        fail(str(error), UNREADABLE)
    except Unavailable as error:
        fail(f"the archive does not answer: {error}", UNREADABLE)
    except DamagedSegment as error:
        fail(str(error), FAULTS)


def fail(why: str, code: int) -> NoReturn:
    """End with `code` and one line for people."""
    err.print(f"[bold red]hookline:[/] {escape(why)}", soft_wrap=True)
    sys.exit(code)


@contextlib.contextmanager
def progress(what: str, total: int | None) -> Iterator[Callable[[], None]]:
    """Show a bar; what is yielded moves it on by one. None: its end is not known."""
    columns = (
        TextColumn(what),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda: progress.advance(task)


@contextlib.contextmanager
def growing_progress(what: str) -> Iterator[tuple[Callable[[int], None], Callable[[], None]]]:
    """Show a bar; what is yielded first makes it longer, the second moves it on by one."""
    total = 0
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=err, transient=True) as shown:
        task = shown.add_task(what, total=0)

        def grow(more: int) -> None:
            nonlocal total
            total += more
            shown.update(task, total=total)

        yield grow, lambda: shown.advance(task)


def say(what: str) -> None:
    """Tell people what happens."""
    err.print(f"[dim]·[/] {what}", soft_wrap=True)


def print_json(document: object) -> None:
    """Print one line of JSON on stdout."""
    click.echo(orjson.dumps(document).decode())


@contextlib.contextmanager
def reader_may_leave() -> Iterator[None]:
    """Print a result to a reader that may close the pipe; that changes no exit code."""
    try:
        yield
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):  # rich makes the second of the first
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def bounded(option: str, value: float, low: float, high: float) -> None:
    """
    Return if `value` may be used.

    Raises:
        BadParameter: naming the option and its bounds.
    """
    if not low <= value <= high:
        raise click.BadParameter(f"must be from {low:,g} to {high:,.0f}", param_hint=option)
