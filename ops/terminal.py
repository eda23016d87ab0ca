"""
Streams, progress bars and tables that all commands share.

Commands print only with the functions of this file. Each of them makes text printable
(schemas/printable.py), and none parses text as markup of rich: most text comes from outside.
"""

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from collections.abc import Callable, Coroutine, Iterable, Iterator
from typing import Any, TypeVar

import click
import orjson
from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from ops.failure import ExitCode
from schemas.printable import printable, printable_json
from schemas.url_text import without_url_secrets

# Of a cell of a table, so many characters are shown.
CELL_CHARACTERS_MAX = 500
# People read stderr while a program reads stdout.
_err = Console(stderr=True, highlight=False, markup=False, emoji=False)
_out = Console(markup=False, emoji=False)
# Without a terminal nothing is folded: programs search lines and split them into words.
_wide_out = Console(markup=False, emoji=False, width=1 << 14)
Result = TypeVar("Result")


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """Run `work` and return its result; SIGINT and SIGTERM cancel it and end the process."""
    # Silence aiokafka's log: the final error message reports the error.
    logging.getLogger("aiokafka").setLevel("CRITICAL")

    async def interruptible() -> Result:
        task = asyncio.current_task()
        if task is not None:
            # SIGINT too: a shell starts its background processes with SIGINT ignored.
            for number in (signal.SIGINT, signal.SIGTERM):
                asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        return await work

    try:
        return asyncio.run(interruptible())
    except (KeyboardInterrupt, asyncio.CancelledError):
        warn("interrupted")
        sys.exit(ExitCode.INTERRUPTED)


@contextlib.contextmanager
def progress(title: str, total: int | None) -> Iterator[Callable[[], None]]:
    """Show a bar and yield a function that advances it by one; `total` is None if unknown."""
    with _bar(title, total) as (bar, task):
        yield lambda: bar.advance(task)


@contextlib.contextmanager
def measured_progress(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Show a bar and yield a function that advances it by a number."""
    with _bar(title, total) as (bar, task):
        yield lambda number: bar.advance(task, number)


@contextlib.contextmanager
def growing_progress(title: str) -> Iterator[tuple[Callable[[int], None], Callable[[], None]]]:
    """Show a bar and yield two functions: one raises the total, one advances the bar by one."""
    total = 0
    with _bar(title, total) as (bar, task):

        def grow(count: int) -> None:
            nonlocal total
            total += count
            bar.update(task, total=total)

        yield grow, lambda: bar.advance(task)


@contextlib.contextmanager
def _bar(title: str, total: int | None) -> Iterator[tuple[Progress, Any]]:
    columns = (
        TextColumn(title, markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=_err, transient=True) as bar:
        yield bar, bar.add_task(title, total=total)


@contextlib.contextmanager
def waiting(title: str) -> Iterator[Callable[[str], None]]:
    """Show what a command waits for, on stderr, and yield a function that replaces the text."""
    with _err.status(text_line(title)) as status:
        yield lambda text: status.update(text_line(without_url_secrets(text)))


def text_line(text: str, style: str = "") -> Text:
    """Return a printable line of `text` for `show` or a table."""
    return Text(printable(text), style, overflow="fold")


def say(message: str) -> None:
    """Print a message about the progress of a command, on stderr, without secrets of URLs."""
    line = text_line(without_url_secrets(message))
    _err.print(Text.assemble(("·", "dim"), " ", line), soft_wrap=True)


def warn(message: str, *, prefix: str = "") -> None:
    """Print a line on stderr, without secrets of URLs; `prefix`, in red, says it is an error."""
    line = text_line(without_url_secrets(message))
    _err.print(Text.assemble((prefix, "bold red"), line), soft_wrap=True)


def echo(text: str) -> None:
    """Print a line on stdout."""
    click.echo(printable(text))


def say_whole(lines: Iterable[str]) -> None:
    """Print lines on stderr, each in one piece however long it is: people copy parts of it."""
    for line in lines:
        # Not a `text_line`: rich would cut it at the width of the terminal.
        _err.print(Text(printable(line)), soft_wrap=True)


def show(renderable: RenderableType) -> None:
    """
    Print tables of `new_table` and lines of `text_line`, on stdout.

    They have the width of the terminal, or of COLUMNS; without both, each row is on one line.
    """
    if _has_width():
        _out.print(renderable)
        return
    with _wide_out.capture() as printed:
        _wide_out.print(renderable)
    for line in printed.get().splitlines():
        click.echo(line.rstrip())


def fits(table: Table) -> bool:
    """Return whether `show` would fold no cell of a table."""
    return not _has_width() or Measurement.get(_out, _out.options, table).maximum < _out.width


def _has_width() -> bool:
    return _out.is_terminal or "COLUMNS" in os.environ


@contextlib.contextmanager
def refreshed() -> Iterator[Callable[[RenderableType, RenderableType], None]]:
    """
    Yield a function that shows a new state on stdout: in place on a terminal, else after the last.

    It takes the whole state and a short one, which is shown on a terminal with too few lines. The
    last state stays.
    """
    if not _out.is_terminal:
        yield lambda whole, _: show(Group(whole, ""))
        return
    last: list[RenderableType] = []

    def show_state(whole: RenderableType, short: RenderableType) -> None:
        fits = len(_out.render_lines(whole, pad=False)) <= _out.height
        last[:] = [whole]
        live.update(whole if fits else short, refresh=True)

    try:
        with Live(console=_out, screen=True, auto_refresh=False) as live:
            yield show_state
    finally:
        for whole in last:
            _out.print(whole)


class PrintableTable(Table):
    """A table whose cells are printable, whatever text they are made of."""

    def add_column(self, header: RenderableType = "", *arguments: Any, **options: Any) -> None:
        """Add a column; only the line feeds of a header that is text stay as they are."""
        if isinstance(header, str):
            header = "\n".join(map(printable, header.split("\n")))
        super().add_column(header, *arguments, **options)

    def add_row(self, *cells: RenderableType | None, **options: Any) -> None:
        """Add a row; a cell that is text becomes one printable line."""
        super().add_row(*map(_printable_cell, cells), **options)


def _printable_cell(cell: RenderableType | None) -> RenderableType | None:
    if isinstance(cell, Text):
        return Text(printable(cell.plain, CELL_CHARACTERS_MAX), cell.style)
    return Text(printable(cell, CELL_CHARACTERS_MAX)) if isinstance(cell, str) else cell


def new_table(title: str, *, padding: int = 1) -> PrintableTable:
    """Return an empty table in the style of all commands."""
    return PrintableTable(
        title=printable(title),
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, padding, 0, 0),
        show_edge=False,
    )


def fault_count(count: int) -> Text:
    """Return a number of faults for a table, in green if it is 0, else in red."""
    return Text(str(count), style="bold red" if count else "bold green")


def print_json(document: object) -> None:
    """Print one line of JSON on stdout, with only printable text."""
    try:
        encoded = orjson.dumps(document)
    except TypeError:
        # orjson cannot encode lone surrogates, which file names and JSON documents can contain.
        encoded = json.dumps(document).encode()
    echo_json(encoded)


def echo_json(encoded: bytes) -> None:
    """Print a line of JSON on stdout; what is not printable is escaped as JSON does it."""
    click.echo(printable_json(encoded.decode(errors="backslashreplace").removesuffix("\n")))


@contextlib.contextmanager
def reader_may_leave() -> Iterator[None]:
    """Print a result even if the reader closes the pipe: the exit code stays that of the result."""
    try:
        yield
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit):  # rich raises SystemExit for a closed pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
