"""Options and helpers that the benchmarks' commands share."""

import asyncio
import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click

from ops.demo.embedded import child
from ops.demo.embedded.kafka import EmbeddedKafka
from ops.failure import Failure
from ops.topic_changes import apply_topics
from schemas.kafka_access import KafkaAccess
from schemas.settings import SharedSettings

Command = TypeVar("Command", bound=Callable[..., Any])

PAGE = Path(__file__).parent / "README.md"

directory_option = click.option(
    "--directory",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Directory for all files of the run; default: the system's for temporary files.",
)
write_option = click.option(
    "--write", "writes", is_flag=True, help="Put the tables into bench/README.md."
)


@contextlib.contextmanager
def broker(directory: Path | None) -> Iterator[tuple[Path, EmbeddedKafka]]:
    """Yield a directory and a broker with our topics; both are removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="hookline-bench-", dir=directory) as made:
        where = Path(made)
        try:
            with child.running(EmbeddedKafka(where / "kafka")) as kafka:
                body_bytes_max = SharedSettings().body_bytes_max
                access = KafkaAccess(bootstrap_servers=kafka.address)
                asyncio.run(apply_topics(access, body_bytes_max=body_bytes_max, replicas=1))
                yield where, kafka
        except Failure as fault:
            raise click.ClickException(str(fault)) from fault


def say(what: str) -> None:
    """Print a line of progress to stderr."""
    click.echo(what, err=True)


def only_option(*known: str) -> Callable[[Command], Command]:
    """Return the option `--only`: some of `known`, separated by commas; all of them by default."""

    def read(_: click.Context, option: click.Parameter, given: str) -> tuple[str, ...]:
        chosen = tuple(given.split(",")) if given else known
        if unknown := set(chosen) - set(known):
            raise click.BadParameter(
                f"unknown: {', '.join(sorted(unknown))} (known: {', '.join(known)})",
                param=option,
            )
        return chosen

    return click.option(
        "--only",
        default="",
        callback=read,
        help=f"Some of {', '.join(known)}, separated by commas; default: all.",
    )


def numbers(_: click.Context, option: click.Parameter, given: str) -> tuple[int, ...]:
    """Parse numbers separated by commas."""
    try:
        return tuple(map(int, given.split(",")))
    except ValueError:
        raise click.BadParameter("must be numbers separated by commas", param=option) from None
