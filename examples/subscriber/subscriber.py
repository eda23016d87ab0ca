"""Count callbacks by day, app and command in SQLite, each once: `python subscriber.py`."""

import sqlite3
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from hookline_runtime import CALLBACKS, Batch, Consumer, Opened, Settings, callbacks, main, sql_sink

DAYS = "create table if not exists days (day, app, command, callbacks, unique (day, app, command))"
ADD = """insert into days values (?, ?, ?, ?)
    on conflict (day, app, command) do update set callbacks = callbacks + excluded.callbacks"""


@dataclass(frozen=True, kw_only=True)
class SubscriberSettings(Settings):
    """SUBSCRIBER_*: settings of the consumer `subscriber`."""

    file: Path


def count(cursor: sqlite3.Cursor, batch: Batch) -> None:
    """Add the batch to the counts. The position moves in the same transaction."""
    days = Counter((f"{e.received_at:%F}", e.sdkappid, e.command) for e, _ in callbacks(batch))
    cursor.executemany(ADD, [(*day, number) for day, number in days.items()])


def sink(settings: SubscriberSettings) -> Opened:
    """Return a sink that connects when it is needed, and again after a failure."""
    connect = partial(sqlite3.connect, settings.file)
    return sql_sink("subscriber", sqlite3, connect, count, tables=[DAYS])


SUBSCRIBER = Consumer(name="subscriber", topic=CALLBACKS, settings=SubscriberSettings, open=sink)

if __name__ == "__main__":
    main(SUBSCRIBER)
