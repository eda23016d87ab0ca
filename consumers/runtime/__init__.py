"""
What every consumer runs on, and what an author of one needs.

A consumer is a handler plus limits. The runtime joins the group, fetches, and hands each
partition's records to the handler in batches, in order. The handler's sink keeps its own position
beside the effect, and that one is the authority: on every assignment the runtime asks for it, a
write that is refused tells it, and the runtime goes there. Kafka's committed offset is for lag
tools. So a record's effect is in the sink exactly once, whatever is killed, if the handler keeps
three rules:

- `handle` applies a batch and moves the position in one write, all or nothing;
- it does so only if the position *equals* `batch.begins_at`, else it raises `Elsewhere`;
- the same records may come again, cut into other batches.

What goes wrong is told by an exception. `Rejected`: one record can never be applied, it goes to
the dead-letter topic. `Unavailable`: nothing can be applied now, the same comes again later.
`Stopped`: a person decides. Anything else is a bug: the process ends, and nothing is lost.

`main(Consumer(...))` is the whole process: settings from the environment, signals, health, metrics.
A sink that is a SQL database needs no handler of its own: `sql_sink`. docs/consumers.md tells more,
and examples/subscriber is a project of its own that runs on this.
"""

from consumers.runtime.batch import Batch, Limits, Partition, Position, Record
from consumers.runtime.callbacks import Callback, callbacks
from consumers.runtime.handler import (
    Consumer,
    Elsewhere,
    Handler,
    Opened,
    Rejected,
    Stopped,
    Unavailable,
)
from consumers.runtime.process import main
from consumers.runtime.sql_sink import sql_sink
from schemas.setting import Format, Range, Secret
from schemas.settings import Faults, Settings
from schemas.topics import CALLBACKS

__all__ = [
    "CALLBACKS",
    "Batch",
    "Callback",
    "Consumer",
    "Elsewhere",
    "Faults",
    "Format",
    "Handler",
    "Limits",
    "Opened",
    "Partition",
    "Position",
    "Range",
    "Record",
    "Rejected",
    "Secret",
    "Settings",
    "Stopped",
    "Unavailable",
    "callbacks",
    "main",
    "sql_sink",
]
