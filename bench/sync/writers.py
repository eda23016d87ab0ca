"""The ways to write the topic to PostgreSQL: sync, its version 1, and what one would write."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.processes import consumed, launch
from bench.readers import ASK_S, Started, Task, start_peer
from bench.sync.databases import SHIPPED, VERSION_1
from ops.demo.embedded import child


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """What a writer is started with. `version_1`: the directory of that release's programs."""

    task: Task
    postgres: str
    version_1: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Writer:
    """
    One way to write callbacks into `tables`.

    It writes at least one of `share` records of the topic. `has_receipts`: it writes every callback
    into the receipts, too.
    """

    name: str
    start: Callable[[Writing], Started]
    tables: str = SHIPPED
    share: int = 1
    has_receipts: bool = False


def _hookline(writing: Writing) -> Started:
    return _sync(writing, {})


def _version_1(writing: Writing) -> Started:
    return _sync(writing, {"PYTHONPATH": str(writing.version_1)})


def _sync(writing: Writing, variables: dict[str, str]) -> Started:
    port = child.free_port()
    # -P: modules are not looked for in the directory in which the benchmark was started.
    process = launch(
        [sys.executable, "-P", "-m", "consumers", "sync"],
        {
            "HOOKLINE_BOOTSTRAP_SERVERS": writing.task.kafka,
            "SYNC_POSTGRES": writing.postgres,
            "CONSUMER_ADMIN_PORT": str(port),
            # The group has offsets of the run before, whose database is gone.
            "CONSUMER_REBUILD": "true",
            **variables,
        },
        writing.task.directory / "sync.log",
    )
    return Started(
        processes=[process],
        begun=lambda: child.listens(port),
        ended=lambda: consumed(port) >= writing.task.records,
        look_s=ASK_S,
    )


def _peer(module: str) -> Callable[[Writing], Started]:
    command = (f"bench.sync.peers.{module}",)
    return lambda writing: start_peer(command, writing.task, {"POSTGRES": writing.postgres})


WRITERS = (
    Writer(name="hookline", start=_hookline, has_receipts=True),
    Writer(name="version_1", start=_version_1, tables=VERSION_1, has_receipts=True),
    Writer(name="executemany", start=_peer("executemany")),
    # A row takes up to 10 ms where fsync is slow, and each takes as long as any other.
    Writer(name="row_by_row", start=_peer("row_by_row"), share=25),
)
BY_NAME = {writer.name: writer for writer in WRITERS}
