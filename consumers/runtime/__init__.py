"""
The runtime of every consumer, and the names that the author of a consumer needs.

A consumer is a handler plus limits. The runtime joins the group, fetches records, and passes each
partition's records to the handler in batches, in order. The handler's sink stores its own position
together with the effect. That position is the authority: the runtime asks for it on every
assignment, a refused write returns it, and the runtime continues there. Kafka's committed offset is
for lag tools, and to notice an emptied sink. So each record's effect is in the sink exactly once,
whichever process is killed, if the handler keeps three rules:

- `handle` applies a batch and moves the position in one write, all or nothing;
- it does so only if the position *equals* `batch.begins_at`, else it raises `PositionDiffers`;
- the same records may be handled again, in other batches.

The handler reports each failure by an exception. `Rejected`: one record can never be applied; it
goes to the dead-letter topic. `Unavailable`: nothing can be applied now; the same records are
handled again later, after `TookTooLong` in halves. `Stopped`: a person has to decide. Any other
exception is a bug: the process ends, and nothing is lost.

`main(Consumer(...))` is the whole process: settings from the environment, signals, health, metrics.
A sink that is a SQL database needs no handler of its own: see `sql_sink`. (The consumer `sync` has
its own, which writes a batch and the position in one statement.) docs/consumers.md is the
guide. Other teams import this package as `hookline_runtime` (deploy/runtime); examples/subscriber
is such a project.
"""

from collections.abc import Sequence

from consumers.runtime.batch import (
    Batch,
    Limits,
    PackedRecords,
    Partition,
    Position,
    Record,
)
from consumers.runtime.callbacks import Callback, callbacks
from consumers.runtime.handler import (
    Consumer,
    Handler,
    Opened,
    OwnSettings,
    PackingHandler,
    PositionDiffers,
    Rejected,
    Stopped,
    TookTooLong,
    Unavailable,
)
from consumers.runtime.sql_sink import sql_sink
from schemas.setting import Format, Range, Secret
from schemas.settings import Settings, SettingsFaults
from schemas.topics import CALLBACKS

__all__ = [
    "CALLBACKS",
    "Batch",
    "Callback",
    "Consumer",
    "Format",
    "Handler",
    "Limits",
    "Opened",
    "PackedRecords",
    "PackingHandler",
    "Partition",
    "Position",
    "PositionDiffers",
    "Range",
    "Record",
    "Rejected",
    "Secret",
    "Settings",
    "SettingsFaults",
    "Stopped",
    "TookTooLong",
    "Unavailable",
    "callbacks",
    "main",
    "sql_sink",
]


def main(consumer: Consumer[OwnSettings], arguments: Sequence[str] | None = None) -> None:
    """Run `consumer` as a process; `--help` lists its settings."""
    # Commands that import other parts of the runtime start faster without the parts of a process.
    from consumers.runtime.process import main as run  # noqa: PLC0415

    run(consumer, arguments)
